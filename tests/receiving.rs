//! Parcels taken into a workspace: the receiver is killed, cut off from power, refused by the disk or stopped at every
//! operation, and each time all that was logged arrives, exactly once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stepwell::maintenance::CompactOptions;
use stepwell::replication::{Receipt, Receiver, Shipment};
use stepwell::testing::{Op, OpKind, PowerLoss, SimDisk, Storage, Times};
use stepwell::{Error, NewRun, Options, Result, RunEdit, RunId, RunStatus, RunWriter, TailMode, Workspace};

use crate::support::stop::at_every_operation;

const STAGES: usize = 5;

fn open(storage: Arc<dyn Storage>, tail: TailMode) -> Result<Workspace> {
    let options = Options { tail, tail_points: 64, grace_ms: 0, ..Options::default() };
    Workspace::open_or_create_on(storage, Path::new("/w"), options)
}

/// A machine that logs, in stages, and sends after each.
struct Sender {
    workspace: Workspace,
    shipment: Shipment,
    writers: BTreeMap<&'static str, RunWriter>,
    stage: usize,
    /// Points by run and metric that the receiver called durable.
    acknowledged: BTreeMap<(String, String), u64>,
}

impl Sender {
    fn new() -> Self {
        let workspace = open(Arc::new(SimDisk::new()), TailMode::Mapped).unwrap();
        let shipment = workspace.ship(Vec::new()).unwrap();
        Self { workspace, shipment, writers: BTreeMap::new(), stage: 0, acknowledged: BTreeMap::new() }
    }

    fn begin(&mut self, name: &'static str) {
        let experiment = self.workspace.experiments().get_or_create("vision").unwrap();
        let new = NewRun {
            id: Some(RunId::new(name).unwrap()),
            params: vec![("lr".into(), "0.1".into())],
            tags: vec![("stage".into(), "0".into())],
            ..NewRun::default()
        };
        self.writers.insert(name, self.workspace.create_run(experiment, new).unwrap());
    }

    /// Logs what the next stage has.
    fn log(&mut self) {
        let log = |writer: &mut RunWriter, key: &str, steps: std::ops::Range<i64>| {
            steps.for_each(|step| writer.log_metric(key, step, step as f64 / 3.0).unwrap());
        };
        match self.stage {
            0 => {
                self.begin("a");
                log(self.writers.get_mut("a").unwrap(), "loss", 0..20);
            }
            1 => {
                self.begin("b");
                let steps: Vec<i64> = (0..3000).collect();
                let values: Vec<f64> = steps.iter().map(|&step| (step as f64).sin()).collect();
                let writer = self.writers.get_mut("b").unwrap();
                let metric = writer.metric("grad").unwrap();
                writer.log_columns(metric, &steps, Some(&steps), &values).unwrap();
            }
            2 => {
                let writer = self.writers.get_mut("a").unwrap();
                log(writer, "loss", 20..150);
                writer.edit(&[RunEdit::Tag("stage".into(), "2".into())]).unwrap();
                self.writers.insert("a2", self.workspace.writer(&RunId::new("a").unwrap()).unwrap());
                log(self.writers.get_mut("a2").unwrap(), "other", 0..7);
            }
            3 => log(self.writers.get_mut("b").unwrap(), "loss", 0..5),
            _ => std::mem::take(&mut self.writers)
                .into_values()
                .for_each(|writer| writer.finish(RunStatus::Finished).unwrap()),
        }
        self.stage += 1;
    }

    /// Sends what the other side does not have.
    fn send(&mut self, target: &Workspace, receiver: &Receiver) -> Result<()> {
        send(&mut self.shipment, target, receiver)?;
        let counts = points(&self.workspace).into_iter().map(|(name, points)| (name, points.len() as u64));
        self.acknowledged = counts.collect();
        Ok(())
    }

    /// All stages, each sent; the first error ends it.
    fn live(&mut self, storage: Arc<dyn Storage>, tail: TailMode) -> Result<()> {
        let target = open(storage, tail)?;
        let receiver = target.receiver(8);
        while self.stage < STAGES {
            self.log();
            self.send(&target, &receiver)?;
        }
        receiver.close_all();
        Ok(())
    }

    /// Goes on after an accident: logs and sends the rest.
    fn go_on(&mut self, target: &Workspace) {
        self.shipment.restart().unwrap();
        let receiver = target.receiver(8);
        loop {
            self.send(target, &receiver).unwrap();
            if self.stage == STAGES {
                break;
            }
            self.log();
        }
        receiver.close_all();
        for turn in 0..2 {
            assert_eq!(points(target), points(&self.workspace), "turn {turn}");
            let run = target.run(&RunId::new("a").unwrap()).unwrap();
            assert_eq!((run.state().param("lr"), run.state().status()), (Some("0.1"), RunStatus::Finished));
            assert_eq!(run.state().tags().collect::<Vec<_>>(), [("stage", "2")]);
            // The simulated kill leaves half of a ledger's line, which costs no data.
            let mut damage = target.maintenance().verify().unwrap().damage;
            damage.retain(|one| !one.cost.starts_with("no data"));
            assert!(damage.is_empty(), "turn {turn}: {damage:?}");
            target.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }

    /// What is there was logged, once, and nothing is missing that was called durable.
    fn check(&self, target: &Workspace) {
        let (here, there) = (points(&self.workspace), points(target));
        for (name, points) in &there {
            let logged = &here[name];
            assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "{name:?}: a point twice");
            assert!(points.iter().all(|point| logged.contains(point)), "{name:?}: what nobody logged");
        }
        for (name, count) in &self.acknowledged {
            let found = there.get(name).map_or(0, Vec::len) as u64;
            assert!(found >= *count, "{name:?}: {found} of {count} that were acknowledged");
        }
    }
}

/// Sends what the other side does not have, as a carrier does.
fn send(shipment: &mut Shipment, target: &Workspace, receiver: &Receiver) -> Result<()> {
    while shipment.wait(Duration::ZERO)? {
        if let Some((run, writers)) = shipment.unknown_positions() {
            for writer in writers {
                let position = receiver.position(&run, writer)?;
                shipment.set_position(&run, writer, position);
            }
            continue;
        }
        let parcels = shipment.parcels();
        for parcel in &parcels {
            let experiment = target.experiments().get_or_create(&parcel.experiment)?;
            if let Receipt::OutOfPlace(_) = receiver.take(parcel, experiment)? {
                shipment.restart()?;
                break;
            }
        }
        receiver.sync(parcels.iter().map(|parcel| (&parcel.run, parcel.author.writer)))?;
    }
    Ok(())
}

type Points = BTreeMap<(String, String), Vec<(i64, Option<i64>, u64)>>;

/// All points of a workspace, by run and metric, in order of step.
fn points(workspace: &Workspace) -> Points {
    let mut all = Points::new();
    for id in workspace.run_ids().unwrap() {
        let run = workspace.run(&id).unwrap();
        for key in run.keys() {
            let history = run.history(key).unwrap();
            let bits = history.iter().map(|point| (point.step, point.timestamp_ms, point.value.to_bits()));
            all.insert((id.to_string(), key.to_owned()), bits.collect());
        }
    }
    all
}

/// Operations of a receiver without accidents that change the disk.
fn changes(tail: TailMode) -> Vec<u64> {
    let disk = SimDisk::new();
    let mut sender = Sender::new();
    sender.live(Arc::new(disk.clone()), tail).unwrap();
    let trace = disk.trace();
    sender.go_on(&open(Arc::new(disk.clone()), tail).unwrap());
    let reads = [OpKind::Open, OpKind::ReadDir, OpKind::Stat, OpKind::Read, OpKind::Lock];
    trace.iter().filter(|op: &&Op| !reads.contains(&op.kind)).map(|op| op.number).collect()
}

/// Every how many operations an accident is tried, unless the environment asks for all.
fn stride(every: usize) -> usize {
    if std::env::var_os("STEPWELL_CRASH_ALL").is_some() { 1 } else { every }
}

#[test]
fn a_receiver_is_killed_and_cut_off_from_power_at_every_operation() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        for n in changes(tail).into_iter().step_by(stride(5)) {
            let disk = SimDisk::new();
            disk.crash_at(n);
            let mut sender = Sender::new();
            let _ = sender.live(Arc::new(disk.clone()), tail);
            let image = disk.process_crash();
            let losses = [PowerLoss::DropAll, PowerLoss::KeepAll, PowerLoss::Seeded(n)];
            for lost in losses.map(|how| disk.power_loss(how)) {
                let found = open(Arc::new(lost), tail).unwrap();
                sender.check(&found);
            }
            let found = open(Arc::new(image), tail).unwrap();
            sender.check(&found);
            sender.go_on(&found);
        }
    }
}

#[test]
fn what_a_power_loss_took_is_sent_again() {
    for n in changes(TailMode::Mapped).into_iter().step_by(stride(9)) {
        let disk = SimDisk::new();
        disk.crash_at(n);
        let mut sender = Sender::new();
        let _ = sender.live(Arc::new(disk.clone()), TailMode::Mapped);
        let image = disk.power_loss(if n % 2 == 0 { PowerLoss::DropAll } else { PowerLoss::Seeded(n) });
        sender.go_on(&open(Arc::new(image), TailMode::Mapped).unwrap());
    }
}

#[test]
fn a_receiver_that_the_disk_refuses_goes_on_when_it_does_not() {
    for (errno, times) in [(libc::EIO, Times::Once), (libc::ENOSPC, Times::Once)] {
        for n in changes(TailMode::Written).into_iter().step_by(stride(7)) {
            let disk = SimDisk::new();
            disk.fail_at(n, errno, times);
            let mut sender = Sender::new();
            match sender.live(Arc::new(disk.clone()), TailMode::Written) {
                Ok(()) | Err(Error::Io { .. } | Error::DurabilityLost { .. }) => {}
                Err(error) => panic!("operation {n}, {errno}: {error}"),
            }
            // Not every life takes the same operations.
            disk.clear_faults();
            let found = open(Arc::new(disk.clone()), TailMode::Written).unwrap();
            sender.check(&found);
            sender.go_on(&found);
        }
    }
}

/// A receiver stops anywhere, for ever or until another one has taken the same parcels and packed the runs.
#[test]
fn a_receiver_stops_anywhere_while_another_takes_the_same() {
    let mut sender = Sender::new();
    // A small run: each place is tried six times.
    sender.log();
    sender.stage = STAGES - 1;
    sender.log();
    let source = sender.workspace.clone();
    let logged = points(&source);
    let carry = move |storage: Arc<dyn Storage>| -> Result<()> {
        let target = open(storage, TailMode::Mapped)?;
        let receiver = target.receiver(8);
        send(&mut source.ship(Vec::new())?, &target, &receiver)
    };
    let other = carry.clone();
    at_every_operation(
        || (SimDisk::new(), ()),
        carry,
        |disk, ()| {
            other(Arc::new(disk.clone())).unwrap();
            let found = open(Arc::new(disk.clone()), TailMode::Mapped).unwrap();
            assert_eq!(points(&found), logged);
            found.maintenance().compact(CompactOptions::default()).unwrap();
            assert_eq!(points(&found), logged);
        },
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
            }
            let found = open(Arc::new(disk.clone()), TailMode::Mapped).unwrap();
            for turn in 0..2 {
                assert_eq!(points(&found), logged, "turn {turn}");
                let report = found.maintenance().verify().unwrap();
                assert!(report.damage.is_empty(), "{:?}", report.damage);
                found.maintenance().compact(CompactOptions::default()).unwrap();
            }
        },
    );
}
