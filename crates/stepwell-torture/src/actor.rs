//! What the processes of a campaign do: each logs, edits, imports or compacts until it is ended, and keeps a diary.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use stepwell::import::RunImport;
use stepwell::maintenance::{CollectOptions, CompactOptions, Schedule};
use stepwell::{Columns, Error, ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, TailMode, Workspace};

use crate::diary::{Deed, Diary};
use crate::forking;
use crate::oracle::{KEY, LIFE};
use crate::random::Random;

/// A kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Logs points to one shared run in every way there is, syncs, sets params and tags, finishes.
    Writer,
    /// As a writer, whose workspace syncs and compacts in the background.
    Maintained,
    /// As a writer that forks: parent and child go on with the same writer.
    Forker,
    /// Makes runs of its own in several short sessions, of which only the last one syncs.
    Session,
    /// Edits runs without a writer, and creates experiments.
    Editor,
    /// Imports whole runs.
    Importer,
    /// Compacts and collects garbage, with no grace period.
    Compactor,
}

/// What an actor is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Orders {
    #[arg(long)]
    pub(crate) role: Role,
    /// The workspace.
    #[arg(long)]
    pub(crate) workspace: PathBuf,
    /// The folder of diaries.
    #[arg(long)]
    pub(crate) diaries: PathBuf,
    /// The first of this actor's lives; it may use the following [`LIVES`].
    #[arg(long)]
    pub(crate) life: u64,
    /// The round, by which params are named.
    #[arg(long)]
    pub(crate) round: u64,
    /// Which of the shared runs a writer writes to.
    #[arg(long)]
    pub(crate) run: String,
    /// Whether errors are expected: the disk is failing. The actor then begins anew instead of ending.
    #[arg(long)]
    pub(crate) failing: bool,
}

/// Lives that an actor may use.
pub(crate) const LIVES: u64 = 1_000;

/// Acts until it is ended from outside; returns early where a role has an end of its own.
pub(crate) fn act(orders: &Orders) -> Result<(), Error> {
    let mut actor = Actor {
        diary: Diary::create(&orders.diaries, orders.life).expect("the folder of diaries is there"),
        orders: orders.clone(),
        life: orders.life,
        end: orders.life + LIVES,
        random: Random::new(orders.life + 1),
    };
    loop {
        let result = match orders.role {
            Role::Writer => actor.write(false),
            Role::Maintained => actor.write_maintained(),
            Role::Forker => actor.write(true),
            Role::Session => actor.sessions(),
            Role::Editor => actor.edit(),
            Role::Importer => actor.import(),
            Role::Compactor => actor.compact(),
        };
        actor.life += 1;
        if !orders.failing || actor.life >= actor.end {
            return result;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Actor {
    orders: Orders,
    diary: Diary,
    life: u64,
    /// Lives from this one on are another actor's.
    end: u64,
    random: Random,
}

/// Whether an error is a refusal by a rule: another value stands or may stand.
fn refused(error: &Error) -> bool {
    matches!(error, Error::ParamConflict { .. })
}

fn never(_: &Error) -> bool {
    false
}

impl Actor {
    fn open(&self) -> Result<Workspace, Error> {
        // Tails of another size in each life: some are sealed all the time, some never.
        let tail = if self.life.is_multiple_of(3) { TailMode::Written } else { TailMode::Auto };
        let tail_points = 64 << (self.life % 11);
        Workspace::open_or_create_with(
            &self.orders.workspace,
            Options { tail, tail_points, grace_ms: 0, ..Options::default() },
        )
    }

    fn write_maintained(&mut self) -> Result<(), Error> {
        let workspace = self.open()?;
        let schedule =
            Schedule { sync_every: Some(Duration::from_millis(10)), compact_every: Some(Duration::from_millis(40)) };
        let _maintenance = workspace.maintenance().start(schedule)?;
        self.write_to(&workspace, false)
    }

    fn write(&mut self, fork: bool) -> Result<(), Error> {
        let workspace = self.open()?;
        self.write_to(&workspace, fork)
    }

    fn write_to(&mut self, workspace: &Workspace, fork: bool) -> Result<(), Error> {
        let run = self.orders.run.clone();
        let mut writer = workspace.writer(&RunId::new(&run)?)?;
        let metric = writer.metric(KEY)?;
        let mut at = 0;
        for turn in 0_u64.. {
            let len = match turn % 7 {
                0 => 40,
                1 => 700,
                _ => 1,
            };
            let life = self.life;
            let values: Vec<f64> = (at..at + len).map(|at| (life * LIFE + at) as f64).collect();
            let steps: Vec<i64> = (at..at + len).map(|at| at as i64).collect();
            let deed = Deed::Points { run: run.clone(), life, through: at + len };
            self.diary.around(&deed, never, || match turn % 7 {
                0 => {
                    let point = |(&step, &value): (&i64, &f64)| (metric, Point { step, timestamp_ms: None, value });
                    writer.log_points(&steps.iter().zip(&values).map(point).collect::<Vec<_>>())
                }
                1 => writer.log_columns(metric, &steps, None, &values),
                2 => writer.log_metric(KEY, steps[0], values[0]),
                3 => writer.log_metrics(steps[0], None, &[(KEY, values[0]), ("other", values[0])]),
                _ => writer.log_point(metric, Point { step: steps[0], timestamp_ms: Some(1), value: values[0] }),
            })?;
            at += len;
            if turn % 16 == 15 {
                std::thread::sleep(Duration::from_micros(200));
            }
            match turn % 50 {
                3 => {
                    let key = format!("p{}", self.orders.round);
                    let value = life.to_string();
                    let deed = Deed::Param { run: run.clone(), key: key.clone(), value: value.clone() };
                    let set = self.diary.around(&deed, refused, || writer.log_param(&key, &value));
                    set.or_else(|error| if refused(&error) { Ok(()) } else { Err(error) })?;
                }
                20 => self.diary.around(&Deed::Sync { run: run.clone() }, never, || writer.sync())?,
                30 => writer.seal()?,
                40 => {
                    let (key, value) = (format!("t{life}"), turn.to_string());
                    let deed = Deed::Tag { run: run.clone(), key: key.clone(), value: value.clone() };
                    self.diary.around(&deed, never, || writer.set_tag(&key, &value))?;
                }
                45 if fork && self.life + 4 < self.end && self.random.below(4) == 0 => {
                    // The child gets half of the lives that are left, and a diary of its own.
                    let middle = self.life.midpoint(self.end);
                    if forking::fork() {
                        self.life = middle;
                        self.diary = child_diary(&self.orders.diaries, middle);
                        self.random = Random::new(middle + 1);
                    } else {
                        self.life += 1;
                        self.end = middle;
                    }
                    at = 0;
                }
                _ => {}
            }
            if turn == 400 + life % 300 {
                let deed = Deed::Finish { run: run.clone() };
                return self.diary.around(&deed, never, || writer.finish(RunStatus::Finished));
            }
        }
        Ok(())
    }

    fn sessions(&mut self) -> Result<(), Error> {
        let workspace = self.open()?;
        while self.life + 4 < self.end {
            let run = format!("s-{}", self.life);
            let id = RunId::new(&run)?;
            let new = NewRun { id: Some(id.clone()), name: run.clone(), ..NewRun::default() };
            let create = Deed::Create { run: run.clone() };
            let mut first = self.diary.around(&create, never, || workspace.create_run(ExperimentId::DEFAULT, new))?;
            let param = Deed::Param { run: run.clone(), key: "lr".into(), value: run.clone() };
            self.diary.around(&param, refused, || first.log_param("lr", &run))?;
            drop(first);
            // Another life and another writer for each session: what one loses does not hide what the next has.
            for _ in 0..3 {
                self.life += 1;
                let mut writer = workspace.writer(&id)?;
                for at in 0..self.random.below(30) {
                    let deed = Deed::Points { run: run.clone(), life: self.life, through: at + 1 };
                    let value = (self.life * LIFE + at) as f64;
                    self.diary.around(&deed, never, || writer.log_metric(KEY, at as i64, value))?;
                }
            }
            let writer = workspace.writer(&id)?;
            let finish = Deed::Finish { run: run.clone() };
            self.diary.around(&finish, never, || writer.finish(RunStatus::Finished))?;
            self.life += 1;
        }
        Ok(())
    }

    fn edit(&mut self) -> Result<(), Error> {
        let workspace = self.open()?;
        let run = self.orders.run.clone();
        let id = RunId::new(&run)?;
        for turn in 0_u64.. {
            let (key, value) = (format!("t{}", self.life), turn.to_string());
            let deed = Deed::Tag { run: run.clone(), key: key.clone(), value: value.clone() };
            self.diary.around(&deed, never, || workspace.edit_run(&id, &[RunEdit::Tag(key, value)]))?;
            let (key, value) = (format!("p{}", self.orders.round), self.life.to_string());
            let deed = Deed::Param { run: run.clone(), key: key.clone(), value: value.clone() };
            let set = self.diary.around(&deed, refused, || workspace.edit_run(&id, &[RunEdit::Param(key, value)]));
            set.or_else(|error| if refused(&error) { Ok(()) } else { Err(error) })?;
            if turn % 5 == 0 {
                let name = format!("e-{}-{turn}", self.life);
                let deed = Deed::Experiment { name: name.clone() };
                self.diary.around(&deed, never, || workspace.experiments().create(&name))?;
            }
            if turn % 7 == 0 {
                self.diary.around(&Deed::SyncAll, never, || workspace.sync())?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn import(&mut self) -> Result<(), Error> {
        let workspace = self.open()?;
        while self.life + 1 < self.end {
            let (life, run) = (self.life, format!("i-{}", self.life));
            let points = 1 + self.random.below(3_000);
            let columns = Columns {
                steps: (0..points as i64).collect(),
                timestamps: (0..points).map(|_| None).collect(),
                values: (0..points).map(|at| (life * LIFE + at) as f64).collect(),
            };
            let deed = Deed::Import { run: run.clone(), life, through: points };
            let id = RunId::new(&run)?;
            let import = RunImport {
                name: run,
                series: vec![(KEY.into(), columns)],
                ..RunImport::new(id, ExperimentId::DEFAULT)
            };
            self.diary.around(&deed, never, || {
                let mut importer = workspace.importer();
                importer.add(import)?;
                importer.finish()
            })?;
            self.life += 1;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), Error> {
        let workspace = self.open()?;
        loop {
            self.diary.around(&Deed::Upkeep, never, || -> Result<(), Error> {
                workspace.maintenance().compact(CompactOptions::default())?;
                workspace.maintenance().collect_garbage(CollectOptions::before(0))?;
                Ok(())
            })?;
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

fn child_diary(dir: &Path, life: u64) -> Diary {
    Diary::create(dir, life).expect("the folder of diaries is there")
}
