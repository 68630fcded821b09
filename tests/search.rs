//! Search, verify and repair over a workspace with live, finished, packed and edited runs.

use stepwell::maintenance::{CollectOptions, CompactOptions};
use stepwell::query::{Query, View};
use stepwell::{ExperimentId, NewRun, RunEdit, RunId, RunStatus, Workspace};

fn ids(workspace: &Workspace, filter: &str, view: View) -> Vec<String> {
    let query = Query { view, ..Query::parse(filter, &["metrics.loss ASC"]).unwrap() };
    workspace.search(&query).unwrap().summaries().unwrap().into_iter().map(|run| run.run_id.to_string()).collect()
}

#[test]
fn search_sees_live_packed_and_edited_runs_alike() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let mut live = Vec::new();
    for number in 0..20 {
        let id = Some(RunId::new(format!("run{number:02}")).unwrap());
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun { id, ..NewRun::default() }).unwrap();
        writer.log_param("lr", &format!("0.{}", number % 3)).unwrap();
        for step in 0..10 {
            writer.log_metric("loss", step, f64::from(number) + 1.0 / (step as f64 + 1.0)).unwrap();
        }
        match number % 4 {
            0 => live.push(writer),
            1 => drop(writer),
            _ => writer.finish(RunStatus::Finished).unwrap(),
        }
        if number == 9 {
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    let all = || (0..20).map(|number| format!("run{number:02}")).collect::<Vec<_>>();
    let other = Workspace::open(workspace.root()).unwrap();
    for view in [&workspace, &other] {
        assert_eq!(ids(view, "", View::ActiveOnly), all());
        assert_eq!(ids(view, "metrics.loss < 3 and params.lr = '0.1'", View::ActiveOnly), ["run01"]);
        assert_eq!(
            ids(view, "metrics.loss.max >= 19 or run_id = 'run03'", View::ActiveOnly),
            ["run03", "run18", "run19"]
        );
    }
    let edited = RunId::new("run02").unwrap();
    workspace.edit_run(&edited, &[RunEdit::Tag("a".into(), "b".into())]).unwrap();
    workspace.delete_run(&RunId::new("run03").unwrap()).unwrap();
    for step in 0..3 {
        for view in [&workspace, &other] {
            assert_eq!(ids(view, "tags.a = 'b'", View::ActiveOnly), ["run02"], "step {step}");
            assert_eq!(ids(view, "", View::DeletedOnly), ["run03"], "step {step}");
            assert_eq!(ids(view, "", View::ActiveOnly).len(), 19);
            assert_eq!(ids(view, "", View::All), all());
        }
        if step == 0 {
            live.clear();
        }
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
    }
    let report = other.maintenance().verify().unwrap();
    assert!(report.is_ok(), "{:?}", report.damage);
    let usage = other.maintenance().usage().unwrap();
    assert_eq!((usage.runs, usage.series, usage.points), (20, 20, 200));
    workspace.experiments().delete(ExperimentId::DEFAULT).unwrap();
    assert_eq!(ids(&other, "", View::ActiveOnly), Vec::<String>::new());
    assert_eq!(ids(&other, "", View::DeletedOnly), all());
    workspace.experiments().restore(ExperimentId::DEFAULT).unwrap();
    // It brings back all of its runs, those too that were deleted alone before.
    assert_eq!(ids(&other, "", View::ActiveOnly), all());
    workspace.delete_run(&RunId::new("run03").unwrap()).unwrap();
    assert_eq!(ids(&other, "", View::DeletedOnly), ["run03"]);
    let collected = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    assert_eq!(collected.runs, [(ExperimentId::DEFAULT, RunId::new("run03").unwrap())]);
    assert_eq!(ids(&other, "", View::All).len(), 19);
    assert!(other.maintenance().verify().unwrap().is_ok());
}

#[test]
fn latest_points_come_as_columns_as_lists_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    for number in 0..40_i64 {
        let id = RunId::new(format!("run{number:02}")).unwrap();
        let mut run =
            workspace.create_run(ExperimentId::DEFAULT, NewRun { id: Some(id), ..NewRun::default() }).unwrap();
        for step in 0..=number % 3 {
            run.log_metrics(step, Some(step), &[("one", number as f64 + step as f64)]).unwrap();
        }
        if number % 4 != 0 {
            run.log_metrics(number, None, &[("some", -number as f64)]).unwrap();
        }
        // Half of them stay in logs.
        if number == 20 {
            drop(run);
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    let mut query = Query::parse("metrics.one >= 5", &["metrics.one DESC"]).unwrap();
    query.max_results = 30;
    let list = workspace.search(&query).unwrap();
    let (ids, columns) = (list.run_ids().unwrap(), list.latest(&["some", "none", "one"]).unwrap());
    let rows = list.rows().unwrap();
    assert_eq!((ids.len(), columns.len()), (rows.len(), 3));
    for (at, row) in rows.iter().enumerate() {
        let of = |key: &str| row.metrics.iter().find(|(own, _)| *own == key).map(|(_, point)| *point);
        assert_eq!(ids[at], row.run_id);
        let of_run: Vec<_> = columns.iter().map(|column| column[at]).collect();
        assert_eq!(of_run, [of("some"), None, of("one")], "{}", row.run_id);
    }
    assert!(columns[0].iter().any(Option::is_none) && columns[0].iter().any(Option::is_some));
}

#[test]
fn pages_follow_each_other_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    for number in 0..7 {
        let new = NewRun { id: Some(RunId::new(format!("r{number}")).unwrap()), ..NewRun::default() };
        workspace.create_run(ExperimentId::DEFAULT, new).unwrap().close().unwrap();
        if number == 3 {
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    let mut query = Query { max_results: 3, ..Query::parse("", &["run_id DESC"]).unwrap() };
    let (mut seen, mut pages) = (Vec::new(), Vec::new());
    loop {
        let page = workspace.search(&query).unwrap();
        assert!(!page.is_empty() && page.total == 7, "{page:?}");
        assert_eq!(page.run_ids().unwrap().len(), page.len());
        pages.push(page.len());
        seen.extend(page.run_ids().unwrap().into_iter().map(|id| id.to_string()));
        match page.next_offset {
            Some(offset) => query.offset = offset,
            None => break,
        }
    }
    assert_eq!((pages, seen.join(" ")), (vec![3, 3, 1], "r6 r5 r4 r3 r2 r1 r0".to_owned()));
    query.offset = 100;
    let behind = workspace.search(&query).unwrap();
    assert_eq!((behind.len(), behind.total, behind.next_offset), (0, 7, None));
}
