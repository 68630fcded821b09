//! Small sources of every text and table format, made on the spot, through the public interface.

use std::path::{Path, PathBuf};

use stepwell::RunStatus;
use stepwell_import::{BoxError, ImportError, ImportedRun, Kind, Report, Sink, Taken, import};

#[derive(Default)]
struct Collect {
    runs: Vec<ImportedRun>,
    done: Vec<(u64, u64)>,
    full: bool,
}

impl Sink for Collect {
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError> {
        if self.full {
            return Err("the disk is full".into());
        }
        let taken = Taken::new(run.counts());
        self.runs.push(run);
        Ok(taken)
    }
    fn progress(&mut self, bytes_done: u64, bytes_total: u64, _: &Path) {
        self.done.push((bytes_done, bytes_total));
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn import_files(files: &[(&str, &str)]) -> (Vec<ImportedRun>, Report) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    import_path(folder.path())
}

fn import_path(path: &Path) -> (Vec<ImportedRun>, Report) {
    let mut sink = Collect::default();
    let report = import(&[path.to_path_buf()], &mut sink).unwrap();
    (sink.runs, report)
}

/// A series as "step@time=value", the time left out where there is none.
fn series(run: &ImportedRun, key: &str) -> Vec<String> {
    let series = run
        .series
        .iter()
        .find(|series| series.key == key)
        .unwrap_or_else(|| panic!("no series {key} in {:?}", run.series));
    let time = |at: usize| {
        series.timestamps_ms.as_ref().and_then(|times| times[at]).map_or(String::new(), |time| format!("@{time}"))
    };
    (0..series.steps.len()).map(|at| format!("{}{}={:?}", series.steps[at], time(at), series.values[at])).collect()
}

fn places(report: &Report) -> Vec<Option<u64>> {
    report.skipped.iter().map(|skipped| skipped.offset).collect()
}

#[test]
fn pipes_and_devices_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("device.csv");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let (runs, report) = import_path(&link);
    assert_eq!(runs.len(), 0);
    assert!(report.skipped[0].reason.contains("neither a file nor a folder"), "{:?}", report.skipped);
}

#[test]
fn texts_among_numbers_are_counted_from_the_first_one() {
    let text = "step,a,b,c\n0,-,1,x\n1,1,-,y\n2,2,3,y\n";
    let (runs, report) = import_files(&[("log.csv", text)]);
    assert_eq!(runs[0].params, []);
    assert_eq!(series(&runs[0], "a"), ["1=1.0", "2=2.0"]);
    assert_eq!(series(&runs[0], "b"), ["0=1.0", "2=3.0"]);
    let told: Vec<_> = report.skipped.iter().map(|skipped| (skipped.offset, &skipped.reason[..])).collect();
    let told: Vec<_> =
        told.iter().map(|(offset, reason)| (*offset, &reason[..10], reason.rsplit(' ').next().unwrap())).collect();
    assert_eq!(
        told,
        [(Some(11), "column \"a\"", "1"), (Some(19), "column \"b\"", "1"), (Some(11), "column \"c\"", "3")]
    );
}

#[test]
fn wide_csv_has_a_column_for_each_metric() {
    let text = "epoch,step,loss,acc,model,_timestamp\n0,10,0.5,,resnet,1700000000.5\n0,20,nan,0.25,resnet,1700000001\n1,30,-Infinity,True,resnet,\n";
    let (runs, report) = import_files(&[("sub/log.csv", text)]);
    assert_eq!(report.skipped, []);
    let [run] = &runs[..] else { panic!() };
    assert_eq!((run.own_id, run.source.as_str()), (false, "csv:sub/log.csv"));
    assert_eq!(import_files(&[("sub/log.csv", text)]).0[0].id, run.id, "the same place and beginning");
    assert_eq!(series(run, "loss"), ["10@1700000000500=0.5", "20@1700000001000=NaN", "30=-inf"]);
    assert_eq!(series(run, "acc"), ["20@1700000001000=0.25", "30=1.0"]);
    assert_eq!(series(run, "epoch").len(), 3);
    assert_eq!(run.params, [("model".to_owned(), "resnet".to_owned())]);
    assert_eq!(
        (run.start_time_ms, run.end_time_ms, run.status),
        (Some(1_700_000_000_500), Some(1_700_000_001_000), RunStatus::Finished)
    );
}

#[test]
fn long_csv_keeps_run_ids_and_mixed_runs() {
    let text = "run_id,key,step,timestamp_ms,value\na1,loss,0,5,0.1\nb2,loss,0,,0.2\na1,loss,-1,7,0.3\na1,\"x,y\",0,8,inf\na/1,loss,3,,4\n";
    let (runs, report) = import_files(&[("log.csv", text)]);
    assert_eq!((report.runs(), report.series(), report.points(), report.skipped.len()), (3, 4, 5, 0));
    let run = |name: &str| runs.iter().find(|run| run.name == name).unwrap();
    assert_eq!(run("a1").id.as_str(), "a1");
    assert_eq!(series(run("a1"), "loss"), ["0@5=0.1", "-1@7=0.3"]);
    assert_eq!(series(run("a1"), "x,y"), ["0@8=inf"]);
    assert!(run("b2").series[0].timestamps_ms.is_none());
    assert!(run("a1").own_id && !run("a/1").own_id, "a name that can be no id is one with its place only");
}

#[test]
fn bad_csv_rows_are_told_with_their_place_and_the_rest_is_read() {
    let text = "step;loss\n1;0.5\n2\n3;0.25;9\nx;1\n4;word\nstep;loss\n5;0.125\n6";
    let (runs, report) = import_files(&[("log.csv", text)]);
    assert_eq!(series(&runs[0], "loss"), ["1=0.5", "5=0.125"]);
    assert_eq!(places(&report), [Some(16), Some(18), Some(27), Some(56), Some(31)], "{:?}", report.skipped);
    let (runs, report) = import_files(&[("a.csv", "x,y\n1,2\n"), ("b.csv", ""), ("c.csv", "step\n1\n")]);
    assert!(runs.is_empty());
    assert_eq!(report.skipped.len(), 3);
    assert!(report.skipped[0].reason.contains("no step column"));
}

#[test]
fn columns_without_a_name_of_their_own_are_told() {
    let text = ",step,a,a,b,\n0,1,2,3,4,\n1,2,,5,6,\n";
    let (runs, report) = import_files(&[("log.csv", text)]);
    let keys: Vec<_> = runs[0].series.iter().map(|series| series.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(
        (series(&runs[0], "a"), series(&runs[0], "b")),
        (vec!["1=2.0".into()], vec!["1=4.0".into(), "2=6.0".into()])
    );
    // The last column has no cell: nothing of it is lost.
    let told: Vec<_> = report.skipped.iter().map(|skipped| (skipped.offset, skipped.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (Some(13), "column 1 has no name; left out with its cells, 2: give it a name of its own"),
            (Some(13), "column 4 is named \"a\" as column 3 is; left out with its cells, 2: give it a name of its own"),
        ]
    );
}

#[test]
fn a_table_without_a_point_makes_no_run() {
    let files = [
        ("a.csv", "step,x\n"),
        ("b.csv", "step,x"),
        ("c.csv", "step,x\n1,\n"),
        ("d.jsonl", "{\"step\":1,\"x\":\"word\"}\n"),
        ("e.csv", "run_id,step,x\nr,1,\ns,1,2\n"),
    ];
    let (runs, report) = import_files(&files);
    let names: Vec<_> = runs.iter().map(|run| run.name.as_str()).collect();
    let told: Vec<_> = report.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    let none = "no point in it; not imported";
    assert_eq!((names, told), (vec!["s"], vec![none, none, none, none, "run \"r\" has no point; not imported"]));
}

#[test]
fn times_that_are_none_are_told() {
    let text = "step,timestamp,x\n1,soon,2\n2,,3\n3,1700000000,4\n4,later,5\n";
    let (runs, report) = import_files(&[("log.csv", text)]);
    assert_eq!(series(&runs[0], "x"), ["1=2.0", "2=3.0", "3@1700000000000=4.0", "4=5.0"]);
    assert_eq!(report.skipped[0].offset, Some(17));
    assert_eq!(report.skipped[0].reason, "\"soon\" is not a time; points kept without one, in rows: 2");
}

#[test]
fn a_monitor_file_counts_steps_and_time_from_its_start() {
    let text = "#{\"t_start\": 1700000000.25, \"env_id\": \"CartPole-v1\"}\nr,l,t,is_success\n1.5,10,0.5,True\n2.5,20\n-1,7,1.0,False\n3,4,2.";
    let (runs, report) = import_files(&[("0.monitor.csv", text)]);
    assert_eq!(series(&runs[0], "r"), ["10@1700000000750=1.5", "17@1700000001250=-1.0"]);
    assert_eq!(series(&runs[0], "is_success"), ["10@1700000000750=1.0", "17@1700000001250=0.0"]);
    assert_eq!(runs[0].params[1], ("env_id".to_owned(), "CartPole-v1".to_owned()));
    assert_eq!(runs[0].start_time_ms, Some(1_700_000_000_250));
    assert_eq!(places(&report), [Some(86), Some(108)], "{:?}", report.skipped);
}

#[test]
fn json_lines_are_flattened_and_their_nan_read() {
    let text = concat!(
        "{\"_step\": 0, \"_timestamp\": 1700000000.5, \"loss\": 0.1, \"eval\": {\"acc\": NaN, \"n\": 3}, \"note\": \
         \"x\", \"ok\": true}\n",
        "\n",
        "{\"_step\": 1, \"loss\": \"Infinity\"}\n",
        "[1]\n",
        "{\"loss\": 1}\n",
        "{\"_step\": 2, \"loss\": 1e"
    );
    let (runs, report) = import_files(&[("log.jsonl", text)]);
    assert_eq!(series(&runs[0], "loss"), ["0@1700000000500=0.1", "1=inf"]);
    assert_eq!(series(&runs[0], "eval/acc"), ["0@1700000000500=NaN"]);
    assert_eq!(series(&runs[0], "ok"), ["0@1700000000500=1.0"]);
    assert_eq!(report.skipped.len(), 3);
    assert_eq!(report.skipped[2].offset, Some(text.rfind('{').unwrap() as u64));
    assert!(report.skipped[2].reason.contains("torn"));
    let long = "{\"run_id\":\"r\",\"key\":\"a\",\"step\":1,\"timestamp_ms\":9,\"value\":\"NaN\"}\n{\"run_id\":\"q\",\"key\":\"a\",\"step\":1,\"value\":2}\n";
    let (runs, report) = import_files(&[("log.jsonl", long)]);
    assert_eq!((report.runs(), report.skipped.len()), (2, 0));
    assert_eq!((runs[0].id.as_str(), series(&runs[0], "a")), ("r", vec!["1@9=NaN".to_owned()]));
}

#[test]
fn mlruns_are_read_with_names_trash_and_torn_lines() {
    let id = "07a975eb49874e1d9c06c0945e7fc687";
    let run = |place: &str| format!("mlruns/{place}/{id}");
    let meta = "run_id: X\nrun_uuid: X\nrun_name: koi\nuser_id: me\nstatus: 5\nstart_time: 10\nend_time: \
                null\nlifecycle_stage: active\n"
        .replace('X', id);
    let files = |place: &str| {
        vec![
            (
                format!("mlruns/{place}/meta.yaml"),
                "experiment_id: '1'\nname: Mine\nlifecycle_stage: active\n".to_owned(),
            ),
            (format!("{}/meta.yaml", run(place)), meta.clone()),
            (
                format!("{}/metrics/train/loss", run(place)),
                "1000 0.5 0\n1001 nan 1\n1002 0.25\nx y z\n1003 -inf 3 data digest\n1004 12".to_owned(),
            ),
            (format!("{}/params/opt/lr", run(place)), "0.1".to_owned()),
            (format!("{}/tags/mlflow.note.content", run(place)), "two\nlines".to_owned()),
            (format!("{}/artifacts/table.csv", run(place)), "step,x\n1,2\n".to_owned()),
        ]
    };
    for (place, deleted) in [("1", false), (".trash/1", true)] {
        let files = files(place);
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (runs, report) = import_files(&files);
        let [run] = &runs[..] else { panic!("{report:?}") };
        assert_eq!(
            (run.id.as_str(), run.name.as_str(), run.user.as_str(), run.experiment.as_deref()),
            (id, "koi", "me", Some("Mine"))
        );
        assert_eq!(
            (run.status, run.start_time_ms, run.end_time_ms, run.deleted),
            (RunStatus::Killed, Some(10), None, deleted)
        );
        assert_eq!(series(run, "train/loss"), ["0@1000=0.5", "1@1001=NaN", "0@1002=0.25", "3@1003=-inf"]);
        assert_eq!(run.params, [("opt/lr".to_owned(), "0.1".to_owned())]);
        assert_eq!(run.tags, [("mlflow.note.content".to_owned(), "two\nlines".to_owned())]);
        assert_eq!(places(&report), [Some(32), Some(62), None], "{:?}", report.skipped);
    }
    let (runs, report) = import_files(&[("1/abc/meta.yaml", "run_id: [torn"), ("1/abc/metrics/loss", "1 2 3\n")]);
    assert_eq!((runs[0].id.as_str(), report.points(), report.skipped.len()), ("abc", 1, 1));
}

#[test]
fn an_mlflow_database_is_read_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlflow é#1?.db");
    let fill = |journal: &str| {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.pragma_update(None, "journal_mode", journal).unwrap();
        db.execute_batch(
            "CREATE TABLE experiments (experiment_id INTEGER, name TEXT, lifecycle_stage TEXT);
             CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT, lifecycle_stage TEXT, experiment_id INTEGER, more TEXT);
             CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT, is_nan BOOLEAN);
             CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
             CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
             INSERT INTO experiments VALUES (3, 'E', 'active');
             INSERT INTO runs VALUES ('bb', 'second', 'FAILED', 7, 'deleted', 3, 'x'), ('aa', NULL, 'FINISHED', NULL, 'active', 3, 'x');
             INSERT INTO metrics VALUES ('m', 1.5, 10, 'bb', 2, 0), ('m', 0, 11, 'bb', 1, 1), ('n', 1.7976931348623157e308, 12, 'bb', 0, 0),
                                        ('m', 3, 13, 'aa', 0, 0), ('m', 4, 14, 'zz', 0, 0), ('m', 5, 14, 'ab', 0, 0);
             INSERT INTO params VALUES ('p', '1', 'bb');
             INSERT INTO tags VALUES ('mlflow.runName', 'first', 'aa'), ('mlflow.user', 'me', 'aa');",
        )
        .unwrap();
        db
    };
    let check = || {
        let before: Vec<_> = listing(folder.path());
        let (runs, report) = import_path(folder.path());
        assert_eq!(listing(folder.path()), before, "nothing may appear or change");
        let [aa, bb] = &runs[..] else { panic!("{report:?}") };
        assert_eq!(
            (aa.id.as_str(), aa.name.as_str(), aa.user.as_str(), aa.experiment.as_deref()),
            ("aa", "first", "me", Some("E"))
        );
        assert_eq!(
            (bb.name.as_str(), bb.status, bb.start_time_ms, bb.deleted),
            ("second", RunStatus::Failed, Some(7), true)
        );
        assert_eq!(series(bb, "m"), ["2@10=1.5", "1@11=NaN"]);
        assert_eq!(series(bb, "n"), ["0@12=1.7976931348623157e308"]);
        assert_eq!(bb.params, [("p".to_owned(), "1".to_owned())]);
        let told: Vec<_> = report.skipped.iter().map(|skipped| (skipped.kind, skipped.count)).collect();
        assert_eq!(told, [(Kind::Point, 2)]);
        assert!(report.skipped[0].reason.contains("metric rows of runs that do not exist"));
    };
    drop(fill("delete"));
    check();
    // In WAL mode: closed cleanly, and copied from under a writer, its log full and its shared memory not there.
    std::fs::remove_file(&path).unwrap();
    let db = fill("wal");
    let wal = folder.path().join("mlflow é#1?.db-wal");
    let (kept_db, kept_wal) = (std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap());
    drop(db);
    check();
    std::fs::write(&path, kept_db).unwrap();
    std::fs::write(&wal, kept_wal).unwrap();
    check();
}

fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn two_sources_with_one_id_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a/log.csv", "step,x\n1,2\n");
    write(folder.path(), "b/log.csv", "step,x\n1,3\n");
    let mut sink = Collect::default();
    let paths = ["a", "b", "a/log.csv"].map(|path| folder.path().join(path));
    let report = import(&paths, &mut sink).unwrap();
    assert_eq!((report.runs(), report.skipped.len(), report.gave_nothing().count()), (2, 0, 0));
    assert_ne!(sink.runs[0].id, sink.runs[1].id, "equal places of two projects, told apart by their beginnings");
    assert_eq!(sink.runs[0].name, sink.runs[1].name);
    let (runs, _) = import_path(folder.path());
    assert_eq!(runs.len(), 2);
    assert_ne!(runs[0].id, runs[1].id);
    assert_eq!(sink.done.last().map(|(done, total)| done == total), Some(true));
    // Runs that name themselves are taken once.
    write(folder.path(), "c/log.csv", "run_id,step,x\nr,1,2\n");
    write(folder.path(), "d/log.csv", "run_id,step,x\nr,1,3\n");
    let mut sink = Collect::default();
    let report = import(&["c", "d"].map(|path| folder.path().join(path)), &mut sink).unwrap();
    assert_eq!((report.runs(), report.gave_nothing().count()), (1, 0));
    assert!(report.skipped[0].reason.contains("already imported"), "{:?}", report.skipped);
}

#[test]
fn what_cannot_be_is_an_error_or_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let missing = import(&[folder.path().join("missing")], &mut Collect::default());
    assert!(matches!(missing, Err(ImportError::Path { .. })));
    let other = write(folder.path(), "notes.txt", "hello");
    let report = import(&[other], &mut Collect::default()).unwrap();
    assert!(report.skipped[0].reason.contains("not a log known here"));
    let log = write(folder.path(), "log.csv", "step,x\n1,2\n");
    let refused = import(&[log], &mut Collect { full: true, ..Collect::default() });
    assert!(refused.unwrap_err().to_string().contains("the disk is full"));
}
