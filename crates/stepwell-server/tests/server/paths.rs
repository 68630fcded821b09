//! The record of MLflow's path faults as payloads: every one, in every place that takes a path, encoded up to three
//! times.

use axum::body::Body;
use axum::http::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::support::{HOST, Server};

/// What went wrong in MLflow, or could: each names a place outside, or means one on some system.
const PAYLOADS: [&str; 43] = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "///etc/passwd",
    "\\..\\filename",
    "..\\..\\x",
    "./../x",
    "../../",
    "C:\\x",
    "C:/x",
    "\\\\host\\share",
    "\\\\?\\C:\\x",
    "..%2f..%2fhome/u/.bashrc",
    "..%5c..%5c",
    "..%2f..%5c",
    "%2e%2e%2f",
    "..%2f",
    "../x",
    "//proc/self/root",
    "/proc/self/environ",
    "%252e%252e%252f",
    ";..%2F..%2Fetc",
    "/a;/../b",
    "a;/../../b",
    "#/../..",
    "%23/..",
    "a#/../b",
    "file://a%23/..//tmp/",
    "file:x",
    "FILE:///etc",
    "file://localhost/etc",
    " file:///etc",
    "%2%0952e%2%0952e/%2%0A52e",
    "%2\t52e%2\t52e/x",
    "/etc/passwd%00.jpg",
    "a\0b",
    "%c0%ae%c0%ae/x",
    "．．／x",
    "‥/x",
    "a/../../../canary",
    "canary/..",
    "./.",
    "..",
    "a/./../../canary",
];

fn encode(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string())
}

/// What means a plain name once it stands below a folder: slashes that follow each other count as one.
const PLAIN_BELOW_A_FOLDER: [&str; 5] =
    ["/etc/passwd", "///etc/passwd", "//proc/self/root", "/proc/self/environ", "C:/x"];

#[test]
fn no_path_leads_out_of_the_artifacts() {
    let server = Server::new();
    let run = server.run_in("0");
    let outside = server.dir.path().join("canary");
    std::fs::write(&outside, "canary").unwrap();
    std::fs::write(server.dir.path().join("workspace/canary"), "canary").unwrap();
    let before = tree(server.dir.path());
    let mut asked = 0;
    for payload in PAYLOADS {
        for times in 1..=3 {
            let text = encode(payload, times);
            let places = [
                (Method::GET, format!("/api/2.0/mlflow-artifacts/artifacts/{text}")),
                (Method::PUT, format!("/api/2.0/mlflow-artifacts/artifacts/{text}")),
                (Method::DELETE, format!("/api/2.0/mlflow-artifacts/artifacts/{text}")),
                (Method::PUT, format!("/ajax-api/2.0/mlflow-artifacts/artifacts/0/{text}")),
                (Method::GET, format!("/api/2.0/mlflow-artifacts/artifacts?path={text}")),
                (Method::POST, format!("/api/2.0/mlflow-artifacts/mpu/create/{text}")),
                (Method::GET, format!("/api/2.0/mlflow-artifacts/presigned/{text}")),
                (Method::GET, format!("/api/2.0/mlflow/artifacts/list?run_id={run}&path={text}")),
                (Method::GET, format!("/get-artifact?run_id={run}&path={text}")),
                (Method::POST, format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={text}")),
                (Method::GET, format!("/static-files/{text}")),
            ];
            for (method, uri) in places {
                let json = method == Method::POST && uri.contains("mpu");
                let kind = if json { "application/json" } else { "application/octet-stream" };
                let answer = server.send(method.clone(), &uri, &[("content-type", kind)], Body::from("x"));
                if uri.contains("/artifacts/0/") && PLAIN_BELOW_A_FOLDER.contains(&payload) {
                    assert_eq!(answer.status.as_u16(), 200, "{method} {uri}");
                    let gone = server.send(Method::DELETE, "/api/2.0/mlflow-artifacts/artifacts/0", &[], Body::empty());
                    assert_eq!(gone.status.as_u16(), 200);
                    continue;
                }
                assert!(
                    matches!(answer.status.as_u16(), 400 | 404),
                    "{method} {uri}: {} {}",
                    answer.status,
                    answer.text()
                );
                assert!(!answer.text().contains("root:") && !answer.text().contains("canary\""), "{uri}");
                asked += 1;
            }
        }
    }
    assert!(asked > 1400);
    assert_eq!(tree(server.dir.path()), before, "nothing was written or removed");
}

#[test]
fn a_dot_names_a_folder_to_be_listed_and_nothing_else() {
    let server = Server::new();
    let run = server.run_in("0");
    let files = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts");
    let octets = [("content-type", "application/octet-stream")];
    assert_eq!(server.send(Method::PUT, &format!("{files}/d/a"), &octets, Body::from("x")).status.as_u16(), 200);
    for (path, first) in [(".", "d"), ("d/.", "d/a")] {
        let listed = server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}&path={path}")).json();
        assert_eq!(listed["files"][0]["path"], first);
        let encoded = utf8_percent_encode(path, NON_ALPHANUMERIC).to_string();
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let answer = server.send(method.clone(), &format!("{files}/{encoded}"), &octets, Body::from("x"));
            assert_eq!(answer.status.as_u16(), 400, "{method} {path}");
        }
        assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path={path}")).status.as_u16(), 400);
    }
}

#[test]
fn raw_paths_that_no_client_would_send_are_refused() {
    let server = Server::new();
    for path in [
        "/api/2.0/mlflow-artifacts/artifacts/../../x",
        "/api/2.0/mlflow-artifacts/artifacts//etc/passwd",
        "/static-files/../x",
        "/api/2.0/mlflow-artifacts/artifacts/%ff%fe",
    ] {
        let request = Request::builder().uri(path).header("host", HOST).body(Body::empty()).unwrap();
        let answer = server.run(request);
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.status);
    }
}

#[test]
fn no_uri_of_a_client_is_followed() {
    let server = Server::new();
    let locations = [
        "http://169.254.169.254/latest",
        "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "gopher://127.0.0.1/x",
        "/etc",
        "file:///etc",
        "http:///#/../../../../etc/",
        "http://h/?/../../etc",
        "dbfs:/x?../../etc",
        "s3://bucket/x",
        "mlflow-artifacts://host/x",
        "mlflow-artifacts:/../../etc",
        "//proc/self/root",
        "../../",
        "file://localhost/etc",
    ];
    for (number, location) in locations.iter().enumerate() {
        let made =
            server.post("experiments/create", &json!({ "name": format!("e{number}"), "artifact_location": location }));
        // Refused at once, or kept as words that nothing follows.
        let Some(id) = made.json()["experiment_id"].as_str().map(str::to_owned) else {
            assert_eq!(made.status.as_u16(), 400, "{location}");
            continue;
        };
        let run = server.run_in(&id);
        for uri in [
            format!("/get-artifact?run_id={run}&path=passwd"),
            format!("/api/2.0/mlflow/artifacts/list?run_id={run}"),
            format!("/api/2.0/mlflow/artifacts/list?run_id={run}&path=x"),
        ] {
            let answer = server.get(&uri);
            assert!(matches!(answer.status.as_u16(), 400 | 404), "{location} {uri}: {}", answer.text());
            assert!(!answer.text().contains("root:"));
        }
    }
}

/// Every path below a folder, with its bytes' count; the logs of runs aside, which the requests may open.
fn tree(root: &std::path::Path) -> Vec<(String, u64)> {
    fn walk(dir: &std::path::Path, out: &mut Vec<(String, u64)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().to_string_lossy().into_owned();
            if name.contains("/workspace/logs")
                || name.contains("/workspace/edits")
                || name.contains(".stepwell-uploads")
            {
                continue;
            }
            let meta = entry.metadata().unwrap();
            if meta.is_dir() { walk(&entry.path(), out) } else { out.push((name, meta.len())) }
        }
    }
    let mut out = Vec::new();
    walk(root, &mut out);
    out.sort();
    out
}
