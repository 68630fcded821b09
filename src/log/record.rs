//! The records of a log. The order of variants and fields is the format: it may only be appended to.

use serde::{Deserialize, Serialize};

use crate::base::bytes::Malformed;
use crate::base::control;
use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::point::Point;
use crate::base::stats::RunStatus;
use crate::log::frame::SEQUENCE_MAX;

/// The greatest log format version that this build reads. It writes 2 for a log with an [`Author`], else 1.
pub const LOG_VERSION: u32 = 2;

/// The payload of a log's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The log's writer.
    pub writer: WriterId,
    /// One more than the greatest order that the writer saw in the run's other logs. It sorts the writers of a run
    /// without a clock; ties by writer.
    pub order: u64,
    /// When the log was created, in milliseconds since the epoch; for information only.
    pub created_ms: i64,
    /// The process that wrote it; for information only.
    pub process: String,
    /// Slots in each of the tail's two buffers.
    pub buffer_slots: u32,
    /// Whose points these are, if the log is relayed.
    pub author: Option<Author>,
}

/// The writer in another workspace whose points and metadata a relayed log has. They count as that writer's here, with
/// its sequence numbers, so copies that come by other ways are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The writer that logged them.
    pub writer: WriterId,
    /// The order in that writer's own log.
    pub order: u64,
    /// The author's sequence number of this log's first point.
    pub from: u64,
}

/// The fields of [`Start`] in version 1; in version 2 an [`Author`] follows.
#[derive(Serialize, Deserialize)]
struct StartFields {
    version: u32,
    writer: WriterId,
    order: u64,
    created_ms: i64,
    process: String,
    buffer_slots: u32,
}

impl Start {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { writer, order, created_ms, buffer_slots, author, .. } = *self;
        let version = if author.is_some() { 2 } else { 1 };
        let process = self.process.clone();
        control::encode(&StartFields { version, writer, order, created_ms, process, buffer_slots }, out);
        if let Some(author) = author {
            control::encode(&author, out);
        }
    }

    /// Reads the record.
    ///
    /// # Errors
    /// [`NoStart`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NoStart> {
        // The version comes first: a newer one may have another layout.
        let version: u32 = control::decode_first(bytes)?;
        let (fields, author) = match version {
            1 => (control::decode::<StartFields>(bytes)?, None),
            2 => control::decode::<(StartFields, Author)>(bytes).map(|(fields, author)| (fields, Some(author)))?,
            0 => return Err(NoStart::Malformed(Malformed("a log's version"))),
            newer => return Err(NoStart::Newer(newer)),
        };
        if author.is_some_and(|author| author.from > SEQUENCE_MAX) {
            return Err(NoStart::Malformed(Malformed("an author's sequence")));
        }
        let StartFields { writer, order, created_ms, process, buffer_slots, .. } = fields;
        Ok(Self { writer, order, created_ms, process, buffer_slots, author })
    }

    /// The writer whose points and metadata these are.
    #[must_use]
    pub fn said_by(&self) -> WriterId {
        self.author.map_or(self.writer, |author| author.writer)
    }
}

/// Why bytes are not a log's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStart {
    /// They are of a newer format version.
    Newer(u32),
    /// They are damaged.
    Malformed(Malformed),
}

impl From<Malformed> for NoStart {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// The payload of a records frame, applied atomically.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Records in order.
    pub records: Vec<Record>,
    /// Points, numbered from the frame's sequence on.
    pub rows: Vec<Row>,
}

/// A point in row form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The series, by its number in this log.
    pub series: u32,
    /// The step.
    pub step: i64,
    /// Milliseconds since the epoch, if any.
    pub timestamp_ms: Option<i64>,
    /// The value's bits.
    pub value_bits: u64,
}

impl Row {
    /// The point of a series as a row.
    #[must_use]
    pub fn new(series: u32, point: Point) -> Self {
        let Point { step, timestamp_ms, value } = point;
        Self { series, step, timestamp_ms, value_bits: value.to_bits() }
    }

    /// The row's point.
    #[must_use]
    pub fn point(&self) -> Point {
        Point { step: self.step, timestamp_ms: self.timestamp_ms, value: f64::from_bits(self.value_bits) }
    }
}

/// One change of a run's metadata. `run` and `series` are numbers within the log, assigned by [`Record::Run`] and
/// [`Record::Series`]; `order` decides between writers: the greatest wins, ties by writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Defines a run; the first record about it in each log.
    Run {
        /// Its number in this log.
        run: u32,
        /// Its id.
        id: RunId,
        /// Its experiment.
        experiment: ExperimentId,
        /// The experiment's name at the time, for a workspace that does not know the experiment.
        experiment_name: String,
    },
    /// Defines a series.
    Series {
        /// Its number in this log.
        series: u32,
        /// Its run.
        run: u32,
        /// Its metric's key.
        key: String,
    },
    /// Sets a param, permanently.
    Param {
        /// The run.
        run: u32,
        /// The param's key.
        key: String,
        /// Its value.
        value: String,
        /// See [`Record`].
        order: u64,
    },
    /// Retracts this writer's claim of a param, or its value.
    ParamRetracted {
        /// The run.
        run: u32,
        /// The param's key.
        key: String,
    },
    /// Sets a tag, or removes it.
    Tag {
        /// The run.
        run: u32,
        /// The tag's key.
        key: String,
        /// Its value; `None` removes the tag.
        value: Option<String>,
        /// See [`Record`].
        order: u64,
    },
    /// Sets an attribute of the run.
    Attribute {
        /// The run.
        run: u32,
        /// The attribute and its value.
        attribute: Attribute,
        /// See [`Record`].
        order: u64,
    },
    /// Sets an item of the run, or removes it: see [`crate::base::items`].
    Item {
        /// The run.
        run: u32,
        /// The item's kind.
        kind: u8,
        /// The item's key.
        key: String,
        /// The item's value; `None` removes it.
        value: Option<String>,
        /// See [`Record`].
        order: u64,
    },
    /// Claims a param that this writer is about to set. Only other writers use it. It names its run by id, so that it
    /// does not create the run. A writer's later claim of a key replaces its earlier one.
    ParamClaimed {
        /// The run's id.
        id: RunId,
        /// The param's key.
        key: String,
        /// The value to be set.
        value: String,
    },
}

impl Record {
    /// The number of its run in the log; `None` for a claim, which names its run by id.
    #[must_use]
    pub fn run(&self) -> Option<u32> {
        match self {
            Self::Run { run, .. }
            | Self::Series { run, .. }
            | Self::Param { run, .. }
            | Self::ParamRetracted { run, .. }
            | Self::Tag { run, .. }
            | Self::Attribute { run, .. }
            | Self::Item { run, .. } => Some(*run),
            Self::ParamClaimed { .. } => None,
        }
    }

    /// See [`Self::run`].
    #[must_use]
    pub fn run_mut(&mut self) -> Option<&mut u32> {
        match self {
            Self::Run { run, .. }
            | Self::Series { run, .. }
            | Self::Param { run, .. }
            | Self::ParamRetracted { run, .. }
            | Self::Tag { run, .. }
            | Self::Attribute { run, .. }
            | Self::Item { run, .. } => Some(run),
            Self::ParamClaimed { .. } => None,
        }
    }
}

/// An attribute of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attribute {
    /// Its name.
    Name(String),
    /// Who ran it.
    User(String),
    /// Its status.
    Status(RunStatus),
    /// Milliseconds since the epoch.
    StartTime(Option<i64>),
    /// Milliseconds since the epoch.
    EndTime(Option<i64>),
    /// Deleted or restored.
    Deleted {
        /// When it was deleted, in milliseconds since the epoch; `None` when it is not.
        at_ms: Option<i64>,
        /// The experiment's generation at that time; the attribute counts only in that generation.
        generation: u64,
        /// Who did it; empty if unknown.
        by: String,
    },
    /// Its kind: see [`crate::base::items`]; absent for a plain run.
    Kind(u8),
}

impl Attribute {
    /// The number of kinds.
    pub const KINDS: usize = 7;

    /// The number of this kind, for arrays by kind.
    #[must_use]
    pub fn kind(&self) -> usize {
        match self {
            Self::Name(_) => 0,
            Self::User(_) => 1,
            Self::Status(_) => 2,
            Self::StartTime(_) => 3,
            Self::EndTime(_) => 4,
            Self::Deleted { .. } => 5,
            Self::Kind(_) => 6,
        }
    }
}

impl Batch {
    /// Appends the batch's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        control::encode(self, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_pinned() {
        let writer = WriterId(7);
        let author = Author { writer: WriterId(8), order: 300, from: 5 };
        let plain = Start { writer, order: 2, created_ms: 3, process: "p".into(), buffer_slots: 9, author: None };
        for (start, expected) in [
            (plain.clone(), "010702060170 09".replace(' ', "")),
            (Start { author: Some(author), ..plain }, "02070206017009 08fb2c0105".replace(' ', "")),
        ] {
            let mut bytes = Vec::new();
            start.encode(&mut bytes);
            assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
            assert_eq!(Start::decode(&bytes), Ok(start));
        }
        assert_eq!(Start::decode(&[3, 1, 2]), Err(NoStart::Newer(3)));
        assert!(Start::decode(&[0, 7, 2, 6, 0, 9]).is_err());
    }

    #[test]
    fn bytes_are_pinned() {
        let batch = Batch {
            records: vec![
                Record::Run {
                    run: 0,
                    id: RunId::new("r1").unwrap(),
                    experiment: ExperimentId(0),
                    experiment_name: "Default".into(),
                },
                Record::Series { series: 0, run: 0, key: "loss".into() },
                Record::Param { run: 0, key: "lr".into(), value: "0.1".into(), order: 1 },
                Record::ParamRetracted { run: 0, key: "lr".into() },
                Record::Tag { run: 0, key: "a".into(), value: None, order: 2 },
                Record::Attribute { run: 0, attribute: Attribute::Status(RunStatus::Finished), order: 3 },
                Record::Item { run: 0, kind: 2, key: "k".into(), value: Some("v".into()), order: 4 },
                Record::ParamClaimed { id: RunId::new("r1").unwrap(), key: "lr".into(), value: "0.1".into() },
            ],
            rows: vec![Row::new(0, Point { step: -1, timestamp_ms: Some(2), value: 1.0 })],
        };
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0800000272310007446566617561756c74".replace("7561756c74", "756c74")
                + "010000046c6f7373"
                + "0200026c7203302e3101"
                + "0300026c72"
                + "040001610002"
                + "0500020203"
                + "060002016b01017604"
                + "07027231026c7203302e31"
                + "01"
                + "0001"
                + "0104"
                + "fd000000000000f03f"
        );
        assert_eq!(control::decode::<Batch>(&bytes).unwrap(), batch);
    }
}
