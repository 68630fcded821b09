//! The record of MLflow's faults, as payloads, and the test that holds each. A row names faults by the numbers under
//! which they were published; tests are those of this folder unless a crate's file is named. What no other test has is
//! here.
//!
//! | fault | payload | test |
//! | --- | --- | --- |
//! | CVE-2023-30172, 2356, 2780, GHSA-83fm-w79m-64r5 | `../../etc/passwd`, `..\..\x`, `./../x` as path | `paths::no_path_leads_out_of_the_artifacts` |
//! | CVE-2023-1177, 1176, 6977 | `/etc`, `///etc/passwd`, `//proc/self/root` as source, then a file of it | [`no_source_of_a_version_leads_anywhere`] |
//! | CVE-2023-3765, 6753 | drives, shares, backslashes, plain and encoded | `paths::no_path_leads_out_of_the_artifacts` |
//! | CVE-2023-6018, 6015, CVE-2025-11201, CVE-2026-2033 | the same by `PUT`, towards start files and plugins | the same, which compares the whole tree of files |
//! | CVE-2023-6831, 6909, CVE-2024-1560 | encoded once, twice, three times; `DELETE` too | the same |
//! | CVE-2023-6975, 6976 | names in the address and in a multipart form | the same, and [`a_form_is_no_upload`] |
//! | CVE-2024-1483, 1558, 1593, 1594, 2928, 3848, 8859 | fragments, queries, parameters, of every scheme | the same, [`no_source_of_a_version_leads_anywhere`], `paths::no_uri_of_a_client_is_followed` |
//! | CVE-2024-3573 | `file:x`, `FILE:///etc`, ` file:///etc` | the same three |
//! | ZDI-CAN-26649 | uploads named as files of the store | `artifacts::names_of_our_own_files_are_artifacts_like_others` |
//! | CVE-2026-2614 | the same payloads with tags that switch checks off | [`no_source_of_a_version_leads_anywhere`] |
//! | decoding again after blanks, NUL, overlong UTF-8 | `%2%0952e…`, `%00`, `%c0%ae` | `paths::no_path_leads_out_of_the_artifacts` |
//! | CVE-2025-15031, 15036, RUSTSEC on tar and zip | an archive with `../x`, a link, a device | [`an_archive_is_a_file`] |
//! | CVE-2023-6974, issues 23500, 24767 | inner addresses, in every spelling, as place and as source | `abuse::no_place_of_a_model_makes_the_server_fetch`, `sealed::no_route_starts_a_program_or_connects_to_anything` |
//! | CVE-2025-52967, GHSA-h7x2-h6g9-p789, CVE-2026-2393, CVE-2026-64849, CVE-2026-4035 | gateways, webhooks, redirects, secrets | [`what_other_faults_were_in_is_not_there`], `sealed` |
//! | CVE-2026-4035 | `$HOME` in what is stored | [`no_source_of_a_version_leads_anywhere`] |
//! | CVE-2023-6568 | markup as content type | `browsers::every_answer_has_its_headers_and_errors_are_never_markup` |
//! | CVE-2023-43472 | JSON as `text/plain` | `browsers::what_changes_something_comes_as_json` |
//! | CVE-2024-27132, 27133, CVE-2026-33865 | pages, drawings and scripts as artifacts | `artifacts::a_file_comes_back_with_headers_that_keep_it_from_running`, `src/artifacts/kinds.rs` |
//! | CVE-2025-1473, 14279, CVE-2026-2611 | other origins, other hosts, on each route | `browsers::no_answer_lets_another_site_read_it` |
//! | hosts such as `10.evil.com`, `localhost:5000@evil.com` | as they stand | `src/http/guard.rs` |
//! | CVE-2023-6014, CVE-2025-1474, 11200, CVE-2026-2635 | making accounts; `admin` with MLflow's first password | [`there_are_no_accounts`] |
//! | CVE-2024-4263 | deleting with a role that may write | `access::every_route_asks_for_what_its_table_says` |
//! | CVE-2025-15381, CVE-2026-8147, 0545, 2652, 2651, 33866, 69146 | routes that nobody listed | the same, which walks over the router's own table |
//! | CVE-2026-2734, 3198, 69148 | others' models and runs by a search, an id in a body, an operation | `access::a_scope_holds_for_models_and_operations_too` |
//! | CVE-2024-6838, CVE-2025-0453 | names without bound, batches of operations | `abuse` |
//! | CVE-2022-0736, CVE-2024-27134, CVE-2025-10279, CVE-2026-4137 | files that others may read or make beforehand | [`files_are_their_owners_alone`] |
//! | CVE-2024-37052 to 37061, CVE-2024-0520, CVE-2023-4033, 6709, 6940, CVE-2025-14287, 15379, CVE-2026-0596, GHSA-gqvg-gmmx-x4hm | pickles, typed YAML, templates, commands | `sealed` |

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use crate::support::Server;

/// Sources that lead elsewhere, or would on some system or to some reader.
const SOURCES: [&str; 34] = [
    "/etc",
    "///etc/passwd",
    "//proc/self/root",
    "/proc/self",
    "\\..\\filename",
    "..\\..\\x",
    "../../etc",
    "./../x",
    "C:\\x",
    "C:/x",
    "\\\\host\\share",
    "file:///etc/",
    "file:x",
    "file:etc",
    "FILE:///etc",
    "file://localhost/etc",
    " file:///etc",
    "file://a%23/..//tmp/",
    "http:///#/../../../../etc/",
    "http://h/?/../../etc",
    "http://h/;..%2F..%2Fetc",
    "/a;/../b",
    "dbfs:/x?../../etc",
    "s3://b/x#/../../etc",
    "s3://b/%2e%2e/%2e%2e/etc",
    "mlflow-artifacts:/../../etc",
    "mlflow-artifacts://host/../x",
    "runs:/../etc",
    "models:/../etc",
    "/etc/passwd%00.jpg",
    "/..",
    "/../x",
    "../é",
    "/../:/srv/0/RUN/artifacts",
];

#[test]
fn no_source_of_a_version_leads_anywhere() {
    let server = Server::new();
    let run = server.run_in("0");
    std::fs::write(server.dir.path().join("canary"), "canary").unwrap();
    server.post("registered-models/create", &json!({ "name": "m" }));
    let switches = ["mlflow.prompt.is_prompt", "mlflow.skip_validation", "trusted"];
    for source in SOURCES {
        // A file of another host is an internal error to MLflow; nothing is looked at either way.
        let of_host = source == "file://a%23/..//tmp/";
        for run_id in [run.as_str(), ""] {
            for switch in [None].into_iter().chain(switches.map(Some)) {
                let tags: Vec<_> = switch.iter().map(|key| json!({ "key": key, "value": "true" })).collect();
                let body = json!({ "name": "m", "source": source, "run_id": run_id, "tags": tags });
                let made = server.post("model-versions/create", &body);
                let internal = of_host && switch != Some("mlflow.prompt.is_prompt");
                assert_eq!(
                    made.status.as_u16(),
                    if internal { 500 } else { 400 },
                    "{source} {switch:?}: {}",
                    made.text()
                );
                if internal {
                    assert_eq!(made.json()["message"], format!("{source} is not a valid remote uri."));
                }
                assert!(!made.text().contains("root:") && !made.text().contains("canary\""), "{source}");
            }
        }
    }
    assert_eq!(server.get("/api/2.0/mlflow/model-versions/search").json(), json!({}), "nothing was registered");
    // What is kept is kept as words, without looking behind them.
    for source in ["s3://$HOME/${PATH}/x", "gs://b/$(id)"] {
        let made = server.post("model-versions/create", &json!({ "name": "m", "source": source })).json();
        assert_eq!(made["model_version"]["source"], source);
        let version = made["model_version"]["version"].as_str().unwrap().to_owned();
        let uri =
            server.get(&format!("/api/2.0/mlflow/model-versions/get-download-uri?name=m&version={version}")).json();
        assert_eq!(uri["artifact_uri"], source);
        for path in ["passwd", "../passwd", "/etc/passwd"] {
            let got = server.get(&format!("/model-versions/get-artifact?name=m&version={version}&path={path}"));
            assert!(got.status.is_client_error() || got.status.as_u16() == 501, "{source} {path}: {}", got.status);
        }
    }
}

#[test]
fn a_local_source_stays_within_its_run_however_it_is_read() {
    let files = tempfile::tempdir().unwrap();
    let root = files.path().join("a b").to_str().unwrap().to_owned();
    for (root, uri) in
        [(root.clone(), root.clone()), (root.replace(' ', "%20"), format!("file://{}", root.replace(' ', "%20")))]
    {
        let server = Server::with(|config| config.default_artifact_root.clone_from(&uri));
        let run = server.run_in("0");
        server.post("registered-models/create", &json!({ "name": "m" }));
        let own = format!("{root}/0/{run}/artifacts");
        let make = |source: &str| {
            server.post("model-versions/create", &json!({ "name": "m", "source": source, "run_id": run }))
        };
        for rest in ["", "/model", "/model/..", "/.", "/a%20b", "/a//b/../c", "/model/%2e%2e/x"] {
            for source in [format!("{own}{rest}"), format!("file://{own}{rest}"), format!("file:{own}{rest}")] {
                let made = make(&source);
                assert_eq!(made.status.as_u16(), 200, "{source}: {}", made.text());
            }
        }
        let outside = [
            format!("{own}/.."),
            format!("{own}/%2e%2e/%2e%2e/OTHER"),
            format!("{own}/%252e%252e/%252E%252E/OTHER"),
            format!("{own}/a%2f..%2f..%2fb"),
            format!("{own}///../../OTHER"),
            format!("{own}?x"),
            format!("{own}#x"),
            format!("{own}/%3fx"),
            format!("{own}/%2523x"),
            format!("{own}/%00"),
            format!("{own}/%250a"),
            format!("{own}/\u{fffd}"),
            format!("{own}/%ff"),
            format!("{own}/%5c..%5c..%5cx"),
            format!("{root}?/../0/{run}/artifacts"),
            format!("{root}#/../0/{run}/artifacts"),
            format!("/../:{own}"),
        ];
        for source in outside.iter().flat_map(|path| [path.clone(), format!("file://{path}"), format!("file:{path}")]) {
            let made = make(&source);
            assert_eq!(made.status.as_u16(), 400, "{source}: {}", made.text());
            assert!(made.text().contains("contained within the artifact directory"), "{source}: {}", made.text());
        }
    }
}

#[test]
fn a_form_is_no_upload() {
    let server = Server::new();
    let run = server.run_in("0");
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../evil\"\r\n\r\nx\r\n--b--\r\n";
    let uri = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=good");
    for kind in ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "text/plain"] {
        let answer = server.send(Method::POST, &uri, &[("content-type", kind)], Body::from(form));
        assert_eq!(answer.status.as_u16(), 400, "{kind}: no other site can send anything else without asking first");
    }
    let answer = server.send(Method::POST, &uri, &[("content-type", "application/octet-stream")], Body::from(form));
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(
        server.get(&format!("/get-artifact?run_id={run}&path=good")).text(),
        form,
        "bytes, whatever they look like"
    );
    assert_eq!(files(&server.dir.path().join("workspace/artifacts")), ["good"]);
}

#[test]
fn an_archive_is_a_file() {
    let server = Server::new();
    let member = |name: &str, kind: u8| {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(b"00000000000");
        header[156] = kind;
        header[157..167].copy_from_slice(b"/etc/hosts");
        header
    };
    let members = [member("../x", b'0'), member("/abs", b'0'), member("link", b'2'), member("node", b'3')];
    let archive = [members.concat(), vec![0; 1024]].concat();
    for name in ["a.tar", "a.tar.gz", "a.zip"] {
        let uri = format!("/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/{name}");
        assert_eq!(server.send(Method::PUT, &uri, &[], Body::from(archive.clone())).status.as_u16(), 200);
        assert_eq!(server.get(&uri).body, archive);
    }
    assert_eq!(files(&server.dir.path().join("workspace/artifacts")), ["a.tar", "a.tar.gz", "a.zip"]);
}

#[test]
fn what_other_faults_were_in_is_not_there() {
    let server = Server::new();
    let evil =
        json!({ "url": "http://127.0.0.1:9/", "api_base": "http://127.0.0.1:9/", "secret": "$HOME", "name": "x" });
    for path in [
        "/ajax-api/2.0/mlflow/gateway-proxy",
        "/api/2.0/mlflow/webhooks",
        "/api/2.0/mlflow/webhooks/create",
        "/api/2.0/mlflow/webhooks/1/test",
        "/api/3.0/mlflow/gateway/secrets/create",
        "/api/3.0/mlflow/gateway/endpoints/create",
        "/gateway/x/invocations",
        "/api/3.0/jobs",
        "/ajax-api/3.0/jobs",
        "/v1/traces",
        "/api/2.0/mlflow/runs/create-promptlab-run",
        "/ajax-api/2.0/mlflow/runs/create-promptlab-run",
        "/api/3.0/mlflow/assistant/message",
    ] {
        let answer =
            server.send(Method::POST, path, &[("content-type", "application/json")], Body::from(evil.to_string()));
        // An address that is there for another method only is 405.
        let for_reading = path == "/ajax-api/2.0/mlflow/gateway-proxy";
        assert_eq!(answer.status.as_u16(), if for_reading { 405 } else { 404 }, "{path}");
        assert_eq!(answer.code(), "ENDPOINT_NOT_FOUND", "{path}");
    }
    let proxied = server.get("/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=http%3A%2F%2F127.0.0.1%3A9%2F");
    assert!(!proxied.text().contains("127.0.0.1:9"), "{}", proxied.text());
}

#[test]
fn there_are_no_accounts() {
    use base64::Engine as _;
    let server = Server::with_tokens();
    let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    for pair in ["admin:password1234", "admin:", ":", "admin:admin", "admin:stw_"] {
        let answer = server.send(
            Method::GET,
            "/api/2.0/mlflow/experiments/search?max_results=1",
            &[("authorization", &basic(pair))],
            Body::empty(),
        );
        assert_eq!(answer.status.as_u16(), 401, "{pair}");
    }
    let admin = format!("Bearer {}", server.token(stepwell_server::Role::Admin, &[]));
    for path in [
        "/api/2.0/mlflow/users/create",
        "/signup",
        "/api/2.0/mlflow/users/create-ui",
        "/api/2.0/mlflow/users/update-password",
    ] {
        for authorization in [None, Some(admin.as_str())] {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(authorization.map(|token| ("authorization", token)));
            let body = json!({ "username": "me", "password": "" }).to_string();
            let status = server.send(Method::POST, path, &headers, Body::from(body)).status.as_u16();
            assert_eq!(status, if authorization.is_some() { 404 } else { 401 }, "{path}");
        }
    }
}

#[test]
fn files_are_their_owners_alone() {
    let server = Server::new();
    let run = server.run_in("0");
    server.token(stepwell_server::Role::Read, &[]);
    let uri = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/a/b");
    assert_eq!(server.send(Method::PUT, &uri, &[], Body::from("x")).status.as_u16(), 200);
    let mut looked_at = 0;
    walk(&server.dir.path().join("workspace"), &mut |path| {
        let mode = std::fs::symlink_metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        looked_at += 1;
    });
    assert!(looked_at > 10);
}

/// Calls `see` with everything below a folder.
fn walk(folder: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        see(&path);
        if path.is_dir() {
            walk(&path, see);
        }
    }
}

/// Names of all files below a folder, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(folder, &mut |path| {
        if !path.is_dir() {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    });
    found.sort();
    found
}
