//! Writes a TensorBoard event file: scalars, hyperparameters, texts.

use std::io::{self, Write};

use prost::Message;
use stepwell::{Columns, Point};

use crate::number::{seconds_to_ms, widen};
use crate::tensorboard::messages::{
    Any, Event, HParamsData, Metadata, PluginData, SessionEnd, SessionStart, Summary, Tensor, Value,
};
use crate::tensorboard::tfrecord::frame;

/// The version that TensorBoard's writers begin a file with: steps may go back in it.
const FILE_VERSION: &str = "brain.Event:2";
/// TensorFlow's numbers of data types.
const DOUBLE: i32 = 2;
const STRING: i32 = 7;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Success = 1,
    /// Not well.
    Failure = 2,
    /// Not yet.
    Running = 3,
}

/// An event file being written.
#[derive(Debug)]
pub struct EventWriter<W> {
    out: W,
}

impl<W: Write> EventWriter<W> {
    /// Begins a file; the time is in milliseconds since the epoch.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, created_ms: i64) -> io::Result<Self> {
        let mut writer = Self { out };
        let event = Event {
            wall_time: seconds(Some(created_ms)),
            file_version: Some(FILE_VERSION.to_owned()),
            ..Event::default()
        };
        writer.write(&event)?;
        Ok(writer)
    }

    /// Writes the points of one tag in their order, every bit kept: as float32 where each value is one, else as
    /// float64. A point without a time has time 0, which this crate reads as none.
    ///
    /// # Errors
    /// Those of the output.
    pub fn scalars(&mut self, tag: &str, points: &Columns) -> io::Result<()> {
        let is_narrow = |value: &f64| widen(*value as f32).to_bits() == value.to_bits();
        let narrow = points.values.iter().all(is_narrow);
        for (index, Point { step, timestamp_ms, value }) in points.iter().enumerate() {
            let value = if narrow {
                Value { tag: tag.to_owned(), simple_value: Some(value as f32), ..Value::default() }
            } else {
                let tensor = Tensor { dtype: DOUBLE, content: value.to_le_bytes().to_vec(), ..Tensor::default() };
                // Which plugin a tag is for stands with its first value.
                let metadata = (index == 0).then(|| plugin("scalars", Vec::new()));
                Value { tag: tag.to_owned(), tensor: Some(tensor), metadata, ..Value::default() }
            };
            self.write_value(step, seconds(timestamp_ms), value)?;
        }
        Ok(())
    }

    /// Writes params as the hyperparameters of the run.
    ///
    /// # Errors
    /// Those of the output.
    pub fn params(&mut self, params: &[(&str, &str)]) -> io::Result<()> {
        let any = |text: &str| Any { string: Some(text.to_owned()), ..Any::default() };
        let hparams = params.iter().map(|(key, value)| ((*key).to_owned(), any(value))).collect();
        let data = HParamsData {
            session_start: Some(SessionStart { hparams, ..SessionStart::default() }),
            ..HParamsData::default()
        };
        self.write_hparams("_hparams_/session_start_info", &data, 0.0)
    }

    /// Writes a text.
    ///
    /// # Errors
    /// Those of the output.
    pub fn text(&mut self, tag: &str, text: &str) -> io::Result<()> {
        let tensor = Tensor { dtype: STRING, string_val: vec![text.as_bytes().to_vec()], ..Tensor::default() };
        let value = Value {
            tag: format!("{tag}/text_summary"),
            tensor: Some(tensor),
            metadata: Some(plugin("text", Vec::new())),
            ..Value::default()
        };
        self.write_value(0, 0.0, value)
    }

    /// Says how the run ended, and when in milliseconds since the epoch.
    ///
    /// # Errors
    /// Those of the output.
    pub fn end(&mut self, ending: Ending, at_ms: i64) -> io::Result<()> {
        let data = HParamsData { session_end: Some(SessionEnd { status: ending as i32 }), ..HParamsData::default() };
        self.write_hparams("_hparams_/session_end_info", &data, seconds(Some(at_ms)))
    }

    fn write_hparams(&mut self, tag: &str, data: &HParamsData, wall_time: f64) -> io::Result<()> {
        let metadata = Some(plugin("hparams", data.encode_to_vec()));
        self.write_value(0, wall_time, Value { tag: tag.to_owned(), metadata, ..Value::default() })
    }

    fn write_value(&mut self, step: i64, wall_time: f64, value: Value) -> io::Result<()> {
        let summary = Some(Summary { value: vec![value] });
        self.write(&Event { wall_time, step, summary, ..Event::default() })
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        self.out.write_all(&frame(&event.encode_to_vec()))
    }
}

/// Whether an event holds a time, in milliseconds since the epoch, as it is.
#[must_use]
pub fn is_event_time(ms: i64) -> bool {
    seconds_to_ms(seconds(Some(ms))) == Some(ms)
}

fn plugin(name: &str, content: Vec<u8>) -> Metadata {
    Metadata { plugin_data: Some(PluginData { plugin_name: name.to_owned(), content }), ..Metadata::default() }
}

fn seconds(timestamp_ms: Option<i64>) -> f64 {
    timestamp_ms.map_or(0.0, |ms| ms as f64 / 1000.0)
}
