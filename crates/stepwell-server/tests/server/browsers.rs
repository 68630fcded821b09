//! What a browser is allowed, and what no page of another site can make it do.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use stepwell_server::routes::TABLE;

use crate::support::Server;

#[test]
fn no_answer_lets_another_site_read_it() {
    let server = Server::new();
    for route in TABLE {
        for path in route.paths() {
            let path = path.replace("{*artifact_path}", "0/a").replace("{*path}", "a");
            for method in [Method::GET, Method::POST, Method::OPTIONS, Method::PUT, Method::DELETE] {
                let headers = [("origin", "http://evil.com"), ("content-type", "application/json")];
                let answer = server.send(method.clone(), &path, &headers, Body::from("{}"));
                if path != "/health" {
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
                }
                assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{path}");
            }
            let answer = server.send(Method::GET, &path, &[("host", "10.evil.com:5000")], Body::empty());
            if path != "/health" {
                assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
            }
        }
    }
}

#[test]
fn what_changes_something_comes_as_json() {
    let server = Server::new();
    let body = r#"{"name":"x"}"#;
    let try_ = |headers: &[(&str, &str)]| {
        server.send(Method::POST, "/api/2.0/mlflow/experiments/create", headers, body).status
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", ""] {
        assert_eq!(try_(&[("content-type", kind)]), StatusCode::BAD_REQUEST, "{kind}");
    }
    assert_eq!(try_(&[]), StatusCode::BAD_REQUEST);
    assert_eq!(try_(&[("content-type", "application/json; charset=utf-8")]), StatusCode::OK);
}

#[test]
fn every_answer_has_its_headers_and_errors_are_never_markup() {
    let server = Server::new();
    let paths = [
        "/",
        "/health",
        "/version",
        "/api/2.0/mlflow/experiments/get?experiment_id=<script>",
        "/<script>alert(1)</script>",
        "/get-artifact?path=<b>",
    ];
    for path in paths {
        let path = path.replace('<', "%3C").replace('>', "%3E");
        let answer = server.get(&path);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(answer.headers.contains_key("content-security-policy"), "{path}");
        assert!(answer.headers.contains_key("x-frame-options"), "{path}");
        if !answer.status.is_success() {
            assert_eq!(answer.headers["content-type"], "application/json", "{path}");
        }
    }
    let echoed = server.send(
        Method::POST,
        "/api/2.0/mlflow/runs/create",
        &[("content-type", "<script>alert(1)</script>")],
        Body::from("{}"),
    );
    assert!(!echoed.text().contains("<script>"));
}

#[test]
fn the_plain_page_runs_its_own_script_only() {
    let server = Server::new();
    // At `/` only where Stepwell's own page was not built.
    let page = server.get("/static-files/index.html");
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("pip install mlflow") && page.text().contains("cargo xtask ui"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(!policy.contains("unsafe"), "{policy}");
    for name in ["plain.js", "plain.css"] {
        assert_eq!(server.get(&format!("/static-files/{name}")).status, StatusCode::OK);
        assert!(page.text().contains(name));
    }
    assert_eq!(server.get("/static-files/other.js").status, StatusCode::NOT_FOUND);
    let script = server.get("/static-files/plain.js").text();
    assert!(!script.contains("innerHTML") && !script.contains("eval("), "text only ever becomes text");
}

#[test]
fn a_ui_is_served_from_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<html>ui</html>").unwrap();
    std::fs::create_dir(dir.path().join("static")).unwrap();
    std::fs::write(dir.path().join("static/main.js"), "1").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("static/link")).unwrap();
    let server = Server::with(|config| config.ui = Some(dir.path().to_owned()));
    let index = server.get("/");
    assert_eq!(
        (index.text().as_str(), index.headers["cache-control"].to_str().unwrap()),
        ("<html>ui</html>", "no-cache")
    );
    let script = server.get("/static-files/static/main.js");
    assert_eq!(script.headers["cache-control"], "public, max-age=2419200");
    assert_eq!(script.headers["content-type"], "text/javascript; charset=utf-8");
    for path in ["static/link", "..%2f..%2fetc/passwd", "static", "none", "%2fetc/passwd"] {
        assert!(server.get(&format!("/static-files/{path}")).status.is_client_error(), "{path}");
    }
}
