//! The plain twin of a workspace: what was acknowledged, what may be there, and what must survive a power loss
//! .

use std::collections::{BTreeMap, BTreeSet};

use stepwell::{Point, RunSnapshot, RunStatus};

/// A change of a run's metadata.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// The value; `None` takes it away.
    pub(crate) value: Option<String>,
    /// Whether the call succeeded; otherwise it may be there or not.
    pub(crate) acknowledged: bool,
    /// Whether it must survive a power loss.
    pub(crate) durable: bool,
    /// The writer of it, by its position in the run; `None` for an edit without a writer.
    pub(crate) by: Option<usize>,
}

/// What one writer was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriterLedger {
    /// Points that were acknowledged, in order, with their keys.
    pub(crate) points: Vec<(String, Point)>,
    /// Points of a call that did not return: all of them are there, or none.
    pub(crate) in_flight: Vec<(String, Point)>,
    /// How many points must survive a power loss.
    pub(crate) durable: usize,
    /// Whether it is still open.
    pub(crate) open: bool,
}

/// What was logged to one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunLedger {
    /// Whether its creation was acknowledged.
    pub(crate) created: bool,
    /// Whether it was permanently deleted.
    pub(crate) gone: bool,
    /// Whether a collection of garbage that did not return may have deleted it for good.
    pub(crate) may_be_gone: bool,
    /// Writers in the order in which they were opened.
    pub(crate) writers: Vec<WriterLedger>,
    /// Histories of words by name, see [`word`].
    pub(crate) words: BTreeMap<String, Vec<Word>>,
    /// The place of the writer that stands for imports, if there was one.
    pub(crate) imported: Option<usize>,
    /// Whether an import was stored.
    pub(crate) import_stored: bool,
    /// Metrics that imports do not bring back, since they were deleted for good.
    pub(crate) not_imported: BTreeSet<String>,
    /// The metric that a call was deleting for good that did not return, and how many points each writer had.
    pub(crate) deleting: Option<(String, Vec<usize>)>,
}

/// Everything that was logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Runs by id.
    pub(crate) runs: BTreeMap<String, RunLedger>,
    /// Experiments by name, and whether their creation was acknowledged.
    pub(crate) experiments: BTreeMap<String, bool>,
    /// How many points were made up so far; each value is unique by it.
    pub(crate) counter: u64,
}

impl RunLedger {
    /// Notes a word before it is said.
    pub(crate) fn say(&mut self, name: String, value: Option<String>, by: Option<usize>) {
        let word = Word { value, acknowledged: false, durable: false, by };
        self.words.entry(name).or_default().push(word);
    }

    /// Marks the newest word of a name as acknowledged.
    pub(crate) fn heard(&mut self, name: &str) {
        if let Some(last) = self.words.get_mut(name).and_then(|words| words.last_mut()) {
            last.acknowledged = true;
        }
    }

    /// Takes back the newest word of a name: the call was refused by a rule.
    pub(crate) fn refused(&mut self, name: &str) {
        if let Some(words) = self.words.get_mut(name) {
            words.pop();
        }
    }

    /// The value that stands if nothing is lost and nothing is in doubt.
    pub(crate) fn standing(&self, name: &str) -> Option<&str> {
        let words = self.words.get(name)?;
        words.iter().rev().find(|word| word.acknowledged)?.value.as_deref()
    }

    /// All values that a reader may find; `lossy` after a power loss.
    pub(crate) fn allowed(&self, name: &str, lossy: bool) -> Vec<Option<&str>> {
        let Some(words) = self.words.get(name) else {
            return vec![None];
        };
        let sure = |word: &Word| {
            if lossy { word.durable } else { word.acknowledged }
        };
        let from = words.iter().rposition(sure);
        let mut allowed: Vec<Option<&str>> =
            words[from.unwrap_or(0)..].iter().map(|word| word.value.as_deref()).collect();
        if from.is_none() {
            allowed.push(None);
        }
        allowed
    }

    /// Marks everything a writer logged so far as durable.
    pub(crate) fn synced(&mut self, writer: usize) {
        let own = &mut self.writers[writer];
        own.durable = own.points.len();
        self.durable_metadata(|by| by == Some(writer));
    }

    /// Marks what nobody writes any more as durable: compaction has packed it.
    pub(crate) fn packed(&mut self) {
        let open: Vec<bool> = self.writers.iter().map(|writer| writer.open).collect();
        for writer in self.writers.iter_mut().filter(|writer| !writer.open) {
            writer.durable = writer.points.len();
        }
        self.durable_metadata(|by| by.is_none_or(|by| !open[by]));
    }

    fn durable_metadata(&mut self, written_by: impl Fn(Option<usize>) -> bool) {
        for word in self.words.values_mut().flatten() {
            word.durable |= word.acknowledged && written_by(word.by);
        }
    }

    /// Whether some writer logged a metric.
    pub(crate) fn has_metric(&self, key: &str) -> bool {
        self.writers.iter().flat_map(|writer| &writer.points).any(|(of, _)| of == key)
    }

    /// A metric is about to be deleted for good.
    pub(crate) fn begin_deletion(&mut self, key: &str) {
        self.deleting = Some((key.to_owned(), self.writers.iter().map(|writer| writer.points.len()).collect()));
    }

    /// The metric that was being deleted is gone: what each writer had logged of it by then.
    pub(crate) fn end_deletion(&mut self) {
        let Some((key, through)) = self.deleting.take() else { return };
        for (writer, through) in self.writers.iter_mut().zip(through) {
            let mut at = 0;
            let mut kept_durable = 0;
            let durable = writer.durable;
            writer.points.retain(|(of, _)| {
                let keep = at >= through || *of != key;
                kept_durable += usize::from(keep && at < durable);
                at += 1;
                keep
            });
            writer.durable = kept_durable;
        }
        self.not_imported.insert(key);
    }

    /// After a deletion that did not return: it came to pass, or not, by the first point of the metric that a reader
    /// finds.
    pub(crate) fn resolve_deletion(&mut self, first: impl FnOnce(&str) -> Option<Point>) {
        let Some((key, _)) = &self.deleting else { return };
        let known = self.arrivals(true).get(key.as_str()).and_then(|points| points.first().copied());
        if known.is_some() && first(key) != known {
            self.end_deletion();
        } else {
            self.deleting = None;
        }
    }

    /// How many points there are, with those in flight or without.
    pub(crate) fn total(&self, with_in_flight: bool) -> u64 {
        self.arrivals(with_in_flight).values().map(Vec::len).sum::<usize>() as u64
    }

    /// Points by key, writer after writer; with what is in flight or without.
    pub(crate) fn arrivals(&self, with_in_flight: bool) -> BTreeMap<&str, Vec<Point>> {
        let mut arrivals: BTreeMap<&str, Vec<Point>> = BTreeMap::new();
        for writer in &self.writers {
            let in_flight = writer.in_flight.iter().filter(|_| with_in_flight);
            for (key, point) in writer.points.iter().chain(in_flight) {
                arrivals.entry(key).or_default().push(*point);
            }
        }
        arrivals
    }
}

impl Ledger {
    /// The next number for a unique value.
    pub(crate) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Marks what nobody writes any more as durable.
    pub(crate) fn packed(&mut self) {
        self.runs.values_mut().for_each(RunLedger::packed);
    }

    /// All handles are gone.
    pub(crate) fn all_closed(&mut self) {
        let writers = self.runs.values_mut().flat_map(|run| &mut run.writers);
        writers.for_each(|writer| writer.open = false);
    }
}

/// The value of a word that a reader finds, by the name under which the ledger keeps it: `p:key`, `t:key`, `name`,
/// `status` or `deleted`.
pub(crate) fn word(run: &RunSnapshot, name: &str) -> Option<String> {
    let state = run.state();
    match name.split_once(':') {
        Some(("p", key)) => state.param(key).map(str::to_owned),
        Some(("t", key)) => state.tags().find(|(own, _)| *own == key).map(|(_, value)| value.to_owned()),
        _ => match name {
            "name" => (!state.name().is_empty()).then(|| state.name().to_owned()),
            "deleted" => state.deleted().then(|| "yes".to_owned()),
            _ => {
                let status = state.status();
                (status != RunStatus::Running).then(|| status.as_str().to_owned())
            }
        },
    }
}

/// A value that nothing else has, bit by bit: NaNs with payloads, subnormals, integers, fractions.
pub(crate) fn value(number: u64) -> f64 {
    match number % 6 {
        0 => f64::from_bits(0x7FF8_0000_0000_0000 | number),
        1 => f64::from_bits(number),
        2 => number as f64,
        3 => -(number as f64),
        4 => number as f64 / 1024.0,
        _ => f64::from_bits(0xFFF0_0000_0000_0000 | number),
    }
}

/// A point of a unique value; `shape` says how its step and timestamp go.
pub(crate) fn point(number: u64, shape: u8) -> Point {
    let count = number as i64;
    let step = match shape % 6 {
        0 | 1 => count,
        2 => count - 9,
        3 => 7,
        4 => -count,
        _ => i64::MIN + count,
    };
    let timestamp_ms = match shape / 6 % 4 {
        0 | 1 => Some(1_700_000_000_000 + count),
        2 => None,
        _ => Some(-5),
    };
    Point { step, timestamp_ms, value: value(number) }
}
