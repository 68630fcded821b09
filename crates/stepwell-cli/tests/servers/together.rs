//! Two servers and four trainers on one workspace; one server is killed while all of them log.

use serde_json::json;

use crate::process::Server;
use crate::trainer::{Trainer, Way, value};

const STEPS: i64 = 6_000;

/// Holds what a server shows against what was acknowledged: every point once, bit for bit, and the batches' params and
/// tags.
fn holds(server: &Server, trainer: &Trainer, whose: &str) {
    let history = server.history(&trainer.run, &trainer.key);
    let expected: Vec<(i64, f64)> = (0..STEPS).map(|step| (step, value(step))).collect();
    assert_eq!(history.len(), expected.len(), "{whose}, {}", trainer.key);
    for (got, expected) in history.iter().zip(&expected) {
        assert_eq!((got.0, got.1.to_bits()), (expected.0, expected.1.to_bits()), "{whose}, {}", trainer.key);
    }
}

#[test]
fn one_server_of_two_is_killed_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("w");
    let first = Server::start(&workspace, 0);
    let second = Server::start(&workspace, 0);
    let (one, two) = (first.address.clone(), second.address.clone());
    let made = first.post("experiments/create", &json!({ "name": "together" }));
    let experiment = made["experiment_id"].as_str().unwrap();
    // What one server made the other knows at once.
    let runs: Vec<String> = (0..3).map(|_| second.run_in(experiment)).collect();
    let both = [one.as_str(), two.as_str()];
    let other = [two.as_str()];
    let mut trainers = [
        Trainer::start(Way::Rest { addresses: &both }, &runs[0], "failing-over", STEPS),
        Trainer::start(Way::Rest { addresses: &other }, &runs[1], "steady", STEPS),
        Trainer::start(Way::Library { workspace: &workspace }, &runs[2], "library", STEPS),
        // Into runs that others write too, by both servers.
        Trainer::start(Way::InTurn { addresses: &both }, &runs[2], "in-turn", STEPS),
    ];
    trainers.iter_mut().for_each(|trainer| trainer.wait_for(STEPS / 10));
    let port = first.port();
    first.kill();
    trainers.iter_mut().for_each(|trainer| trainer.wait_for(STEPS / 3));
    // The other goes on, and knows what was acknowledged by the one that is gone.
    for trainer in &trainers {
        let seen = second.history(&trainer.run, &trainer.key);
        assert!(
            seen.len() as i64 >= trainer.acknowledged,
            "{}: {} of {}",
            trainer.key,
            seen.len(),
            trainer.acknowledged
        );
        let logged = second.run_in(experiment);
        second.post("runs/set-tag", &json!({ "run_id": logged, "key": "k", "value": "v" }));
    }
    let again = Server::start(&workspace, port);
    assert_eq!(again.address, one);
    trainers.iter_mut().for_each(Trainer::finish);
    let third = Server::start(&workspace, 0);
    for (server, whose) in [(&again, "the one restarted"), (&second, "the one that went on"), (&third, "a new one")] {
        for trainer in &trainers {
            holds(server, trainer, whose);
        }
        for trainer in trainers.iter().filter(|trainer| trainer.key != "library") {
            let run = server.get(&format!("runs/get?run_id={}", trainer.run))["run"]["data"].clone();
            let named = |list: &str, key: &str| {
                let found = run[list].as_array().unwrap().iter().find(|pair| pair["key"] == key);
                found.map(|pair| pair["value"].clone())
            };
            let last = (STEPS - 1) / 21 * 21;
            for step in (0..STEPS).step_by(21) {
                assert_eq!(
                    named("params", &format!("{}.{step}", trainer.key)),
                    Some(json!(step.to_string())),
                    "{whose}"
                );
            }
            assert_eq!(named("tags", &format!("{}.step", trainer.key)), Some(json!(last.to_string())), "{whose}");
            let latest = named("metrics", &trainer.key);
            assert_eq!(latest, Some(json!(value(STEPS - 1))), "{whose}");
        }
        let found = server.post("runs/search", &json!({ "experiment_ids": [experiment], "filter": "tags.k = 'v'" }));
        assert_eq!(found["runs"].as_array().unwrap().len(), trainers.len(), "{whose}");
    }
}
