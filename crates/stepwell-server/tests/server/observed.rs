//! What the server tells Prometheus, read strictly: as OpenMetrics asks, and with numbers that are right.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Method;

use crate::support::Server;

/// A sample: its labels by name, and its value.
type Sample = (BTreeMap<String, String>, f64);

/// All samples by name, after checks: every family has its help and type before its samples, names and labels are of
/// the right form, samples have the endings of their type, and the document ends.
fn read(text: &str) -> BTreeMap<String, Vec<Sample>> {
    let name_is_good = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let (mut types, mut helps) = (BTreeMap::new(), BTreeMap::new());
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(name_is_good(name) && !samples.keys().any(|known| known.starts_with(name)), "{line}");
            let twice = match what {
                "HELP" => helps.insert(name.to_owned(), rest.to_owned()),
                "TYPE" => types.insert(name.to_owned(), rest.to_owned()),
                _ => panic!("{line}"),
            };
            assert!(twice.is_none() && !rest.is_empty(), "{line}");
            continue;
        }
        let (head, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) =
            head.split_once('{').map_or((head, ""), |(name, rest)| (name, rest.strip_suffix('}').unwrap()));
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (key, value) = label.split_once('=').unwrap();
            assert!(name_is_good(key), "{line}");
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect(line);
            (key.to_owned(), value.to_owned())
        });
        let of = |family: &String| {
            let endings: &[&str] = match types[family].as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_sum", "_count"],
                kind => panic!("{kind}"),
            };
            endings.iter().any(|ending| name.strip_suffix(ending) == Some(family))
        };
        let family = types.keys().find(|family| of(family)).unwrap_or_else(|| panic!("of no family: {line}"));
        assert!(helps.contains_key(family), "{line}");
        samples.entry(name.to_owned()).or_default().push((labels.collect(), value.parse().expect(line)));
    }
    samples
}

#[test]
fn what_prometheus_reads_is_openmetrics_and_right() {
    let server = Server::new();
    let run = server.run_in("0");
    let metrics: Vec<_> =
        (0..7).map(|step| serde_json::json!({ "key": "m", "value": 1, "timestamp": 1, "step": step })).collect();
    server.post("runs/log-batch", &serde_json::json!({ "run_id": run, "metrics": metrics }));
    server.get("/api/2.0/mlflow/runs/get?run_id=none");
    server.get("/no/such\"place");
    server.send(Method::PUT, "/api/2.0/mlflow-artifacts/artifacts/0/a", &[], Body::from("12345"));
    let answer = server.get("/metrics");
    let kind = answer.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let samples = read(&answer.text());
    let one = |name: &str, labels: &[(&str, &str)]| {
        let fits =
            |sample: &&Sample| labels.iter().all(|(key, value)| sample.0.get(*key).is_some_and(|own| own == value));
        samples[name].iter().filter(fits).map(|sample| sample.1).sum::<f64>()
    };
    assert_eq!(one("stepwell_points_logged_total", &[]), 7.0);
    assert_eq!(one("stepwell_artifact_bytes_uploaded_total", &[]), 5.0);
    assert_eq!(one("stepwell_http_connections", &[]), 0.0);
    assert_eq!(one("stepwell_http_requests_total", &[("route", "/mlflow/runs/get"), ("status", "404")]), 1.0);
    assert_eq!(one("stepwell_http_requests_total", &[("route", "-"), ("status", "404"), ("method", "GET")]), 1.0);
    assert_eq!(one("stepwell_http_requests_total", &[]), 5.0, "no more series than routes and statuses");
    // A histogram's buckets grow, and the last holds all.
    let of_route = |(labels, _): &&Sample| labels["route"] == "/mlflow/runs/log-batch";
    let buckets: Vec<_> = samples["stepwell_http_request_seconds_bucket"].iter().filter(of_route).collect();
    assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1) && buckets.len() > 10);
    assert_eq!((buckets.last().unwrap().0["le"].as_str(), buckets.last().unwrap().1), ("+Inf", 1.0));
    assert_eq!(one("stepwell_http_request_seconds_count", &[("route", "/mlflow/runs/log-batch")]), 1.0);
}
