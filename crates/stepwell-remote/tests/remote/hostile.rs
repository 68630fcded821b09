//! What a server refuses, and that nothing of it is taken.

use stepwell::internals::log::record::{Attribute, Record};
use stepwell::replication::{Author, BundleBuilder, MEDIA_TYPE, Parcel};
use stepwell::{Columns, ExperimentId, Point, RunId, Workspace, WriterId};
use stepwell_remote::{Response, Server, ServerOptions};

use crate::support::{Served, tokens};

fn parcel(run: &str, experiment: &str, records: Vec<Record>, points: i64) -> Parcel {
    let columns: Columns = (0..points).map(|step| Point { step, timestamp_ms: Some(step), value: 0.5 }).collect();
    let author = Author { writer: WriterId(7), order: 1, from: 0 };
    let series = if points > 0 { vec![("loss".to_owned(), columns)] } else { Vec::new() };
    Parcel { run: RunId::new(run).unwrap(), experiment: experiment.into(), author, records, series }
}

fn bundle(parcel: &Parcel) -> Vec<u8> {
    let mut builder = BundleBuilder::default();
    assert!(builder.add(parcel).unwrap());
    builder.close().unwrap()
}

fn post(server: &Server, bytes: &[u8]) -> Response {
    server.post("/api/stepwell/spool/parcels", MEDIA_TYPE, bytes).unwrap()
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

#[test]
fn what_no_logger_may_say_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("server"));
    let server = Server::new(ServerOptions::new(&served.url()).unwrap()).unwrap();
    let run = 0;
    let order = 3;
    let tag = |run: u32| Record::Tag { run, key: "k".into(), value: Some("v".into()), order };
    let deleted = Attribute::Deleted { at_ms: Some(1), generation: 0, by: "x".into() };
    let wrong = [
        (vec![Record::Attribute { run, attribute: deleted, order }], "deletion"),
        (vec![Record::Item { run, kind: 6, key: String::new(), value: Some("file:///etc".into()), order }], "item"),
        (vec![tag(1)], "another run"),
        (vec![Record::ParamRetracted { run, key: "k".into() }], "claim"),
        (vec![Record::Tag { run, key: "k".into(), value: Some("v".into()), order: u64::MAX }], "order"),
        (vec![Record::Tag { run, key: String::new(), value: None, order }], "empty"),
        (vec![Record::Tag { run, key: "k".into(), value: Some("v".repeat(9000)), order }], "limit"),
        (
            vec![Record::Run {
                run: 1,
                id: RunId::new("other").unwrap(),
                experiment: ExperimentId::DEFAULT,
                experiment_name: "x".into(),
            }],
            "second run",
        ),
    ];
    for (records, why) in wrong {
        let answer = post(&server, &bundle(&parcel("r1", "e", records, 10)));
        assert!(answer.status == 400 && text(&answer).contains(why), "{why}: {} {}", answer.status, text(&answer));
    }
    // Flipped bits, anywhere, in small and large parcels.
    for points in [10, 2000] {
        let good = bundle(&parcel("r1", "e", vec![tag(0)], points));
        for at in (0..good.len()).step_by(1 + good.len() / 97) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            let answer = post(&server, &bad);
            assert!(answer.status == 400, "byte {at}: {} {}", answer.status, text(&answer));
        }
        for len in [0, 1, 19, 20, good.len() / 2, good.len() - 1] {
            assert_eq!(post(&server, &good[..len]).status, 400);
        }
    }
    let there = Workspace::open(dir.path().join("server")).unwrap();
    assert!(there.run_ids().unwrap().is_empty(), "nothing was taken");
    assert_eq!(there.experiments().list().unwrap().len(), 1);
    // A parcel that does not follow is not taken, and says where the server is.
    let mut ahead = parcel("r1", "e", vec![tag(0)], 10);
    ahead.author.from = 5;
    assert!(text(&post(&server, &bundle(&ahead))).contains("elsewhere"));
    let good = bundle(&parcel("r1", "e", vec![tag(0)], 10));
    assert!(text(&post(&server, &good)).contains("taken"));
    assert!(text(&post(&server, &good)).contains("elsewhere"), "a second time it counts no more");
    assert_eq!(there.run(&RunId::new("r1").unwrap()).unwrap().count("loss").unwrap(), 10);
    // A deleted run takes nothing more.
    there.delete_run(&RunId::new("r1").unwrap()).unwrap();
    let mut more = parcel("r1", "e", Vec::new(), 10);
    more.author.from = 10;
    assert!(text(&post(&server, &bundle(&more))).contains("refused"));
}

#[test]
fn tokens_reach_their_experiments_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("server");
    let there = Workspace::open_or_create(&folder).unwrap();
    let own = there.experiments().create("own").unwrap();
    let other = there.experiments().create("other").unwrap();
    let run =
        there.create_run(other, stepwell::NewRun { id: Some(RunId::new("theirs").unwrap()), ..Default::default() });
    run.unwrap().close().unwrap();
    let [scoped, reader] = tokens(&folder, &own.to_string());
    let served = Served::start_with_tokens(&folder);
    let with = |token: Option<&str>| {
        let options = ServerOptions { token: token.map(str::to_owned), ..ServerOptions::new(&served.url()).unwrap() };
        Server::new(options).unwrap()
    };
    let good = bundle(&parcel("mine", "own", Vec::new(), 10));
    assert_eq!(post(&with(None), &good).status, 401);
    // A wrong token fails already where a token of an hour is made from it.
    let wrong = with(Some("stw_wrong")).post("/api/stepwell/spool/parcels", MEDIA_TYPE, &good);
    assert!(wrong.as_ref().is_err_and(|error| error.to_string().contains("answered 401")), "{wrong:?}");
    assert_eq!(post(&with(Some(&reader)), &good).status, 403);
    let scoped = with(Some(&scoped));
    assert!(text(&post(&scoped, &good)).contains("taken"));
    for (run, experiment) in [("new", "other"), ("theirs", "own"), ("new", "unknown")] {
        let answer = post(&scoped, &bundle(&parcel(run, experiment, Vec::new(), 10)));
        assert!(text(&answer).contains("refused") && text(&answer).contains("PERMISSION_DENIED"), "{}", text(&answer));
    }
    let body = br#"{"run_id":"theirs","experiment_name":"own","writers":["00000000000000000000000000000007"]}"#;
    let asked = scoped.post("/api/stepwell/spool/positions", "application/json", body).unwrap();
    assert_eq!(asked.status, 403, "{}", text(&asked));
    assert!(there.experiments().by_name("unknown").unwrap().is_none());
    assert!(there.run(&RunId::new("theirs").unwrap()).unwrap().keys().next().is_none());
}
