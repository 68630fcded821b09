//! Artifacts through the router: storing, listing, fetching, removing.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::support::Server;

fn put(server: &Server, path: &str, bytes: &[u8]) -> StatusCode {
    let uri = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
    server.send(Method::PUT, &uri, &[], Body::from(bytes.to_vec())).status
}

#[test]
fn a_file_comes_back_with_headers_that_keep_it_from_running() {
    let server = Server::new();
    let big: Vec<u8> = (0..1_000_003u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(put(&server, "0/r/artifacts/big.bin", &big), StatusCode::OK);
    assert_eq!(put(&server, "0/r/artifacts/page.html", b"<script>alert(1)</script>"), StatusCode::OK);
    assert_eq!(put(&server, "0/r/artifacts/empty", b""), StatusCode::OK);
    assert_eq!(server.get("/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/big.bin").body, big);
    assert_eq!(server.get("/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/empty").body, b"");
    let page = server.get("/ajax-api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/page.html");
    assert_eq!(page.headers["content-type"], "application/octet-stream");
    assert_eq!(page.headers["content-disposition"], "attachment; filename=\"page.html\"");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(page.headers["content-security-policy"], "sandbox; default-src 'none'");
    assert!(page.headers["x-stepwell-note"].to_str().unwrap().contains("--trust-artifacts"));
    for name in ["a.js", "a.MJS", "a.wasm", "a.xml", "a.css"] {
        assert_eq!(put(&server, &format!("0/s/artifacts/{name}"), b"x"), StatusCode::OK);
        let script = server.get(&format!("/ajax-api/2.0/mlflow-artifacts/artifacts/0/s/artifacts/{name}"));
        assert_eq!(script.headers["content-type"], "application/octet-stream", "{name}");
        assert!(script.headers["x-stepwell-note"].to_str().unwrap().contains("saved, not shown"), "{name}");
    }
    let plain = server.get("/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/big.bin");
    assert!(!plain.headers.contains_key("x-stepwell-note"));
    let head =
        server.send(Method::HEAD, "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/big.bin", &[], Body::empty());
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    let listed = server.get("/api/2.0/mlflow-artifacts/artifacts?path=0/r/artifacts").json();
    assert_eq!(listed["files"][0], json!({ "path": "big.bin", "is_dir": false, "file_size": big.len() }));
    let uri = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts";
    assert_eq!(server.send(Method::DELETE, uri, &[], Body::empty()).status, StatusCode::OK);
    assert_eq!(server.get("/api/2.0/mlflow-artifacts/artifacts?path=0/r/artifacts").json(), json!({}));
    assert_eq!(server.get(&format!("{uri}/big.bin")).status, StatusCode::NOT_FOUND);
}

#[test]
fn a_part_of_a_file_is_sent_when_it_is_asked_for() {
    let server = Server::new();
    let run = server.run_in("0");
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(put(&server, &format!("0/{run}/artifacts/a.bin"), &bytes), StatusCode::OK);
    for uri in [
        format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/a.bin"),
        format!("/get-artifact?run_id={run}&path=a.bin"),
    ] {
        let ask = |headers: &[(&str, &str)]| server.send(Method::GET, &uri, headers, Body::empty());
        for (range, from, to) in [
            ("bytes=0-9", 0, 10),
            ("bytes=99990-", 99_990, 100_000),
            ("bytes=-5", 99_995, 100_000),
            ("bytes=7-999999", 7, 100_000),
        ] {
            let answer = ask(&[("range", range)]);
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::PARTIAL_CONTENT, &bytes[from..to]), "{range}");
            assert_eq!(answer.headers["content-range"], format!("bytes {from}-{}/100000", to - 1).as_str());
            assert_eq!(answer.headers["content-length"], (to - from).to_string().as_str());
            assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"a.bin\"");
        }
        let beyond = ask(&[("range", "bytes=100000-")]);
        assert_eq!((beyond.status, beyond.body.len()), (StatusCode::RANGE_NOT_SATISFIABLE, 0));
        assert_eq!(beyond.headers["content-range"], "bytes */100000");
        for headers in [&[("range", "bytes=0-1,4-5")][..], &[("range", "bytes=0-1"), ("if-range", "\"x\"")]] {
            let answer = ask(headers);
            assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, bytes.len()));
            assert_eq!(answer.headers["accept-ranges"], "bytes");
        }
    }
}

#[test]
fn a_runs_artifacts_are_listed_fetched_and_stored_by_its_id() {
    let server = Server::new();
    let run = server.run_in("0");
    assert_eq!(put(&server, &format!("0/{run}/artifacts/model/MLmodel"), b"flavors: {}"), StatusCode::OK);
    let listed = server.get(&format!("/ajax-api/2.0/mlflow/artifacts/list?run_id={run}&path=model")).json();
    assert_eq!(listed["root_uri"], format!("mlflow-artifacts:/0/{run}/artifacts"));
    assert_eq!(listed["files"][0]["path"], "model/MLmodel");
    let got = server.get(&format!("/get-artifact?run_uuid={run}&path=model/MLmodel"));
    assert_eq!((got.text().as_str(), got.headers["content-type"].to_str().unwrap()), ("flavors: {}", "text/plain"));
    let uri = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=notes/a.txt");
    let kind = [("content-type", "application/octet-stream")];
    assert_eq!(server.send(Method::POST, &uri, &kind, Body::from("hi")).status, StatusCode::OK);
    assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path=notes/a.txt")).text(), "hi");
    assert_eq!(
        server.send(Method::POST, &uri, &kind, Body::from(vec![0; 11 << 20])).status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(server.get("/get-artifact?run_id=none&path=a").status, StatusCode::NOT_FOUND);
    // What is refused leaves what was there.
    assert_eq!(server.send(Method::POST, &uri, &kind, Body::empty()).status, StatusCode::BAD_REQUEST);
    assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path=notes/a.txt")).text(), "hi");
    let new = uri.replace("a.txt", "new.txt");
    assert_eq!(server.send(Method::POST, &new, &kind, Body::empty()).status, StatusCode::BAD_REQUEST);
    assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path=notes/new.txt")).status, StatusCode::NOT_FOUND);
}

#[test]
fn artifacts_that_are_trusted_run_in_a_sandbox_of_no_origin() {
    let ui = tempfile::tempdir().unwrap();
    std::fs::write(ui.path().join("index.html"), "<html>ui</html>").unwrap();
    let server = Server::with(|config| {
        config.trust_artifacts = true;
        config.ui = Some(ui.path().to_owned());
    });
    let run = server.run_in("0");
    for (name, kind) in
        [("p.html", "text/html; charset=utf-8"), ("p.HTM", "text/html; charset=utf-8"), ("p.svg", "image/svg+xml")]
    {
        assert_eq!(put(&server, &format!("0/{run}/artifacts/{name}"), b"<script>x</script>"), StatusCode::OK);
        for uri in [
            format!("/get-artifact?run_id={run}&path={name}"),
            format!("/ajax-api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/{name}"),
        ] {
            let page = server.get(&uri);
            assert_eq!(page.headers["content-type"], kind, "{uri}");
            assert_eq!(page.headers["content-security-policy"], "sandbox allow-scripts", "{uri}");
            assert!(!page.headers.contains_key("content-disposition") && !page.headers.contains_key("x-stepwell-note"));
        }
    }
    // Others are served as ever, and a script in such a sandbox is a stranger to the API.
    assert_eq!(put(&server, &format!("0/{run}/artifacts/a.js"), b"x"), StatusCode::OK);
    let script = server.get(&format!("/get-artifact?run_id={run}&path=a.js"));
    assert_eq!(script.headers["content-type"], "application/octet-stream");
    assert!(script.headers["x-stepwell-note"].to_str().unwrap().contains("also with --trust-artifacts"));
    let stranger = [("origin", "null"), ("sec-fetch-site", "cross-site")];
    let asked =
        server.send(Method::GET, "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0", &stranger, Body::empty());
    assert_eq!(asked.status, StatusCode::FORBIDDEN);
    // Markup that reaches the UI's own page brings no handler to life.
    let policy = server.get("/").headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.contains("script-src-attr 'none'") && !policy.contains("script-src 'self' 'unsafe-inline'"),
        "{policy}"
    );
    let usual = Server::with(|config| config.ui = Some(ui.path().to_owned()));
    let policy = usual.get("/").headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(!policy.split(';').any(|rule| rule.contains("script") && rule.contains("'unsafe-inline'")), "{policy}");
}

#[test]
fn names_that_mlflow_takes_are_taken() {
    let server = Server::new();
    let run = server.run_in("0");
    for name in [" blank.txt", "a:b.txt", "12:30:00.log", "d//e.txt", "x.", "loading\u{2026}.png", "q?x=1&y", "+%"] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let uri = format!("0/{run}/artifacts/{encoded}");
        assert_eq!(put(&server, &uri, name.as_bytes()), StatusCode::OK, "{name}");
        assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path={encoded}")).body, name.as_bytes(), "{name}");
    }
    assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path=d/e.txt")).text(), "d//e.txt");
    let answer = server.send(
        Method::PUT,
        &format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/a%5Cb"),
        &[],
        Body::from("x"),
    );
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["message"].as_str().unwrap().contains("the character '\\'"), "{}", answer.text());
}

#[test]
fn the_default_root_may_be_this_servers_own_address() {
    let root = format!("http://{}/api/2.0/mlflow-artifacts/artifacts", crate::support::HOST);
    let server = Server::with(|config| config.default_artifact_root = root.clone());
    let run = server.run_in("0");
    let uri =
        server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).json()["run"]["info"]["artifact_uri"].clone();
    let uri = uri.as_str().unwrap();
    assert_eq!(uri, format!("{root}/0/{run}/artifacts"));
    // The client puts the file there by that address.
    let path = uri.split_once("5000").unwrap().1;
    assert_eq!(server.send(Method::PUT, &format!("{path}/model/a.txt"), &[], Body::from("hi")).status, StatusCode::OK);
    let listed = server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}&path=model")).json();
    assert_eq!((&listed["root_uri"], &listed["files"][0]["path"]), (&json!(uri), &json!("model/a.txt")));
    assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path=model/a.txt")).text(), "hi");
    server.post("registered-models/create", &json!({ "name": "m" }));
    let version = |source: String, run: &str| {
        server.post("model-versions/create", &json!({ "name": "m", "source": source, "run_id": run })).status
    };
    assert_eq!(version(format!("{uri}/model"), &run), StatusCode::OK);
    assert_eq!(server.get("/model-versions/get-artifact?name=m&version=1&path=a.txt").text(), "hi");
    for other in ["http://evil.example/x".to_owned(), format!("{uri}/../x"), format!("{root}/0/other")] {
        assert_eq!(version(other.clone(), &run), StatusCode::BAD_REQUEST, "{other}");
    }
    assert_ne!(version(format!("{uri}/model"), ""), StatusCode::OK);
}

#[test]
fn names_of_our_own_files_are_artifacts_like_others() {
    let server = Server::new();
    for name in
        ["meta.yaml", "MANIFEST", "stepwell.workspace", "manifest", "catalog", "tokens.json", "x.log", "x.tail", ".tmp"]
    {
        assert_eq!(put(&server, &format!("0/r/artifacts/{name}"), b"not ours"), StatusCode::OK, "{name}");
        assert_eq!(put(&server, name, b"not ours"), StatusCode::OK, "{name}");
    }
    assert_eq!(server.get("/api/2.0/mlflow/experiments/get?experiment_id=0").status, StatusCode::OK);
    assert_eq!(put(&server, &"a".repeat(255), b"x"), StatusCode::OK);
    assert_eq!(put(&server, &"a".repeat(256), b"x"), StatusCode::BAD_REQUEST);
}

#[test]
fn uploads_over_the_limit_leave_nothing() {
    let server = Server::with(|config| config.limits.artifact_bytes = 1000);
    assert_eq!(put(&server, "a", &[1; 1000]), StatusCode::OK);
    assert_eq!(put(&server, "a", &[2; 1001]), StatusCode::PAYLOAD_TOO_LARGE);
    let endless = futures_like(vec![vec![3u8; 600], vec![3u8; 600]]);
    let answer = server.send(Method::PUT, "/api/2.0/mlflow-artifacts/artifacts/a", &[], endless);
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.get("/api/2.0/mlflow-artifacts/artifacts/a").body, [1; 1000]);
    let uploads = server.dir.path().join("workspace/artifacts/.stepwell-uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
}

/// A body of unknown length, in chunks.
fn futures_like(chunks: Vec<Vec<u8>>) -> Body {
    let (to, from) = tokio::io::duplex(64);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            use tokio::io::AsyncWriteExt;
            let mut to = to;
            for chunk in chunks {
                if to.write_all(&chunk).await.is_err() {
                    return;
                }
            }
        });
    });
    Body::from_stream(tokio_util::io::ReaderStream::new(from))
}

#[test]
fn uploads_in_parts_and_signed_addresses_are_refused_in_words_that_clients_know() {
    let server = Server::new();
    let json = [("content-type", "application/json")];
    for what in ["create", "complete", "abort"] {
        let uri = format!("/api/2.0/mlflow-artifacts/mpu/{what}/0/a");
        let answer = server.send(Method::POST, &uri, &json, Body::from(r#"{"path":"a","num_parts":10001}"#));
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (501, "NOT_IMPLEMENTED"));
    }
    assert_eq!(server.get("/api/2.0/mlflow-artifacts/presigned/0/a").code(), "NOT_IMPLEMENTED");
}

#[test]
fn the_default_root_may_be_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let location = root.path().join("mlruns");
    let own = location.clone();
    let server = Server::with(move |config| config.default_artifact_root = own.to_str().unwrap().to_owned());
    let run = server.run_in("0");
    let place = location.join("0").join(&run).join("artifacts");
    let info = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).json()["run"]["info"].clone();
    assert_eq!(info["artifact_uri"], place.to_str().unwrap());
    // The client writes there itself; the UI asks the server.
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("a.txt"), "direct").unwrap();
    assert_eq!(server.get(&format!("/get-artifact?run_id={run}&path=a.txt")).text(), "direct");
    let listed = server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}")).json();
    assert_eq!(listed["files"][0]["path"], "a.txt");
}
