//! Tables as tools write them: every dress of text, every spelling of steps and times, and files that are being
//! written.

use std::io::Write;
use std::path::Path;

use stepwell_import::{BoxError, Format, ImportedRun, Kind, Options, Report, Sink, Taken, import_with};

#[derive(Default)]
struct Collect(Vec<ImportedRun>);

impl Sink for Collect {
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError> {
        let taken = Taken::new(run.counts());
        self.0.push(run);
        Ok(taken)
    }
}

fn import(path: &Path, options: &Options) -> (Vec<ImportedRun>, Report) {
    let mut sink = Collect::default();
    let report = import_with(&[path.to_path_buf()], options, &mut sink).unwrap();
    (sink.0, report)
}

fn files_with(files: &[(&str, &[u8])], options: &Options) -> (Vec<ImportedRun>, Report) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join("in").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    import(&folder.path().join("in"), options)
}

fn files(files: &[(&str, &str)]) -> (Vec<ImportedRun>, Report) {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    files_with(&files, &Options::default())
}

/// A series as "step=value", with "@time" where there is one; empty when there is none.
fn series(run: &ImportedRun, key: &str) -> Vec<String> {
    let Some(series) = run.series.iter().find(|series| series.key == key) else { return Vec::new() };
    let time = |at: usize| series.timestamps_ms.as_ref().and_then(|times| times[at]);
    (0..series.steps.len())
        .map(|at| {
            let time = time(at).map_or(String::new(), |time| format!("@{time}"));
            format!("{}{time}={:?}", series.steps[at], series.values[at])
        })
        .collect()
}

fn keys(run: &ImportedRun) -> Vec<&str> {
    run.series.iter().map(|series| series.key.as_str()).collect()
}

fn option(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn a_half_written_last_row_waits_until_it_is_ended() {
    for (name, text, torn) in [
        ("m.csv", "step,loss\n0,1.25\n1,0.7", 17),
        ("m.tsv", "step\tloss\r\n0\t1.25\r\n1\t0.7", 19),
        ("m.csv", "step,note,loss\n0,a,1.25\n1,\"a\nb", 24),
        ("m.csv", "step,note,loss\n0,a,1.25\n1,\"never closed,0.5\n2,a,0.25\n", 24),
        ("m.jsonl", "{\"step\":0,\"loss\":1.25}\n{\"step\":1,\"loss\":0.7", 23),
        ("0.monitor.csv", "#{\"t_start\":5}\nr,l,t\n1.25,0,0\n7,1,0.7", 30),
    ] {
        let (runs, report) = files(&[(name, text)]);
        let key = if name.contains("monitor") { "r" } else { "loss" };
        let values: Vec<f64> = runs[0].series.iter().find(|series| series.key == key).unwrap().values.clone();
        assert_eq!(values, [1.25], "{text:?}");
        let told: Vec<_> = report.skipped.iter().map(|skipped| (skipped.offset, skipped.kind)).collect();
        assert_eq!(told, [(Some(torn), Kind::Place)], "{text:?}: {:?}", report.skipped);
        assert!(report.skipped[0].reason.contains("until it is"), "{:?}", report.skipped);
    }
    // A JSON object says itself that it is whole, and a file may be said to be complete.
    assert_eq!(files(&[("m.jsonl", "{\"step\":0,\"loss\":1.25}")]).1.points(), 1);
    let complete = Options { complete: true, ..Options::default() };
    let (runs, report) = files_with(&[("m.csv", b"step,loss\n0,1.25\n1,0.7")], &complete);
    assert_eq!((series(&runs[0], "loss"), report.skipped), (vec!["0=1.25".into(), "1=0.7".into()], vec![]));
    // Nothing but a torn row is nothing yet.
    let (runs, report) = files(&[("m.csv", "step,loss\n1,0.7")]);
    assert_eq!((runs.len(), report.gave_nothing().count()), (0, 1));
}

#[test]
fn cells_may_hold_line_breaks() {
    let text = "step,sizes,loss\n0,\"[10,\n20,30]\",1.5\n1,\"[40,\n50,60]\",1.25\n";
    let (runs, report) = files(&[("a.csv", text), ("b.csv", &text.replace('\n', "\r\n"))]);
    for run in &runs {
        assert_eq!(series(run, "loss"), ["0=1.5", "1=1.25"]);
        assert_eq!(keys(run), ["loss"]);
    }
    assert_eq!(report.left_out().get(Kind::Cell), 4, "{:?}", report.skipped);
    // Quotes that do not match cost their rows and no other is taken for one.
    let (runs, report) = files(&[("a.csv", "step,x,loss\n0,\"a,1\n1,b,2\n2,\"c\",3\n3,d,4\n")]);
    assert_eq!(series(&runs[0], "loss"), ["3=4.0"], "{:?}", report.skipped);
    assert!(report.skipped[0].reason.contains("in 3 lines"), "{:?}", report.skipped);
}

#[test]
fn texts_come_in_every_dress() {
    let plain = "step,loss,acc\n0,0.5,1\n1,0.25,2\n";
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(plain.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let with = |from: &str, to: &str| plain.replace(from, to).into_bytes();
    let dresses: Vec<(&str, Vec<u8>)> = vec![
        ("a.csv", plain.into()),
        ("a.csv", [b"\xef\xbb\xbf", plain.as_bytes()].concat()),
        ("a.csv", utf16),
        ("a.csv.gz", gzip),
        ("a.csv", with("\n", "\r\n")),
        ("a.csv", with("\n", "\r")),
        ("a.tsv", with(",", "\t")),
        ("a.csv", with(",", ";")),
        ("a.csv", with(",", "|")),
        ("a.csv", with(",", " , ")),
        ("a.csv", with("\n", "\n\n  \n")),
        ("a.csv", with("step,loss,acc", "\"step\",\"loss\",\"acc\"")),
        ("a.csv", [b"sep=,\n", plain.as_bytes()].concat()),
        ("a.csv", [b"# made by hand\n\n", plain.as_bytes()].concat()),
        ("a.csv", with("step,loss,acc\n", "# step,loss,acc\n")),
        ("progress.txt", with(",", "\t")),
        ("a.csv", with("1,0.25", "1.0,2.5e-1")),
        ("a.csv", [plain.as_bytes(), b"step,loss,acc\n"].concat()),
    ];
    for (name, bytes) in dresses {
        let (runs, report) = files_with(&[(name, &bytes)], &Options::default());
        assert_eq!(report.skipped, [], "{name} {:?}", String::from_utf8_lossy(&bytes));
        assert_eq!(series(&runs[0], "loss"), ["0=0.5", "1=0.25"], "{name} {:?}", String::from_utf8_lossy(&bytes));
        assert_eq!(series(&runs[0], "acc"), ["0=1.0", "1=2.0"]);
    }
    let (runs, report) = files(&[
        ("a.csv", "step;loss;n\n-1;0,5;NA\n1e3;1,25e-1;\n"),
        ("b.csv", "step,loss\n\"1,000\",\"1,234.5\"\n2,None\n"),
    ]);
    assert_eq!((series(&runs[0], "loss"), report.skipped), (vec!["-1=0.5".into(), "1000=0.125".into()], vec![]));
    assert_eq!(series(&runs[1], "loss"), ["1000=1234.5"]);
}

#[test]
fn times_are_numbers_and_dates() {
    let text = "step,time,loss\n0,2024-06-22T20:08:17.909Z,1\n1,2024-06-22 22:08:18+02:00,2\n2,2024-06-22 20:08:19,3\n";
    let json = "{\"step\":0,\"timestamp\":\"2024-06-22T20:08:17.909+00:00\",\"loss\":1}\n{\"step\":1,\"date\":\"2024-06-22T20:08:18\",\"loss\":2}\n";
    let (runs, report) = files(&[("a.csv", text), ("b.jsonl", json), ("c.csv", "step,time,loss\n0,1.5,1\n")]);
    let first = "0@1719086897909=1.0";
    assert_eq!(series(&runs[0], "loss"), [first, "1@1719086898000=2.0", "2@1719086899000=3.0"]);
    assert_eq!(series(&runs[1], "loss"), [first, "1@1719086898000=2.0"]);
    // A number of seconds since the start is a metric.
    assert_eq!((series(&runs[2], "time"), series(&runs[2], "loss")), (vec!["0=1.5".into()], vec!["0=1.0".into()]));
    assert_eq!(report.skipped, []);
}

#[test]
fn columns_are_named_by_the_caller_where_nothing_else_does() {
    let numbers: &[(&str, &[u8])] = &[("environment.csv", b"1,125000,435.0\n2,250000,550.0\n")];
    let (runs, report) = files_with(numbers, &Options::default());
    assert!(runs.is_empty() && report.skipped[0].reason.contains("--columns"), "{:?}", report.skipped);
    let columns = Some(["epoch", "step", "value"].map(str::to_owned).to_vec());
    let (runs, _) = files_with(numbers, &Options { columns, ..Options::default() });
    assert_eq!(series(&runs[0], "value"), ["125000=435.0", "250000=550.0"]);
    let step_column = option("2");
    let (runs, _) = files_with(numbers, &Options { no_header: true, step_column, ..Options::default() });
    assert_eq!(series(&runs[0], "column_3"), ["125000=435.0", "250000=550.0"]);
    assert_eq!(keys(&runs[0]), ["column_1", "column_3"]);
    let columns = Some(vec!["a".to_owned()]);
    let (_, report) = files_with(numbers, &Options { columns, ..Options::default() });
    assert!(report.skipped[0].reason.contains("3 columns, but --columns names 1"), "{:?}", report.skipped);

    let words: &[(&str, &[u8])] =
        &[("a.csv", b"when,loss\n1700000000,2\n1700000001,1\n"), ("b.jsonl", b"{\"loss\":2}\n{\"loss\":1}\n")];
    let (runs, report) = files_with(words, &Options::default());
    assert_eq!((runs.len(), report.skipped.len()), (0, 3));
    let options = Options { step_column: option("row"), time_column: option("when"), ..Options::default() };
    let (runs, _) = files_with(&words[..1], &options);
    assert_eq!(series(&runs[0], "loss"), ["0@1700000000000=2.0", "1@1700000001000=1.0"]);
    let (runs, _) = files_with(&words[1..], &Options { step_column: option("row"), ..Options::default() });
    assert_eq!(series(&runs[0], "loss"), ["0=2.0", "1=1.0"]);
    let seeds: &[(&str, &[u8])] = &[("c.csv", b"seed,step,loss\n1,0,5\n2,0,6\n1,1,7\n")];
    let (runs, _) = files_with(seeds, &Options { run_column: option("seed"), ..Options::default() });
    assert_eq!(
        runs.iter().map(|run| (run.name.as_str(), run.own_id)).collect::<Vec<_>>(),
        [("2", false), ("1", false)]
    );
    assert_eq!(series(&runs[1], "loss"), ["0=5.0", "1=7.0"]);
}

#[test]
fn monitor_files_begin_with_a_blank_or_none() {
    let rows = "r,l,t\n7,9,2.5\n9,11,3.5\n";
    let start = "{\"t_start\": 1558056922.5, \"env_id\": \"X-v0\"}";
    for first in [format!("#{start}\n"), format!("# {start} \n"), format!("#\t{start}\r\n")] {
        let (runs, report) = files(&[("0.monitor.csv", &format!("{first}{rows}"))]);
        assert_eq!(report.skipped, []);
        assert_eq!(series(&runs[0], "r"), ["9@1558056925000=7.0", "20@1558056926000=9.0"]);
        assert_eq!((runs[0].source.as_str(), runs[0].params.len()), ("monitor:0.monitor.csv", 2));
    }
}

#[test]
fn json_lines_are_known_by_their_content() {
    let detectron = "{\"iteration\": 19, \"total_loss\": 1.5}\n{\"iteration\": 39, \"total_loss\": 1.25}\n";
    let mmdet = "{\"env_info\": \"Python: 3.8\", \"seed\": 0}\n{\"mode\": \"train\", \"epoch\": 1, \"iter\": 50, \
                 \"loss\": 2.5}\n";
    let array = "[\n  {\"step\": 1, \"loss\": 0.5},\n  {\"step\": 2, \"loss\": NaN}\n]\n";
    let (runs, report) = files(&[
        ("metrics.json", detectron),
        ("20200101_000000.log.json", mmdet),
        ("vis_data/scalars.json", "{\"lr\": 0.1, \"step\": 50}\n"),
        ("history.json", array),
        ("config.json", "{\"lr\": 0.1, \"epochs\": 3}"),
        ("package.json", "{\n  \"name\": \"x\"\n}\n"),
        ("list.json", "[1, 2, 3]"),
        ("empty.json", ""),
    ]);
    let by_name = |name: &str| runs.iter().find(|run| run.name == name).unwrap_or_else(|| panic!("{name}: {report:?}"));
    assert_eq!(series(by_name("metrics.json"), "total_loss"), ["19=1.5", "39=1.25"]);
    let mmdet = by_name("20200101_000000.log.json");
    assert_eq!(series(mmdet, "train/loss"), ["50=2.5"]);
    assert!(mmdet.params.contains(&("seed".into(), "0".into())));
    assert_eq!(series(by_name("vis_data/scalars.json"), "lr"), ["50=0.1"]);
    assert_eq!(series(by_name("history.json"), "loss"), ["1=0.5", "2=NaN"]);
    assert_eq!((runs.len(), report.skipped.len()), (4, 0), "{:?}", report.skipped);
    assert_eq!(report.paths[0].unrecognised.get(".json"), Some(&4));
}

#[test]
fn texts_and_lists_in_json_lines_are_told() {
    let text = "{\"step\":0,\"x\":1,\"state\":\"warm\",\"model\":\"a\",\"sizes\":[1,2]}\n{\"step\":1,\"x\":2,\"state\":\"hot\",\"model\":\"a\",\"sizes\":[1,2],\"gone\":null}\n";
    let (runs, report) = files(&[("log.jsonl", text)]);
    assert_eq!(runs[0].params, [("model".into(), "a".into()), ("sizes".into(), "[1,2]".to_owned())]);
    assert_eq!(report.skipped.len(), 1, "{:?}", report.skipped);
    assert_eq!((report.skipped[0].kind, report.skipped[0].count), (Kind::Cell, 2));
    assert!(report.skipped[0].reason.contains("\"state\""));
}

#[test]
fn a_training_of_hugging_face_is_one_run() {
    let row = |step: u32, loss: f32| format!("{{\"epoch\": 0.5, \"step\": {step}, \"loss\": {loss}}}");
    let state = |rows: &[String], step: u32| {
        format!(
            "{{\n  \"best_metric\": null,\n  \"global_step\": {step},\n  \"max_steps\": 30,\n  \"log_history\": \
             [\n{}\n  ]\n}}",
            rows.join(",\n")
        )
    };
    let rows = [row(10, 3.0), row(20, 2.0), row(30, 1.0)];
    let all = state(&rows, 30);
    let (first, other) = (state(&rows[..1], 10), state(&[row(10, 9.0)], 10));
    let (runs, report) = files(&[
        ("out/checkpoint-10/trainer_state.json", &first),
        ("out/checkpoint-30/trainer_state.json", &all),
        ("out/trainer_state.json", &all),
        ("out/checkpoint-11/trainer_state.json", &other),
    ]);
    let [run] = &runs[..] else { panic!("{report:?}") };
    assert_eq!(
        (run.name.as_str(), series(run, "loss")),
        ("out", vec!["10=3.0".into(), "20=2.0".into(), "30=1.0".into()])
    );
    assert_eq!(series(run, "epoch").len(), 3);
    assert_eq!(run.params, [("max_steps".to_owned(), "30".to_owned())]);
    assert_eq!(run.tags, [("global_step".to_owned(), "30".to_owned())]);
    assert_eq!(report.skipped.len(), 1, "{:?}", report.skipped);
    assert!(report.skipped[0].reason.contains("not the beginning"));
    // Earlier, with fewer checkpoints, it was the same run.
    let (earlier, _) = files(&[("out/checkpoint-10/trainer_state.json", &first)]);
    assert_eq!((&earlier[0].id, earlier[0].name.as_str()), (&run.id, "out"));
    let (none, report) = files(&[("trainer_state.json", "{\"log_history\": []}")]);
    assert_eq!((none.len(), report.gave_nothing().count(), report.skipped.len()), (0, 1, 1));
}

#[test]
fn a_dvclive_folder_is_one_run() {
    let (runs, report) = files(&[
        (
            "exp/dvclive/plots/metrics/train/loss.tsv",
            "timestamp\tstep\tloss\n1700000000000\t0\t0.5\n1700000001000\t1\t0.25\n",
        ),
        ("exp/dvclive/plots/metrics/lr.tsv", "step\tlr\n0\t0.1\n1\t0."),
        ("exp/dvclive/plots/images/a.png", ""),
        ("exp/dvclive/metrics.json", "{\"train\": {\"loss\": 0.25}, \"step\": 1, \"best\": 0.9}"),
        ("exp/dvclive/params.yaml", "lr: 0.1\nmodel:\n  depth: 3\n"),
        ("exp/dvclive/report.md", "x"),
    ]);
    let [run] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((run.name.as_str(), keys(run)), ("exp/dvclive", vec!["lr", "train/loss"]));
    assert_eq!(series(run, "train/loss"), ["0@1700000000000=0.5", "1@1700000001000=0.25"]);
    assert_eq!(series(run, "lr"), ["0=0.1"]);
    assert_eq!(run.params, [("lr".into(), "0.1".into()), ("model.depth".into(), "3".to_owned())]);
    assert_eq!(run.tags, [("step".into(), "1".into()), ("best".into(), "0.9".to_owned())]);
    assert_eq!(report.skipped.len(), 1, "the torn row of lr: {:?}", report.skipped);
    assert_eq!(report.paths[0].unrecognised.values().sum::<u64>(), 2);
}

#[test]
fn named_files_are_known_by_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let csv = write("data", "step,loss\n0,1\n1,2");
    let stdin = Options { stdin: Some(csv.clone()), ..Options::default() };
    let (runs, _) = import(&csv, &stdin);
    assert_eq!((runs[0].name.as_str(), series(&runs[0], "loss").len()), ("stdin", 2), "what was piped is complete");
    assert_eq!(import(&csv, &Options::default()).1.points(), 1);
    let lines = write("lines.txt", "{\"step\":1,\"x\":2}\n");
    assert_eq!(import(&lines, &Options::default()).1.points(), 1);
    let odd = write("odd.txt", "a,b\n1,2\n");
    assert!(import(&odd, &Options::default()).1.skipped[0].reason.contains("not a log known here"));
    let options = Options { format: Some(Format::Csv), step_column: option("a"), ..Options::default() };
    assert_eq!(import(&odd, &options).1.points(), 1);
}

#[test]
fn the_parts_of_a_training_are_metrics_of_their_own() {
    // As MMDetection logs it: iterations count anew in each epoch, those of an evaluation count what was evaluated.
    let log = "{\"env_info\": \"linux\", \"seed\": 0, \"exp_name\": \"faster.py\"}\n\
               {\"mode\": \"train\", \"epoch\": 1, \"iter\": 50, \"lr\": 0.5, \"loss\": 4.0}\n\
               {\"mode\": \"train\", \"epoch\": 1, \"iter\": 100, \"lr\": 0.5, \"loss\": 3.0}\n\
               {\"mode\": \"val\", \"epoch\": 1, \"iter\": 5000, \"bbox_mAP\": 0.25, \"loss\": 9.0, \"copypaste\": \"0.2 0.1\"}\n\
               {\"mode\": \"train\", \"epoch\": 2, \"iter\": 50, \"lr\": 0.25, \"loss\": 2.0}\n\
               {\"mode\": \"val\", \"epoch\": 2, \"iter\": 5000, \"bbox_mAP\": 0.5, \"loss\": 8.0, \"copypaste\": \"0.3 0.1\"}\n";
    let (runs, report) = files(&[("20200101_000000.log.json", log)]);
    let run = &runs[0];
    assert_eq!(keys(run), ["train/epoch", "train/lr", "train/loss", "val/epoch", "val/bbox_mAP", "val/loss"]);
    assert_eq!(series(run, "train/loss"), ["50=4.0", "100=3.0", "150=2.0"]);
    assert_eq!(series(run, "val/loss"), ["100=9.0", "150=8.0"]);
    assert_eq!(run.params.len(), 3);
    assert_eq!(report.left_out().iter().collect::<Vec<_>>(), [(Kind::Cell, 2)], "{:?}", report.skipped);
    assert!(report.notes[0].1.contains("--step-column iter"), "{:?}", report.notes);
    let options = Options { step_column: option("iter"), ..Options::default() };
    let (runs, report) = files_with(&[("a.log.json", log.as_bytes())], &options);
    assert_eq!(series(&runs[0], "train/loss"), ["50=4.0", "100=3.0", "50=2.0"]);
    assert_eq!(report.notes, []);

    let csv = "epoch,phase,loss,acc\n0,train,1,0.5\n0,val,2,0.25\n1,train,0.5,0.75\n1,val,1.5,\n";
    let (runs, report) = files(&[("log.csv", csv), ("long.csv", "split,step,key,value\ntest,1,a,7\ndev,1,a,8\n")]);
    assert_eq!(keys(&runs[0]), ["train/loss", "train/acc", "val/loss", "val/acc"]);
    assert_eq!(series(&runs[0], "val/loss"), ["0=2.0", "1=1.5"]);
    assert_eq!((keys(&runs[1]), report.skipped), (vec!["test/a", "dev/a"], vec![]));
    // Other words in such a column mean nothing, and numbers are values.
    let (runs, report) = files(&[("a.csv", "step,mode,stage,loss\n0,max,1,5\n1,min,2,6\n")]);
    assert_eq!((keys(&runs[0]), report.left_out().get(Kind::Cell)), (vec!["stage", "loss"], 2));
}

#[test]
fn histories_of_keras_and_frames_of_pandas_are_columns() {
    let history = "{\"loss\": [1.0, 0.5, 0.25], \"val_loss\": [2.0, NaN, 1.5], \"lr\": [0.1, 0.1, 0.01]}";
    let (runs, report) = files(&[("history.json", history)]);
    assert_eq!(series(&runs[0], "loss"), ["0=1.0", "1=0.5", "2=0.25"]);
    assert_eq!(series(&runs[0], "val_loss"), ["0=2.0", "1=NaN", "2=1.5"]);
    assert_eq!((report.runs(), report.series(), &report.skipped[..]), (1, 3, &[][..]));
    // A training that goes on is the same run, another one is not.
    let id = |text: &str| files(&[("history.json", text)]).0[0].id.clone();
    let first = id("{\"loss\": [1.0, 0.5], \"val_loss\": [2.0, NaN], \"lr\": [0.1, 0.1]}");
    assert_eq!(first, runs[0].id);
    assert_ne!(first, id("{\"loss\": [1.5, 0.5], \"val_loss\": [2.0, NaN], \"lr\": [0.1, 0.1]}"));
    let frame = "{\"loss\":{\"0\":1.0,\"1\":0.5},\"val_loss\":{\"0\":2.0,\"1\":null}}";
    let whole = "{\"params\": {\"epochs\": 2, \"steps\": 10}, \"epoch\": [0, 1], \"history\": {\"loss\": [1.0, 0.5]}}";
    let uneven = "{\"mae\": [4, 3, 2, 1], \"val_mae\": [8, 7]}";
    let (runs, report) = files(&[("a.json", frame), ("b.json", whole), ("c.json", uneven)]);
    assert_eq!((series(&runs[0], "val_loss"), runs.len()), (vec!["0=2.0".to_owned()], 3));
    assert_eq!(series(&runs[1], "loss"), ["0=1.0", "1=0.5"]);
    assert_eq!(runs[1].params, [("epochs".to_owned(), "2".to_owned()), ("steps".to_owned(), "10".to_owned())]);
    assert_eq!(series(&runs[2], "val_mae"), ["0=8.0", "1=7.0"]);
    assert!(report.notes[0].1.contains("2 to 4 values"), "{:?}", report.notes);
    // A long one is known by its beginning; what is cut is half-written.
    let long = format!("{{\"loss\": [{}0]}}", "0.125, ".repeat(60_000));
    let (runs, _) = files(&[("x.json", &long)]);
    assert_eq!(runs[0].series[0].values.len(), 60_001);
    let (runs, report) =
        files(&[("history.json", &long[..400_000]), ("norm.json", "{\"mean\": [1, 2], \"std\": [3, 4]}")]);
    assert_eq!((runs.len(), report.paths[0].unrecognised.get(".json")), (0, Some(&1)));
    assert!(report.skipped[0].reason.contains("half-written"), "{:?}", report.skipped);
}

#[test]
fn texts_with_tables_or_objects_in_them_are_logs_whatever_they_are_called() {
    let (runs, report) = files(&[
        ("training.log", "epoch,accuracy,loss\n0,0.5,1.0\n1,0.75,0.5\n"),
        ("log.txt", "{\"train_lr\": 0.1, \"epoch\": 0}\n{\"train_lr\": 0.2, \"epoch\": 1}\n"),
        ("debug.log", "step,by step,we go on\nand on, and on, and on\n"),
        ("notes.txt", "step one: loss\nstep two\n"),
        ("empty.log", ""),
    ]);
    let names: Vec<_> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["log.txt", "training.log"]);
    assert_eq!(series(&runs[1], "loss"), ["0=1.0", "1=0.5"]);
    let unrecognised: Vec<_> = report.paths[0].unrecognised.iter().map(|(end, count)| (end.as_str(), *count)).collect();
    assert_eq!(unrecognised, [(".log", 2), (".txt", 1)]);
}

#[test]
fn headers_and_texts_in_older_encodings_are_read_and_told() {
    let latin: &[u8] = b"step,L\xe4nge,ort\n0,1.5,K\xf6ln\n1,2.5,K\xf6ln\n";
    let (runs, report) = files_with(&[("a.csv", latin)], &Options::default());
    assert_eq!((keys(&runs[0]), series(&runs[0], "Länge")), (vec!["Länge"], vec!["0=1.5".into(), "1=2.5".into()]));
    assert_eq!(runs[0].params, [("ort".to_owned(), "Köln".to_owned())]);
    assert!(report.notes[0].1.contains("3; read as Windows-1252"), "{:?}", report.notes);
    let long: &[u8] = b"step,key,value\n0,\xe9,1\n0,\xc3\xa9,2\n";
    let (runs, report) = files_with(&[("a.csv", long)], &Options::default());
    assert_eq!((series(&runs[0], "é"), report.notes.len()), (vec!["0=1.0".into(), "0=2.0".into()], 1));
    let (_, report) = files(&[("a.csv", "step,Länge\n0,1\n")]);
    assert_eq!(report.notes, []);
}

#[test]
fn numbers_that_no_float_holds_are_told_with_their_count() {
    let csv = "step,n,x\n0,9007199254740993,1e400\n1,9007199254740992,-1e999\n2,18014398509481985,inf\n";
    let lines = "{\"step\":0,\"n\":9007199254740993,\"x\":1e400}\n{\"step\":1,\"n\":9007199254740992,\"x\":-1e999}\n\
                 {\"step\":2,\"n\":18014398509481985,\"x\":Infinity}\n";
    let state = format!("[{}]", lines.trim().replace("}\n", "},"));
    let long = "step,key,value\n0,n,9007199254740993\n2,n,18014398509481985\n1,x,1e400\n2,x,-1e400\n";
    for (name, text) in [("a.csv", csv), ("a.jsonl", lines), ("a.json", &state), ("long.csv", long)] {
        let (runs, report) = files(&[(name, text)]);
        let told = |what: &str| {
            let cells = report.skipped.iter().filter(|skipped| skipped.kind == Kind::Cell);
            cells.filter(|skipped| skipped.reason.contains(what)).map(|skipped| skipped.count).sum::<u64>()
        };
        assert_eq!((runs.len(), told("no float holds"), told("too large")), (1, 2, 2), "{name}: {report:?}");
    }
    let (_, report) = files(&[("a.csv", "step,n,x\n0,9007199254740992,0.12345678901234567\n1,1234,inf\n")]);
    assert_eq!(report.skipped, []);
}

#[test]
fn columns_of_dates_that_hold_other_things_are_told() {
    for (rows, times, told) in [
        // The first cell says what the column holds.
        ("2024-06-22,1\n20240623,2\n06/24/2024,3\n", 1, 2),
        ("2024-06-22 10:00:00,1\n,2\n1719086897,3\n", 1, 1),
        ("2024-06-22,1\n06/24/2024,2\n06/24/2024,2\n", 1, 2),
    ] {
        let table: String = rows.lines().enumerate().map(|(step, row)| format!("{step},{row}\n")).collect();
        let lines: String = table
            .lines()
            .map(|row| row.split(',').collect::<Vec<_>>())
            .map(|row| format!("{{\"step\":{},\"date\":{:?},\"loss\":{}}}\n", row[0], row[1], row[2]))
            .map(|row| row.replace("\"date\":\"\"", "\"date\":null"))
            .collect();
        for (name, text) in [("a.csv", format!("step,date,loss\n{table}")), ("a.jsonl", lines)] {
            let (runs, report) = files(&[(name, &text)]);
            assert_eq!((keys(&runs[0]), runs[0].params.len()), (vec!["loss"], 0), "{name} {text}");
            let timed = runs[0].series[0].timestamps_ms.iter().flatten().flatten().count();
            let cells = report.left_out().get(Kind::Cell);
            assert_eq!((timed, cells, runs[0].series[0].values.len()), (times, told, 3), "{name} {text} {report:?}");
        }
    }
    // Numbers first: the column is a metric, and dates in it are texts.
    let (runs, report) = files(&[("a.csv", "step,time,loss\n0,0.5,1\n1,2024-06-22,2\n")]);
    assert_eq!((keys(&runs[0]), report.left_out().get(Kind::Cell)), (vec!["time", "loss"], 1));
    // With a zone and without one.
    let (_, report) = files(&[("a.csv", "step,timestamp,x\n0,2024-06-22T10:00:00Z,1\n1,2024-06-22T10:00:00,2\n")]);
    assert!(report.notes[0].1.contains("without: 1"), "{:?}", report.notes);
    let (_, report) = files(&[("a.jsonl", "{\"step\":0,\"timestamp\":\"x\",\"y\":1}\n")]);
    assert!(report.skipped[0].reason.contains("\"x\" is not a time"), "{report:?}");
}

#[test]
fn the_whole_rows_of_a_packed_table_that_was_cut_are_taken() {
    let numbers = || (0..20_000).map(|step| (step, step * 7_919 % 9_973));
    let rows: String = numbers().map(|(step, value)| format!("{step},{value}.5\n")).collect();
    let of_runs: String = numbers().map(|(step, value)| format!("a,{step},{value}.5\n")).collect();
    let lines: String = numbers().map(|(step, value)| format!("{{\"step\":{step},\"loss\":{value}.5}}\n")).collect();
    for (name, text) in [
        ("t.csv.gz", format!("step,loss\n{rows}")),
        ("r.csv.gz", format!("run,step,loss\n{of_runs}")),
        ("t.jsonl.gz", lines),
    ] {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let (runs, report) = files_with(&[(name, &packed[..packed.len() / 2])], &Options::default());
        let points = runs.iter().flat_map(|run| &run.series).map(|series| series.values.len()).sum::<usize>();
        assert!(points > 2_000, "{name}: {points}");
        let told = report.skipped.iter().filter(|skipped| skipped.reason.contains("not read to its end")).count();
        assert_eq!((runs.len(), told), (1, 1), "{name}: {:?}", report.skipped);
    }
}
