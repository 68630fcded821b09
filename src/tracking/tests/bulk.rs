//! Histories of several runs, whole and for charts.

use super::support::*;
use crate::tracking::Batch;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::MetricRef;
use crate::tracking::values::error::Code;

fn log(tracking: &Tracking, id: &str, points: impl Iterator<Item = (i64, i64, f64)>) {
    let metrics: Vec<_> = points.map(|(step, time, value)| metric("m", step, time, value)).collect();
    let metrics: Vec<MetricRef<'_>> = metrics.iter().map(Into::into).collect();
    for metrics in metrics.chunks(1000) {
        tracking.log_batch(id, &Batch { metrics, ..Batch::default() }).unwrap();
    }
}

#[test]
fn a_chart_has_the_ends_and_every_spike() {
    let tracking = tracking();
    let (a, b) = (run(&tracking, "a"), run(&tracking, "b"));
    log(&tracking, &a, (0..20_000).map(|at| (at, at, if at == 7777 { 1e6 } else { (at % 10) as f64 })));
    log(&tracking, &b, [(3, 1, 1.0), (1, 2, 2.0), (1, 2, 2.0)].into_iter());
    let ids = [a.clone(), "nobody".to_owned(), b.clone(), "no/id".to_owned()];
    for max in [1, 2, 3, 4, 5, 100, 320, 2500] {
        let curves = tracking.get_metric_history_bulk_interval(&ids, "m", max, None).unwrap();
        let of = |id: &str| curves.iter().find(|curve| curve.run_id == id).unwrap().points.clone();
        let own = of(&a);
        assert!(own.len() <= max && own.len() * 4 > max, "{} of {max}", own.len());
        assert_eq!(own.last().unwrap().step, 19_999);
        assert!(own.is_sorted_by_key(|point| point.step));
        assert!(max < 100 || own.iter().any(|point| point.value == 1e6), "{max}");
        assert!(max < 2 || own[0].step == 0);
        let steps: Vec<i64> = of(&b).iter().map(|point| point.step).collect();
        assert_eq!(steps, if max == 1 { vec![3] } else { vec![1, 3] });
    }
    let range = |steps| tracking.get_metric_history_bulk_interval(std::slice::from_ref(&a), "m", 50, Some(steps));
    let few: Vec<i64> = range(100..=120).unwrap()[0].points.iter().map(|point| point.step).collect();
    assert_eq!(few, (100..=120).collect::<Vec<_>>());
    let many = &range(5_000..=15_000).unwrap()[0].points;
    assert_eq!((many[0].step, many.last().unwrap().step), (5_000, 15_000));
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let refusals = [
        range(2..=1),
        tracking.get_metric_history_bulk_interval(&[], "m", 5, None),
        tracking.get_metric_history_bulk_interval(&ids, "m", 0, None),
        tracking.get_metric_history_bulk_interval(&ids, "m", 2501, None),
        tracking.get_metric_history_bulk_interval(&vec![a.clone(); 101], "m", 5, None),
    ];
    for refusal in refusals {
        refused(refusal, Code::InvalidParameterValue);
    }
    refused(tracking.get_metric_history_bulk(&vec![a.clone(); 101], "m", 5), Code::InvalidParameterValue);
    assert!(tracking.get_metric_history_bulk_interval(&ids, "none", 5, None).unwrap().is_empty());
}

#[test]
fn points_on_one_step_are_sampled_by_their_number() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    log(&tracking, &id, (0..5_000).map(|at| (0, at, at as f64)));
    let points = &tracking.get_metric_history_bulk_interval(&[id], "m", 300, None).unwrap()[0].points;
    assert_eq!((points.len(), points[0].timestamp_ms, points[299].timestamp_ms), (300, Some(0), Some(4_999)));
}

#[test]
fn whole_histories_come_run_by_run_up_to_a_limit() {
    let tracking = tracking();
    let mut ids = [run(&tracking, "a"), run(&tracking, "b")];
    ids.iter().for_each(|id| log(&tracking, id, (0..10).map(|at| (at, 9 - at, 0.5))));
    ids.sort();
    ids.reverse();
    let curves = tracking.get_metric_history_bulk(&ids, "m", 15).unwrap();
    let told: Vec<_> = curves.iter().map(|curve| (&curve.run_id, curve.points.len())).collect();
    assert_eq!(told, [(&ids[1], 10), (&ids[0], 5)]);
    assert_eq!((curves[0].points[0].step, curves[0].points[9].step), (9, 0));
    assert_eq!(tracking.get_metric_history_bulk(&ids, "m", 10).unwrap().len(), 1);
}
