//! A parcel: what one writer logged to one run from some point on, as the bytes of a relayed log. It travels between
//! workspaces.
//!
//! It has a start frame with the author, one frame of records (the run, its series, then metadata) that also has up to
//! [`ROWS_MAX`] points as rows, or a row group of more, and an end frame. So a parcel is whole or it is not one, and
//! every byte of it is verified before anything of it counts.

use std::path::PathBuf;

use rustc_hash::FxHashMap;

use crate::base::bytes::Malformed;
use crate::base::checksum::crc32;
use crate::base::control;
use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::items::is_logged;
use crate::base::limits::{
    EXPERIMENT_NAME_CHARS_MAX, ITEM_CHARS_MAX, ITEM_KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX,
    TAG_VALUE_CHARS_MAX, check_chars, check_key,
};
use crate::base::point::Columns;
use crate::codec::Effort;
use crate::error::{Error, Result};
use crate::log::frame::{self, HEADER_LEN, Header, Kind, Label};
use crate::log::record::{Attribute, Author, Batch, LOG_VERSION, NoStart, Record, Row, Start};
use crate::run::axes::{AxisTable, hash_axis, same_axis};
use crate::segment::reader::{RowGroup, Source};
use crate::segment::writer::{RowGroupWriter, SeriesName};
use crate::storage::bytes::Bytes;

/// More points than this travel as columns.
pub const ROWS_MAX: usize = 512;
/// Most points of a parcel.
pub const POINTS_MAX: u64 = 1 << 20;
/// Longest parcel, in bytes.
pub const BYTES_MAX: usize = 48 << 20;
/// Greatest order that a parcel may carry, so that greater ones are left for those who come later.
const ORDER_MAX: u64 = 1 << 60;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    /// The run.
    pub run: RunId,
    /// The name of its experiment.
    pub experiment: String,
    /// Who logged this, and the number of the first point.
    pub author: Author,
    /// The run's metadata that the author set, as its log has it: records about the run with the number 0.
    pub records: Vec<Record>,
    /// The author's points, by metric, in order of arrival.
    pub series: Vec<(String, Columns)>,
}

impl Parcel {
    /// How many points it has.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.series.iter().map(|(_, columns)| columns.len() as u64).sum()
    }

    /// Appends its bytes.
    ///
    /// # Errors
    /// If it exceeds the limits of a frame.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut frames = Frames { writer: self.author.writer, base: out.len(), out };
        let start = Start {
            writer: self.author.writer,
            order: self.author.order,
            created_ms: 0,
            process: String::new(),
            buffer_slots: 0,
            author: Some(self.author),
        };
        let mut payload = Vec::new();
        start.encode(&mut payload);
        frames.append(Kind::Start, 0, &payload)?;
        let (run, key) = (0, |at: usize| at as u32);
        let (id, experiment_name) = (self.run.clone(), self.experiment.clone());
        let mut batch = Batch {
            records: vec![Record::Run { run, id, experiment: ExperimentId::DEFAULT, experiment_name }],
            rows: Vec::new(),
        };
        let series = self.series.iter().enumerate();
        batch.records.extend(series.map(|(at, (name, _))| Record::Series { series: key(at), run, key: name.clone() }));
        batch.records.extend(self.records.iter().cloned());
        let points = self.points() as usize;
        if points <= ROWS_MAX {
            let rows = self.series.iter().enumerate();
            batch.rows =
                rows.flat_map(|(at, (_, columns))| columns.iter().map(move |point| Row::new(key(at), point))).collect();
        }
        payload.clear();
        batch.encode(&mut payload);
        frames.append(Kind::Records, batch.rows.len(), &payload)?;
        if points > ROWS_MAX {
            frames.append(Kind::RowGroup, points, &self.row_group()?)?;
        }
        frames.append(Kind::End, 0, &[])
    }

    /// Its points as a row group.
    fn row_group(&self) -> Result<Vec<u8>> {
        let mut group = RowGroupWriter::new(Vec::new(), Effort::Fast);
        let run = group.named_run();
        let writer = group.writer(self.author.writer);
        let mut axes = AxisTable::default();
        let axis_of = |at: usize| (&self.series[at].1.steps[..], self.series[at].1.timestamps.view());
        for (at, (name, columns)) in self.series.iter().enumerate().filter(|(_, (_, columns))| !columns.is_empty()) {
            let (steps, timestamps) = axis_of(at);
            let same = |a, b| same_axis(axis_of(a), axis_of(b));
            let axis = match axes.find(at, || hash_axis(steps, timestamps), same) {
                Ok(axis) => axis,
                Err(hash) => {
                    let axis = group.axis(steps, timestamps)?;
                    axes.insert(hash, at, axis);
                    axis
                }
            };
            let name = SeriesName { run, key: group.key(name)?, writer, axis };
            group.series(name, steps, timestamps, &columns.values)?;
        }
        Ok(group.finish(0)?.0)
    }

    /// Reads and verifies a parcel of at most `points` that takes all of `bytes`, and checks that it has nothing but
    /// what a writer of a run may say: points, params, tags, the run's attributes without its deletion, and attached
    /// items.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the offset and the reason.
    pub fn decode(bytes: Vec<u8>, points: u64) -> Result<Self> {
        Opening::read(bytes, points.min(POINTS_MAX)).map_err(|(offset, why)| {
            Error::invalid("parcel", format!("{why}, at byte {offset}; nothing of it was taken"))
        })
    }
}

/// Frames being appended.
struct Frames<'a> {
    writer: WriterId,
    base: usize,
    out: &'a mut Vec<u8>,
}

impl Frames<'_> {
    /// Appends a frame; points follow the author's start.
    fn append(&mut self, kind: Kind, count: usize, payload: &[u8]) -> Result<()> {
        let label = Label { kind, count: count as u32, sequence: 0, durable: 0 };
        let offset = (self.out.len() - self.base) as u64;
        if payload.len() > BYTES_MAX {
            return Err(Error::invalid("parcel", format!("{} bytes are too many for one", payload.len())));
        }
        frame::encode_header(label, self.writer, offset, payload, self.out);
        self.out.extend_from_slice(payload);
        Ok(())
    }
}

/// Where a parcel is wrong, and why.
type Wrong = (u64, String);

/// A parcel being read.
struct Opening {
    source: Source,
    at: u64,
    writer: WriterId,
    keys: Vec<String>,
    points_max: u64,
    parcel: Parcel,
}

impl Opening {
    fn read(bytes: Vec<u8>, points_max: u64) -> Result<Parcel, Wrong> {
        let len = bytes.len() as u64;
        if bytes.len() > BYTES_MAX {
            return Err((0, format!("{len} bytes are more than the limit of {BYTES_MAX}")));
        }
        let source = Source::new(Box::new(Bytes(bytes)), PathBuf::from("parcel"));
        let (author, at) = start(&source)?;
        let run = RunId::of_key(crate::base::ids::RunKey(0));
        let parcel = Parcel { run, experiment: String::new(), author, records: Vec::new(), series: Vec::new() };
        let mut opening = Self { source, at, writer: author.writer, keys: Vec::new(), points_max, parcel };
        opening.records()?;
        loop {
            let (header, payload) = frame_at(&opening.source, opening.writer, opening.at)?;
            let at = opening.at;
            opening.at += (HEADER_LEN + payload.len()) as u64;
            match header.kind {
                Kind::RowGroup if opening.parcel.series.is_empty() => opening.row_group(at, header)?,
                Kind::End if opening.at == len && payload.is_empty() => return Ok(opening.parcel),
                Kind::End => return Err((opening.at, "bytes follow its end".into())),
                kind => return Err((at, format!("a frame of kind {} is out of place", kind.number()))),
            }
        }
    }

    /// Takes the frame with the names, the metadata, and the points if there are few.
    fn records(&mut self) -> Result<(), Wrong> {
        let at = self.at;
        let wrong = |why: &str| (at, why.to_owned());
        let (header, payload) = frame_at(&self.source, self.writer, at)?;
        self.at += (HEADER_LEN + payload.len()) as u64;
        if header.kind != Kind::Records {
            return Err(wrong("its second frame has no records"));
        }
        let batch: Batch = control::decode(&payload).map_err(|Malformed(what)| wrong(what))?;
        if batch.rows.len() != header.count as usize || u64::from(header.count) > self.points_max {
            return Err(wrong("it has other rows than its header says"));
        }
        let mut records = batch.records.into_iter();
        match records.next() {
            Some(Record::Run { run: 0, id, experiment_name, .. }) => {
                // The decoder takes any text.
                self.parcel.run = RunId::new(id.as_str()).map_err(|error| wrong(&error.to_string()))?;
                self.parcel.experiment = experiment_name;
            }
            _ => return Err(wrong("its first record names no run")),
        }
        if self.parcel.experiment.trim().is_empty() {
            return Err(wrong("it names no experiment"));
        }
        let long = check_chars("experiment name", &self.parcel.experiment, EXPERIMENT_NAME_CHARS_MAX);
        long.map_err(|error| wrong(&error.to_string()))?;
        for record in records {
            match record {
                Record::Series { series, run: 0, key } if series as usize == self.keys.len() => {
                    check_key("metric key", &key).map_err(|error| wrong(&error.to_string()))?;
                    self.keys.push(key);
                }
                record => {
                    check_record(&record).map_err(|why| wrong(&why))?;
                    self.parcel.records.push(record);
                }
            }
        }
        if !batch.rows.is_empty() {
            let mut series: Vec<Columns> = self.keys.iter().map(|_| Columns::default()).collect();
            for row in &batch.rows {
                let columns = series.get_mut(row.series as usize).ok_or_else(|| wrong("a row's metric has no name"))?;
                columns.push(row.point());
            }
            let named = self.keys.iter().cloned().zip(series);
            self.parcel.series = named.filter(|(_, columns)| !columns.is_empty()).collect();
            self.check_keys(at)?;
        }
        Ok(())
    }

    /// Takes the row group whose frame is at this offset.
    fn row_group(&mut self, at: u64, header: Header) -> Result<(), Wrong> {
        let wrong = |why: &str| (at, why.to_owned());
        let damaged = |error: Error| (at, error.to_string());
        let place = at + HEADER_LEN as u64;
        let group = RowGroup::open(self.source.clone(), place, u64::from(header.len)).map_err(damaged)?;
        let footer = group.footer();
        let points = u64::from(header.count);
        if footer.first_sequence != 0 || footer.points != points || points > self.points_max || footer.runs != 1 {
            return Err(wrong("its row group has other points or runs than its header says"));
        }
        if footer.writers.iter().any(|&writer| writer != self.writer) {
            return Err(wrong("its row group has points of another writer"));
        }
        for (index, series) in footer.series.iter().enumerate() {
            let key = footer.key_of(series).to_owned();
            check_key("metric key", &key).map_err(|error| wrong(&error.to_string()))?;
            let mut columns = Columns::default();
            group.read(index, 0..group.axis_of(index).count, &mut columns).map_err(damaged)?;
            self.parcel.series.push((key, columns));
        }
        if self.parcel.points() != points {
            return Err(wrong("its row group lacks points"));
        }
        self.check_keys(at)
    }

    /// Each metric is there once.
    fn check_keys(&self, at: u64) -> Result<(), Wrong> {
        let mut seen: FxHashMap<&str, ()> = FxHashMap::default();
        let twice = self.parcel.series.iter().find(|(key, _)| seen.insert(key, ()).is_some());
        twice.map_or(Ok(()), |(key, _)| Err((at, format!("it has metric {key:?} twice"))))
    }
}

/// The author in the first frame, and the offset of the second.
fn start(source: &Source) -> Result<(Author, u64), Wrong> {
    // The seed of the first frame does not depend on the writer.
    let (header, payload) = frame_at(source, WriterId(0), 0)?;
    if header.kind != Kind::Start {
        return Err((0, "its first frame names no author".into()));
    }
    let start = Start::decode(&payload).map_err(|error| match error {
        NoStart::Newer(found) => (0, format!("it has version {found}, and this Stepwell reads up to {LOG_VERSION}")),
        NoStart::Malformed(Malformed(what)) => (0, what.to_owned()),
    })?;
    match start.author {
        Some(author) if author.writer == start.writer && author.order <= ORDER_MAX => {
            Ok((author, (HEADER_LEN + payload.len()) as u64))
        }
        _ => Err((0, "its first frame names no author".into())),
    }
}

/// The frame at an offset, verified.
fn frame_at(source: &Source, writer: WriterId, at: u64) -> Result<(Header, Vec<u8>), Wrong> {
    let cut = |_| (at, "it ends within a frame".to_owned());
    let head = source.read(at, HEADER_LEN).map_err(cut)?;
    let header = frame::decode(&head, writer, at).map_err(|_| (at, "a frame's header does not verify".to_owned()))?;
    let payload = source.read(at + HEADER_LEN as u64, header.len as usize).map_err(cut)?;
    if crc32(frame::seed(writer, at), &payload) != header.payload_crc {
        return Err((at, "a frame's contents do not verify".into()));
    }
    if header.sequence != 0 || header.durable != 0 {
        return Err((at, "a frame's header has the place of another log".into()));
    }
    Ok((header, payload))
}

/// Refuses what a logger may not say, and what breaks a limit.
fn check_record(record: &Record) -> Result<(), String> {
    let order = match record {
        Record::Param { run: 0, key, value, order } => {
            check_key("param key", key)
                .and_then(|()| check_chars("param value", value, PARAM_VALUE_CHARS_MAX))
                .map_err(|error| error.to_string())?;
            order
        }
        Record::Tag { run: 0, key, value, order } => {
            check_key("tag key", key)
                .and_then(|()| check_chars("tag value", value.as_deref().unwrap_or(""), TAG_VALUE_CHARS_MAX))
                .map_err(|error| error.to_string())?;
            order
        }
        Record::Item { run: 0, kind, key, value, order } => {
            if !is_logged(*kind) {
                return Err(format!("an item of kind {kind} is not a logger's to set"));
            }
            check_chars("item key", key, ITEM_KEY_CHARS_MAX)
                .and_then(|()| check_chars("item", value.as_deref().unwrap_or(""), ITEM_CHARS_MAX))
                .map_err(|error| error.to_string())?;
            order
        }
        Record::Attribute { run: 0, attribute, order } => {
            match attribute {
                Attribute::Name(text) | Attribute::User(text) => {
                    check_chars("run name or user", text, RUN_NAME_CHARS_MAX).map_err(|error| error.to_string())?;
                }
                Attribute::Deleted { .. } => return Err("a deletion is not a logger's to set".into()),
                Attribute::Status(_) | Attribute::StartTime(_) | Attribute::EndTime(_) | Attribute::Kind(_) => {}
            }
            order
        }
        Record::Run { .. } | Record::Series { .. } => {
            return Err("it names a second run, or a metric out of turn".into());
        }
        Record::ParamRetracted { .. } | Record::ParamClaimed { .. } => {
            return Err("a claim of a param counts in its own workspace only".into());
        }
        Record::Param { .. } | Record::Tag { .. } | Record::Item { .. } | Record::Attribute { .. } => {
            return Err("it has records of another run".into());
        }
    };
    if *order > ORDER_MAX { Err(format!("order {order} is greater than {ORDER_MAX}")) } else { Ok(()) }
}
