//! What a workspace must hold by the diaries, and whether it does.
//!
//! The rules, of which each comparison counts as one check:
//!
//! - Points of one life in one run come in order, without gap or double, at least those that must be there and at most
//!   those that were tried.
//! - A param has the value that was acknowledged; a refused value never shows; two values are never acknowledged.
//! - A tag has the last acknowledged value or one that was tried after it.
//! - Experiments and imports that were acknowledged are there, also after a power loss.
//! - What one look found after all actors were gone, each later look finds unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stepwell::{RunId, Workspace};

use crate::diary::{self, Deed, Line, Mark};

/// Points of one life are numbered below this; values are `life * LIFE + number`.
pub(crate) const LIFE: u64 = 1 << 24;

/// The metric that all points are logged to.
pub(crate) const KEY: &str = "loss";

/// What the fault left to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Processes ended: everything acknowledged is there.
    Process,
    /// The power or the disk failed: what was synced is there.
    Machine,
}

/// What was found when all actors were gone: nobody may change it any more.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    points: BTreeMap<(String, u64), u64>,
    params: BTreeMap<(String, String), String>,
    tags: BTreeMap<(String, String), String>,
    experiments: BTreeSet<String>,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Comparisons that were made.
    pub(crate) checks: u64,
    /// Points that were acknowledged, by the diaries of this round.
    pub(crate) acknowledged: u64,
    /// What was wrong.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug, Default)]
struct Bounds {
    tried: u64,
    acknowledged: u64,
    durable: u64,
    imported: bool,
}

#[derive(Debug, Default)]
struct Word {
    value: String,
    mark: Option<Mark>,
    at_ns: u64,
    durable: bool,
}

/// All that the diaries of one round say.
#[derive(Debug, Default)]
pub(crate) struct Round {
    points: BTreeMap<(String, u64), Bounds>,
    params: BTreeMap<(String, String), Vec<Word>>,
    tags: BTreeMap<(String, String), Vec<Word>>,
    experiments: BTreeMap<String, bool>,
    runs: BTreeSet<String>,
    failures: Vec<String>,
}

impl Round {
    /// Reads all diaries in `dir`. Acknowledgements from the moment `over_ns` on do not count: the machine had no
    /// power, though the kernel went on and reported some syncs as successful.
    pub(crate) fn read(dir: &Path, over_ns: u64) -> std::io::Result<Self> {
        let mut diaries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let mut diary = diary::read(&entry?.path())?;
            diary.retain(|line| line.mark != Mark::Done || line.at_ns < over_ns);
            diaries.push(diary);
        }
        Ok(Self::of(&diaries))
    }

    fn of(diaries: &[Vec<Line>]) -> Self {
        let mut round = Self::default();
        let mut acknowledged_at: BTreeMap<(String, u64), Vec<(u64, u64)>> = BTreeMap::new();
        let mut finished: Vec<(String, u64)> = Vec::new();
        for diary in diaries {
            round.take(diary, &mut acknowledged_at, &mut finished);
        }
        for (run, since) in finished {
            for ((_, life), times) in acknowledged_at.iter().filter(|((of, _), _)| *of == run) {
                let through = times.iter().filter(|(at, _)| *at < since).map(|(_, through)| *through).max();
                let bounds = round.points.entry((run.clone(), *life)).or_default();
                bounds.durable = bounds.durable.max(through.unwrap_or(0));
            }
            let words = round.params.iter_mut().chain(&mut round.tags).filter(|((of, _), _)| *of == run);
            for word in words.flat_map(|(_, words)| words) {
                word.durable |= word.mark == Some(Mark::Done) && word.at_ns < since;
            }
        }
        round
    }

    fn take(
        &mut self,
        diary: &[Line],
        acknowledged_at: &mut BTreeMap<(String, u64), Vec<(u64, u64)>>,
        finished: &mut Vec<(String, u64)>,
    ) {
        // What this actor was acknowledged: lives of a run, and places of words.
        let mut own_lives: BTreeSet<(String, u64)> = BTreeSet::new();
        let mut own_words: Vec<(bool, (String, String), usize)> = Vec::new();
        let mut trying_since = 0;
        for line in diary {
            if let Some(error) = line.error.as_ref().filter(|_| line.mark == Mark::Failed) {
                self.failures.push(format!("{:?}: {error}", line.deed));
            }
            if line.mark == Mark::Trying {
                trying_since = line.at_ns;
            }
            let done = line.mark == Mark::Done;
            match &line.deed {
                Deed::Create { run } if done => _ = self.runs.insert(run.clone()),
                Deed::Points { run, life, through } => {
                    let bounds = self.points.entry((run.clone(), *life)).or_default();
                    bounds.tried = bounds.tried.max(*through);
                    if done {
                        bounds.acknowledged = *through;
                        own_lives.insert((run.clone(), *life));
                        acknowledged_at.entry((run.clone(), *life)).or_default().push((line.at_ns, *through));
                    }
                }
                Deed::Import { run, life, through } => {
                    let bounds = self.points.entry((run.clone(), *life)).or_default();
                    bounds.tried = *through;
                    bounds.imported = true;
                    if done {
                        (bounds.acknowledged, bounds.durable) = (*through, *through);
                    }
                }
                Deed::Param { run, key, value } => {
                    let at = (run.clone(), key.clone());
                    let place = note(self.params.entry(at.clone()).or_default(), line, value);
                    if done {
                        own_words.push((true, at, place));
                    }
                }
                Deed::Tag { run, key, value } => {
                    let at = (run.clone(), key.clone());
                    let place = note(self.tags.entry(at.clone()).or_default(), line, value);
                    if done {
                        own_words.push((false, at, place));
                    }
                }
                Deed::Sync { run } if done => self.cover(&own_lives, &own_words, |of| of == run),
                Deed::SyncAll if done => self.cover(&own_lives, &own_words, |_| true),
                Deed::Finish { run } if done => finished.push((run.clone(), trying_since)),
                Deed::Experiment { name } => *self.experiments.entry(name.clone()).or_default() |= done,
                _ => {}
            }
        }
    }

    fn cover(
        &mut self,
        lives: &BTreeSet<(String, u64)>,
        words: &[(bool, (String, String), usize)],
        covered: impl Fn(&str) -> bool,
    ) {
        for at in lives.iter().filter(|(run, _)| covered(run)) {
            let bounds = self.points.entry(at.clone()).or_default();
            bounds.durable = bounds.durable.max(bounds.acknowledged);
        }
        for (param, at, place) in words.iter().filter(|(_, (run, _), _)| covered(run)) {
            let map = if *param { &mut self.params } else { &mut self.tags };
            if let Some(word) = map.get_mut(at).and_then(|words| words.get_mut(*place)) {
                word.durable = true;
            }
        }
    }

    /// Errors of calls that no rule explains.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Compares a workspace that nobody writes to with this round and with what earlier checks found, and adds what it
    /// finds to `settled`.
    ///
    /// # Errors
    /// Those of reading the workspace, as text: each is a violation of its own.
    pub(crate) fn check(
        &self,
        workspace: &Workspace,
        settled: &mut Settled,
        fault: Fault,
    ) -> Result<Look, stepwell::Error> {
        let mut look = Look::default();
        let mut runs: BTreeSet<&str> = self.points.keys().map(|(run, _)| run.as_str()).collect();
        runs.extend(self.params.keys().chain(self.tags.keys()).map(|(run, _)| run.as_str()));
        runs.extend(self.runs.iter().map(String::as_str));
        let before: BTreeSet<String> = settled.points.keys().map(|(run, _)| run.clone()).collect();
        runs.extend(before.iter().map(String::as_str));
        for run in runs {
            self.check_run(workspace, run, settled, fault, &mut look)?;
        }
        let names: BTreeSet<String> = workspace.experiments().list()?.into_iter().map(|found| found.name).collect();
        for name in settled.experiments.iter().chain(self.experiments.iter().filter(|(_, done)| **done).map(|(n, _)| n))
        {
            look.expect(names.contains(name), || format!("experiment {name} was acknowledged and is gone"));
        }
        settled.experiments = names;
        look.acknowledged = self.points.values().map(|bounds| bounds.acknowledged).sum();
        Ok(look)
    }

    fn check_run(
        &self,
        workspace: &Workspace,
        run: &str,
        settled: &mut Settled,
        fault: Fault,
        look: &mut Look,
    ) -> Result<(), stepwell::Error> {
        let id = RunId::new(run).expect("actors use valid ids");
        let Some(snapshot) = workspace.find_run(&id)? else {
            let points = self.points.iter().filter(|((of, _), _)| of == run);
            let kept = |bounds: &Bounds| if fault == Fault::Process { bounds.acknowledged } else { bounds.durable };
            let must = points.map(|(_, bounds)| kept(bounds)).sum::<u64>()
                + settled.points.iter().filter(|((of, _), _)| of == run).map(|(_, count)| count).sum::<u64>();
            let created = fault == Fault::Process && self.runs.contains(run);
            look.expect(must == 0 && !created, || format!("run {run} is gone, and with it {must} points"));
            return Ok(());
        };
        let known = snapshot.keys().any(|key| key == KEY);
        let values = if known { snapshot.arrivals(KEY)?.values } else { Vec::new() };
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for value in values {
            let (life, at) = (value as u64 / LIFE, value as u64 % LIFE);
            let count = counts.entry(life).or_default();
            look.expect(at == *count, || format!("run {run}, life {life}: point {at} where {count} was due"));
            *count = at + 1;
        }
        self.check_points(run, &counts, settled, fault, look);
        self.check_metadata(run, &snapshot, settled, fault, look);
        Ok(())
    }

    fn check_points(
        &self,
        run: &str,
        counts: &BTreeMap<u64, u64>,
        settled: &mut Settled,
        fault: Fault,
        look: &mut Look,
    ) {
        let lives = self.points.keys().chain(settled.points.keys()).filter(|(of, _)| of == run).map(|(_, life)| *life);
        let lives: BTreeSet<u64> = lives.chain(counts.keys().copied()).collect();
        for life in lives {
            let at = (run.to_owned(), life);
            let found = counts.get(&life).copied().unwrap_or(0);
            let before = settled.points.get(&at).copied();
            match (self.points.get(&at), before) {
                (Some(bounds), _) => {
                    let least = if fault == Fault::Process { bounds.acknowledged } else { bounds.durable };
                    look.expect(found >= least, || format!("run {run}, life {life}: {found} points of {least} kept"));
                    look.expect(found <= bounds.tried, || {
                        format!("run {run}, life {life}: {found} points, only {} were tried", bounds.tried)
                    });
                    let whole = !bounds.imported || found == 0 || found == bounds.tried;
                    look.expect(whole, || format!("run {run}: {found} of {} imported points", bounds.tried));
                }
                (None, Some(before)) => look.expect(found == before, || {
                    format!("run {run}, life {life}: {found} points, {before} were there before")
                }),
                (None, None) => look.expect(false, || format!("run {run}, life {life}: {found} points of nobody")),
            }
            settled.points.insert(at, found);
        }
    }

    fn check_metadata(
        &self,
        run: &str,
        snapshot: &stepwell::RunSnapshot,
        settled: &mut Settled,
        fault: Fault,
        look: &mut Look,
    ) {
        let state = snapshot.state();
        for ((_, key), words) in self.params.iter().filter(|((of, _), _)| of == run) {
            let at = (run.to_owned(), key.clone());
            let found = state.param(key);
            let before = settled.params.get(&at).map(String::as_str);
            let acknowledged: BTreeSet<&str> =
                words.iter().filter(|word| word.mark == Some(Mark::Done)).map(|word| word.value.as_str()).collect();
            look.expect(acknowledged.len() <= 1, || {
                format!("run {run}, param {key}: several values acknowledged: {acknowledged:?}")
            });
            let kept = words.iter().find(|word| match fault {
                Fault::Process => word.mark == Some(Mark::Done),
                Fault::Machine => word.durable,
            });
            if let Some(kept) = kept {
                look.expect(found == Some(&kept.value), || {
                    format!("run {run}, param {key}: acknowledged {}, found {found:?}", kept.value)
                });
            }
            if let Some(before) = before {
                look.expect(found == Some(before), || format!("run {run}, param {key}: was {before}, is {found:?}"));
            }
            if let Some(found) = found {
                let tried = words.iter().any(|word| word.value == found && word.mark != Some(Mark::Refused));
                look.expect(tried || before == Some(found), || {
                    format!("run {run}, param {key}: {found} was refused or never tried")
                });
                settled.params.insert(at, found.to_owned());
            }
        }
        for ((of, key), before) in settled.params.iter().filter(|((of, _), _)| of == run) {
            let found = state.param(key);
            look.expect(found == Some(before), || format!("run {of}, param {key}: was {before}, is {found:?}"));
        }
        for ((_, key), words) in self.tags.iter().filter(|((of, _), _)| of == run) {
            let found = state.tags().find(|(name, _)| name == key).map(|(_, value)| value);
            let sure = |word: &Word| if fault == Fault::Process { word.mark == Some(Mark::Done) } else { word.durable };
            let from = words.iter().rposition(sure);
            let mut allowed: Vec<Option<&str>> =
                words[from.unwrap_or(0)..].iter().map(|word| Some(word.value.as_str())).collect();
            allowed.extend(from.is_none().then_some(None));
            look.expect(allowed.contains(&found), || {
                format!("run {run}, tag {key}: {found:?}, where one of {allowed:?} was due")
            });
            if let Some(found) = found {
                settled.tags.insert((run.to_owned(), key.clone()), found.to_owned());
            }
        }
        for ((of, key), before) in settled.tags.iter().filter(|((of, _), _)| of == run) {
            let found = state.tags().find(|(name, _)| name == key).map(|(_, value)| value);
            look.expect(found == Some(before), || format!("run {of}, tag {key}: was {before}, is {found:?}"));
        }
    }
}

/// Notes a line about a word: `Trying` begins one, every other mark says how the newest of this value ended.
fn note(words: &mut Vec<Word>, line: &Line, value: &str) -> usize {
    if line.mark == Mark::Trying {
        words.push(Word { value: value.to_owned(), at_ns: line.at_ns, ..Word::default() });
        return words.len() - 1;
    }
    let place = words.iter().rposition(|word| word.value == value).unwrap_or(0);
    if let Some(word) = words.get_mut(place) {
        word.mark = Some(line.mark);
        word.at_ns = line.at_ns;
    }
    place
}

impl Look {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.checks += 1;
        if !holds {
            self.violations.push(what());
        }
    }
}

#[cfg(test)]
mod tests {
    use stepwell::{ExperimentId, NewRun};

    use super::*;

    /// A workspace with one run of three points, a param and a tag, and the diary of whoever logged them.
    fn example() -> (tempfile::TempDir, Workspace, Vec<Line>) {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
        let new = NewRun { id: Some(RunId::new("r").unwrap()), ..NewRun::default() };
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
        (0..3).for_each(|at| writer.log_metric(KEY, at, (LIFE + at as u64) as f64).unwrap());
        writer.log_param("lr", "1").unwrap();
        writer.set_tag("t", "b").unwrap();
        let run = || "r".to_owned();
        let tag = |value: &str| Deed::Tag { run: run(), key: "t".into(), value: value.into() };
        let deeds = [
            Deed::Create { run: run() },
            Deed::Points { run: run(), life: 1, through: 3 },
            Deed::Param { run: run(), key: "lr".into(), value: "1".into() },
            tag("a"),
            tag("b"),
        ];
        let line = |(at, (mark, deed)): (usize, (Mark, &Deed))| Line {
            at_ns: at as u64,
            mark,
            deed: deed.clone(),
            error: None,
        };
        let marks = deeds.iter().flat_map(|deed| [(Mark::Trying, deed), (Mark::Done, deed)]);
        let diary = marks.enumerate().map(line).collect();
        (dir, workspace, diary)
    }

    fn violations(workspace: &Workspace, diaries: &[Vec<Line>], fault: Fault) -> Vec<String> {
        Round::of(diaries).check(workspace, &mut Settled::default(), fault).unwrap().violations
    }

    fn add(diary: &mut Vec<Line>, mark: Mark, deed: Deed) {
        diary.push(Line { at_ns: diary.len() as u64, mark, deed, error: None });
    }

    #[test]
    fn what_is_there_is_no_violation() {
        let (_dir, workspace, diary) = example();
        assert_eq!(violations(&workspace, &[diary], Fault::Process), [""; 0]);
    }

    #[test]
    fn each_kind_of_loss_is_one() {
        let run = || "r".to_owned();
        let lost = |deed: Deed| {
            let (_dir, workspace, mut diary) = example();
            add(&mut diary, Mark::Trying, deed.clone());
            add(&mut diary, Mark::Done, deed);
            violations(&workspace, &[diary], Fault::Process)
        };
        let param = |key: &str, value: &str| Deed::Param { run: run(), key: key.into(), value: value.into() };
        assert!(lost(Deed::Points { run: run(), life: 1, through: 4 })[0].contains("3 points of 4 kept"));
        assert!(lost(Deed::Points { run: "gone".into(), life: 1, through: 4 })[0].contains("run gone is gone"));
        assert!(lost(param("missing", "1"))[0].contains("found None"));
        assert!(lost(param("lr", "2"))[0].contains("several values acknowledged"));
        assert!(lost(Deed::Tag { run: run(), key: "t".into(), value: "c".into() })[0].contains("tag t"));
        assert!(lost(Deed::Experiment { name: "gone".into() })[0].contains("experiment gone"));
        assert!(lost(Deed::Import { run: "i".into(), life: 9, through: 7 })[0].contains("run i is gone"));
    }

    #[test]
    fn points_of_nobody_and_refused_values_are_violations() {
        let (_dir, workspace, mut diary) = example();
        diary.retain(|line| !matches!(line.deed, Deed::Points { .. }));
        assert!(violations(&workspace, &[diary], Fault::Process)[0].contains("points of nobody"));
        let (_dir, workspace, mut diary) = example();
        for line in &mut diary {
            if matches!(line.deed, Deed::Param { .. }) && line.mark == Mark::Done {
                line.mark = Mark::Refused;
            }
        }
        assert!(violations(&workspace, &[diary], Fault::Process)[0].contains("was refused or never tried"));
    }

    #[test]
    fn only_what_was_synced_must_survive_the_machine() {
        let (_dir, workspace, mut diary) = example();
        let more = Deed::Points { run: "r".into(), life: 1, through: 9 };
        add(&mut diary, Mark::Trying, more.clone());
        add(&mut diary, Mark::Done, more);
        assert_eq!(violations(&workspace, &[diary.clone()], Fault::Machine), [""; 0]);
        // Another actor's finish covers what was acknowledged before it.
        let finish = Deed::Finish { run: "r".into() };
        let line = |at_ns, mark| Line { at_ns, mark, deed: finish.clone(), error: None };
        let other = vec![line(1_000, Mark::Trying), line(1_001, Mark::Done)];
        let found = violations(&workspace, &[diary, other], Fault::Machine);
        assert!(found[0].contains("3 points of 9 kept"), "{found:?}");
    }

    #[test]
    fn what_was_seen_may_not_change() {
        let (_dir, workspace, diary) = example();
        let mut settled = Settled::default();
        Round::of(&[diary]).check(&workspace, &mut settled, Fault::Process).unwrap();
        settled.points.insert(("r".into(), 1), 4);
        settled.params.insert(("r".into(), "lr".into()), "2".into());
        let look = Round::default().check(&workspace, &mut settled, Fault::Process).unwrap();
        assert_eq!(look.violations.len(), 2, "{:?}", look.violations);
    }
}
