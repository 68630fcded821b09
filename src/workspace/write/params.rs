//! Sets params: write-once among all writers of a run, without a lock that anybody waits for.
//!
//! 1. **Claim.** The writer appends a claim for each param to its log. Readers ignore claims.
//! 2. **Look.** It reads the run's metadata from the others: logs first, then packs.
//! 3. **Decide.** If another value is set, it retracts its claims and fails. If another live writer claims another
//!    value, the writer with the lesser id keeps its claim and looks again; the other retracts, waits and starts over.
//!    Both give up after a while. Claims of dead writers do not count.
//! 4. **Set.** Otherwise it appends the params in one frame. Only then are they values, and the call acknowledged.
//!
//! `docs/format.md` proves that no two values are ever set, and what is left if a writer dies at any step ("How a param
//! is set").
//!
//! A writer that fails to retract keeps its claim, which at most causes others an error, and retracts with its next
//! frame.
//!
//! Imports and pulls write straight into packs. They follow the rule with a log that contains only their claims while
//! the pack is made (`Shared::claiming_params`).

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::base::ids::{RunId, WriterId};
use crate::error::{Error, Result};
use crate::folder::paths::{self, LogName};
use crate::log::record::Record;
use crate::run::log_metadata::LogMetadata;
use crate::run::pack::pack_runs;
use crate::run::session::Session;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::RunState;
use crate::workspace::read::known::Known;
use crate::workspace::read::parts::merge;
use crate::workspace::state::shared::Shared;
use crate::workspace::write::edits::{Editor, conflict};

/// Pauses between looks start with the minimum and double up to the maximum.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Most claims per frame.
const CLAIMS_AT_ONCE: usize = 4096;

/// A param to set: key and value.
pub(crate) type Wanted<'a> = (&'a str, &'a str);

/// Another live writer that claims another value.
struct Rival {
    writer: WriterId,
    log: PathBuf,
    key: String,
    value: String,
}

/// Unreadable files and folders that cannot mention a run: they were unreadable when it began under a random id, and
/// nothing is added to them.
#[derive(Debug, Default)]
pub(crate) struct Unrelated(FxHashSet<PathBuf>);

impl Unrelated {
    /// The result of `read`, or the default if its error concerns one of these files.
    fn forgive<T: Default>(&self, read: Result<T>) -> Result<T> {
        read.or_else(|error| if self.has(&error) { Ok(T::default()) } else { Err(error) })
    }

    fn has(&self, error: &Error) -> bool {
        error.path().is_some_and(|path| self.0.contains(path))
    }
}

/// The run as all other writers see it.
struct Look {
    /// `None` if they have nothing of it.
    state: Option<RunState>,
    /// The rival for the wanted values; of several the one with the least id.
    rival: Option<Rival>,
    /// The manifest number up to which `state` includes packs.
    manifest: u64,
}

/// The outcome of repeated looks.
enum Found {
    /// Nobody has or claims other values.
    Free,
    /// Others have set some of the params; `state` has them.
    Set,
    /// A rival goes first, or does not finish.
    Rival(Rival),
}

impl Editor<'_> {
    /// Sets params: all of them, or none. See the module.
    pub(crate) fn set_params(&mut self, params: &[Wanted<'_>]) -> Result<()> {
        self.session.adopt_after_fork()?;
        let mut patience = Patience::new(self.workspace.inner.options.param_wait_ms);
        loop {
            let wanted = self.unset(params)?;
            if wanted.is_empty() {
                return Ok(());
            }
            let claims = wanted.iter().map(|&wanted| claim(&self.state.id, wanted)).collect();
            self.session.commit(claims, &[])?;
            let found = self.decide(&wanted, &mut patience);
            if matches!(found, Ok(Found::Free)) {
                return self.set(&wanted);
            }
            self.retract(&wanted);
            if let Found::Rival(rival) = found? {
                self.outwait(&wanted, rival, &mut patience)?;
            }
        }
    }

    /// The params not set yet.
    pub(crate) fn unset<'a>(&self, params: &[Wanted<'a>]) -> Result<Vec<Wanted<'a>>> {
        let mut wanted: Vec<Wanted<'a>> = Vec::with_capacity(params.len());
        for &(key, value) in params {
            let twice = wanted.iter().find(|(known, _)| *known == key).map(|&(_, value)| value);
            match self.state.param(key).or(twice) {
                Some(existing) if existing == value => {}
                Some(existing) => return Err(conflict(&self.state.id, key, existing, value)),
                None => wanted.push((key, value)),
            }
        }
        Ok(wanted)
    }

    /// Looks until it is decided who goes first, or patience ends.
    fn decide(&mut self, wanted: &[Wanted<'_>], patience: &mut Patience) -> Result<Found> {
        loop {
            match self.look(wanted)? {
                Found::Rival(rival) if self.session.writer() < rival.writer && patience.pause() => {}
                found => return Ok(found),
            }
        }
    }

    /// Waits until a rival has set its value or retracted its claim.
    fn outwait(&mut self, wanted: &[Wanted<'_>], mut rival: Rival, patience: &mut Patience) -> Result<()> {
        while patience.pause() {
            match self.look(wanted)? {
                Found::Rival(another) => rival = another,
                Found::Free | Found::Set => return Ok(()),
            }
        }
        let Rival { key, log, .. } = rival;
        Err(Error::ParamClaimed { run: self.state.id.to_string(), key, log })
    }

    /// Updates the state from the others, and checks whether it conflicts with these values.
    fn look(&mut self, wanted: &[Wanted<'_>]) -> Result<Found> {
        let (id, writer) = (&self.state.id, self.session.writer());
        if let Some(manifest) = *self.seen
            && self.workspace.alone(id, writer, manifest)?
        {
            return Ok(Found::Free);
        }
        let Look { state, rival, manifest } = self.workspace.look_at_params(id, writer, wanted, self.unrelated)?;
        *self.seen = Some(manifest);
        if let Some(others) = state {
            self.state.merge(&others);
        }
        let set = wanted.iter().any(|(key, _)| self.state.param(key).is_some());
        Ok(if set { Found::Set } else { rival.map_or(Found::Free, Found::Rival) })
    }

    /// Retracts claims. If that fails, they are retracted with the writer's next frame.
    fn retract(&mut self, wanted: &[Wanted<'_>]) {
        let retract = |(key, _): &Wanted<'_>| Record::ParamRetracted { run: self.run, key: (*key).to_owned() };
        let records: Vec<Record> = wanted.iter().map(retract).collect();
        if self.session.commit(records.clone(), &[]).is_err() {
            self.session.prepend_records(records);
        }
    }

    /// Appends params without a rival.
    fn set(&mut self, wanted: &[Wanted<'_>]) -> Result<()> {
        let param = |(order, &(key, value)): (u64, &Wanted<'_>)| Record::Param {
            run: self.run,
            key: key.to_owned(),
            value: value.to_owned(),
            order,
        };
        let records: Vec<Record> = (self.state.greatest_order() + 1..).zip(wanted).map(param).collect();
        if let Err(error) = self.session.commit(records.clone(), &[]) {
            self.retract(wanted);
            return Err(error);
        }
        let writer = self.session.writer();
        records.iter().for_each(|record| self.state.apply(writer, record));
        match self.session.check_linked() {
            // What was appended is lost with this process.
            Err(error @ Error::LogRemoved { .. }) => Err(error),
            // If that is unknown, the params are still set.
            _ => Ok(()),
        }
    }
}

/// A param left out of a pack because another value is set or claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedParam {
    /// The run.
    pub run: RunId,
    /// The param's key.
    pub key: String,
    /// The other value.
    pub existing: String,
    /// The value left out.
    pub given: String,
}

impl std::fmt::Display for RefusedParam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { run, key, existing, given } = self;
        write!(f, "param {key:?} of run {run} stays {existing:?} and was not set to {given:?}")
    }
}

impl Shared {
    /// Publishes imported or pulled runs as a pack, without the params for which others have set or claimed other
    /// values. Returns those.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if an unreadable file may mention a run with params. [`Error::Io`]; then nothing was
    /// published.
    pub(crate) fn publish_runs(&self, runs: Vec<RunSnapshot>) -> Result<Vec<RefusedParam>> {
        self.claiming_params(
            runs,
            |_| true,
            |mut runs, refused| {
                for run in &mut runs {
                    let id = run.id().clone();
                    run.leave_params_out(|key| refused.iter().any(|other| other.run == id && other.key == key));
                }
                let mut runs = runs.into_iter().map(Ok);
                self.publish_pack(|pack| pack_runs(pack, &mut runs), &[], |_| true)?;
                Ok(refused)
            },
        )
    }

    /// Runs `act` while the params of runs are claimed, so that nobody else sets other values. `act` gets the params
    /// for which others have set or claimed other values, of the runs selected by `asks`.
    ///
    /// # Errors
    /// Those of `act`; [`Error::Corrupt`] if an unreadable file may mention a run with params; [`Error::Io`].
    pub(crate) fn claiming_params<T>(
        &self,
        runs: Vec<RunSnapshot>,
        asks: impl Fn(&RunId) -> bool,
        act: impl FnOnce(Vec<RunSnapshot>, Vec<RefusedParam>) -> Result<T>,
    ) -> Result<T> {
        let claims: Vec<Record> = runs.iter().flat_map(|run| claims_of(run.state())).collect();
        // Its claims hold until the pack is published, and do not count once it is gone.
        let claiming = if claims.is_empty() { None } else { Some(self.claim_for_pack(claims)?) };
        let refused = claiming.as_ref().map_or(Ok(Vec::new()), |session| {
            let known = Known::of(self)?;
            let mut refused = Vec::new();
            for run in runs.iter().filter(|run| asks(run.id()) && known.may_have(run.id().key())) {
                refused.extend(self.refused_of(run.state(), session.writer())?);
            }
            Ok(refused)
        });
        let done = refused.and_then(|refused| act(runs, refused));
        if let Some(session) = claiming {
            let dir = self.inner.root.join(paths::EDITS);
            let name = LogName { dir, stem: paths::EDITS.to_owned(), writer: session.writer() };
            // Dropping ends it. Its ledger line is retired so that it may be removed; if that fails, it stays.
            drop(session);
            self.claims(true)?;
            if self.retire_line(&name).is_ok() {
                let _ = self.inner.storage.remove_file(&name.log());
            }
        }
        done
    }

    /// Creates an edit log that contains only claims.
    fn claim_for_pack(&self, claims: Vec<Record>) -> Result<Session> {
        let mut session =
            Session::create(self.place_of_log(self.inner.root.join(paths::EDITS), paths::EDITS.to_owned(), 1))?;
        let mut claims = claims.into_iter().peekable();
        while claims.peek().is_some() {
            session.commit(claims.by_ref().take(CLAIMS_AT_ONCE).collect(), &[])?;
        }
        Ok(session)
    }

    /// The params of a run for which others have set or claimed other values.
    fn refused_of(&self, state: &RunState, writer: WriterId) -> Result<Vec<RefusedParam>> {
        let mut wanted: Vec<Wanted<'_>> = state.params().collect();
        let mut refused = Vec::new();
        let mut refuse = |(key, given): Wanted<'_>, existing: &str| {
            let (run, key, given) = (state.id.clone(), key.to_owned(), given.to_owned());
            refused.push(RefusedParam { run, key, existing: existing.to_owned(), given });
        };
        while !wanted.is_empty() {
            let look = self.look_at_params(&state.id, writer, &wanted, &Unrelated::default())?;
            let Look { state: known, rival, .. } = look;
            wanted.retain(|&(key, value)| {
                let claimed = rival.as_ref().filter(|rival| rival.key == key).map(|rival| rival.value.as_str());
                let set = known.as_ref().and_then(|known| known.param(key)).filter(|set| *set != value);
                set.or(claimed).inspect(|existing| refuse((key, value), existing)).is_none()
            });
            if rival.is_none() {
                break;
            }
        }
        Ok(refused)
    }

    /// Unreadable files that will never mention a run that begins now under a random id: packs, which do not change,
    /// and edit logs that ended or have no file.
    pub(crate) fn unrelated_to_new_runs(&self) -> Result<Unrelated> {
        let mut unrelated = FxHashSet::default();
        let has_no_file = |error: &Error| match error {
            Error::Io { source, .. } => {
                matches!(source.kind(), ErrorKind::InvalidInput | ErrorKind::IsADirectory | ErrorKind::NotADirectory)
            }
            _ => false,
        };
        let mut unread: Vec<Error> = Vec::new();
        match self.edit_log_names() {
            Ok(names) => {
                for name in names {
                    let Err(error) = self.edit_log_metadata(&name) else { continue };
                    if has_no_file(&error) || self.has_ended_by_ledger(&name)? {
                        unread.push(error);
                    }
                }
            }
            Err(error) if has_no_file(&error) => unread.push(error),
            // Unseen logs may grow.
            Err(_) => {}
        }
        unread.extend(self.refresh()?.broken().values().map(|error| error.again()));
        unrelated.extend(unread.iter().filter_map(Error::path).map(std::path::Path::to_owned));
        Ok(Unrelated(unrelated))
    }

    /// A run's metadata from all logs and packs except the log of `writer`, and the rival for the wanted values.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] if an unreadable file may mention the run: a param may be set there.
    fn look_at_params(
        &self,
        id: &RunId,
        writer: WriterId,
        wanted: &[Wanted<'_>],
        unrelated: &Unrelated,
    ) -> Result<Look> {
        let (mut parts, mut rivals) = (Vec::new(), Vec::new());
        let of_state = |state: RunState| RunPart::new(state, Vec::new());
        let edits = unrelated.forgive(self.edit_log_names()).map_err(unread)?;
        let names = self.run_log_names(id.key()).map_err(unread)?.into_iter().chain(edits);
        for name in names.filter(|name| name.writer != writer) {
            let read = || match name.run() {
                Some(_) => Ok(self.read_log(&name).map_err(unread)?.map(|view| view.metadata().clone())),
                None => unrelated.forgive(self.edit_log_metadata(&name)).map_err(unread),
            };
            let Some(mut log) = read()? else { continue };
            let mut against = rival(&name, &log, id, wanted);
            if against.is_some() && (log.at().has_ended() || self.is_free(&name).unwrap_or(false)) {
                // Values it set before it died count; its claims can never become values.
                let Some(last) = read()? else { continue };
                (log, against) = (last, None);
            }
            if let Some(error) = log.damage(&name.log()).next() {
                return Err(error);
            }
            rivals.extend(against);
            parts.extend(log.state_of(id).map(of_state));
        }
        // Packs last: what left a log by now is in a pack.
        let manifest = {
            let mut manifest = self.inner.manifest.lock();
            manifest.refresh()?;
            manifest.number()
        };
        let packs = self.refresh()?;
        packs.check()?;
        if let Some(error) = packs.broken().values().find(|error| !unrelated.has(error)) {
            return Err(unread(error.again()));
        }
        for (pack, place) in packs.find(id.key()) {
            let group = pack.group(place.group)?;
            let state = group.states().get(place.run as usize).filter(|state| state.id == *id);
            parts.extend(state.cloned().map(of_state));
        }
        let state = merge(parts, self.inner.manifest.lock().state()).map(|run| run.state().clone());
        Ok(Look { state, rival: rivals.into_iter().min_by_key(|rival: &Rival| rival.writer), manifest })
    }
}

/// Extends an error of an unreadable file that may set a param with the reason why setting it fails.
fn unread(error: Error) -> Error {
    match error {
        Error::Io { path, source, .. } => {
            Error::Io { operation: "rule out another value of a param, which may be set in", path, source }
        }
        other => other,
    }
}

/// The claims of all params of a state.
fn claims_of(state: &RunState) -> impl Iterator<Item = Record> {
    state.params().map(|wanted| claim(&state.id, wanted))
}

/// The record that claims a param.
fn claim(id: &RunId, (key, value): Wanted<'_>) -> Record {
    Record::ParamClaimed { id: id.clone(), key: key.to_owned(), value: value.to_owned() }
}

/// The rival in a log: an open claim of a value other than the wanted one.
fn rival(name: &LogName, log: &LogMetadata, id: &RunId, wanted: &[Wanted<'_>]) -> Option<Rival> {
    wanted.iter().find_map(|&(key, value)| {
        let claimed = log.open_claim(id, key).filter(|claimed| *claimed != value)?.to_owned();
        Some(Rival { writer: name.writer, log: name.log(), key: key.to_owned(), value: claimed })
    })
}

/// The remaining time to wait for others.
struct Patience {
    left: Duration,
    next: Duration,
}

impl Patience {
    fn new(total_ms: u64) -> Self {
        Self { left: Duration::from_millis(total_ms), next: PAUSE_MIN }
    }

    /// Waits a little; `false` when time is up.
    fn pause(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let pause = self.next.min(self.left);
        std::thread::sleep(pause);
        self.left -= pause;
        self.next = (self.next * 2).min(PAUSE_MAX);
        true
    }
}
