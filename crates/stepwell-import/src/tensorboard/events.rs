//! Events to a run: scalars to series, hyperparameters to params, the last text of each tag to a tag.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use prost::Message;
use stepwell::RunStatus;

use crate::attached::Attached;
use crate::context::Context;
use crate::keep::Keep;
use crate::number::{seconds_to_ms, widen};
use crate::report::Kind;
use crate::run::{ImportError, ImportedRun};
use crate::series::SeriesBuilder;
use crate::table::json;
use crate::tensorboard::messages::{Event, HParamsData, Value};
use crate::tensorboard::tensor;
use crate::tensorboard::tfrecord::{Next, Records};
use crate::walk::{Group, SourceFile};
use crate::{origin, placed_id};

/// Longer texts are not kept as tags.
const TEXT_BYTES_MAX: usize = 8_000;

/// So much of the first record says which run it is: it has the time at which its writer began.
const BEGINNING_BYTES: usize = 4096;

/// What the event files of a folder add up to.
struct Events {
    builder: SeriesBuilder,
    /// Which plugin a tag belongs to; writers may say it with the tag's first value only.
    plugins: HashMap<String, String>,
    /// Tags that have a description.
    described: HashSet<String>,
    params: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    keep: Keep,
    status: RunStatus,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    count: u64,
    /// The first file's name and first record, by which the run is known again.
    beginning: String,
}

/// Reads a folder's event files, in the order of their names, as TensorBoard does.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    let mut events = Events {
        builder: SeriesBuilder::default(),
        plugins: HashMap::new(),
        described: HashSet::new(),
        params: Vec::new(),
        tags: Vec::new(),
        keep: Keep::new(context.wants_artifacts()),
        status: RunStatus::Finished,
        first_ms: None,
        last_ms: None,
        count: 0,
        beginning: String::new(),
    };
    for file in &group.files {
        if let Err(error) = read_file(file, &mut events, context) {
            context.unread(&file.path, format!("cannot be read: {error}"));
        }
        context.advance(&file.path, file.bytes);
    }
    let path = &group.files[0].path;
    for ((kind, what), count) in events.keep.left_out() {
        context.leave_out(path, *kind, *count, what.clone());
    }
    if events.count == 0 {
        context.skip(path, Some(0), "no event in it; no run made of it");
        return Ok(());
    }
    let run = ImportedRun {
        id: placed_id("tensorboard", &group.relative, &events.beginning),
        own_id: false,
        source: format!("tensorboard:{}", group.relative),
        experiment: None,
        name: group.relative.clone(),
        user: String::new(),
        status: events.status,
        start_time_ms: events.first_ms,
        end_time_ms: events.last_ms,
        deleted: false,
        params: events.params,
        tags: events.tags,
        series: events.builder.finish(),
        attached: Attached {
            artifacts: events.keep.folders(),
            origin: origin("tensorboard", path.parent().unwrap_or(path), "", context.options),
            ..Attached::default()
        },
    };
    context.emit(run, path)
}

fn read_file(file: &SourceFile, events: &mut Events, context: &mut Context<'_>) -> std::io::Result<()> {
    let mut records = Records::open(File::open(&file.path)?)?;
    let mut buffer = Vec::new();
    loop {
        match records.next(&mut buffer)? {
            Next::End => return Ok(()),
            Next::Damage { offset, reason } => context.skip(&file.path, Some(offset), reason),
            Next::Record { offset } => {
                if events.beginning.is_empty() {
                    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                    events.beginning = format!("{name}\0{:?}", &buffer[..buffer.len().min(BEGINNING_BYTES)]);
                }
                match Event::decode(buffer.as_slice()) {
                    Ok(event) => events.take(event),
                    Err(error) => {
                        context.skip(&file.path, Some(offset), format!("a record that is not an event: {error}"))
                    }
                }
            }
        }
    }
}

impl Events {
    fn take(&mut self, event: Event) {
        self.count += 1;
        // Zero is how the message says that there is none.
        let timestamp_ms = if event.wall_time == 0.0 { None } else { seconds_to_ms(event.wall_time) };
        if let Some(ms) = timestamp_ms {
            self.first_ms = Some(self.first_ms.map_or(ms, |first| first.min(ms)));
            self.last_ms = Some(self.last_ms.map_or(ms, |last| last.max(ms)));
        }
        for (graph, what) in
            [(&event.graph, "graph"), (&event.meta_graph, "meta graph"), (&event.run_metadata, "run metadata")]
        {
            if let Some(bytes) = graph {
                self.keep.graph(what, event.step, bytes);
            }
        }
        if event.log_message.is_some() {
            self.keep.leave_out(Kind::Text, "messages of a logger: no place here");
        }
        for value in event.summary.map(|summary| summary.value).unwrap_or_default() {
            self.take_value(event.step, timestamp_ms, value);
        }
    }

    fn take_value(&mut self, step: i64, timestamp_ms: Option<i64>, value: Value) {
        if let Some(metadata) = value.metadata {
            if !metadata.description.is_empty() && self.described.insert(value.tag.clone()) {
                self.keep.leave_out(Kind::Text, "descriptions of tags: no place here");
            }
            let plugin = metadata.plugin_data.unwrap_or_default();
            if plugin.plugin_name == "hparams" {
                self.take_hparams(&plugin.content);
            }
            if !plugin.plugin_name.is_empty() {
                self.plugins.entry(value.tag.clone()).or_insert(plugin.plugin_name);
            }
        }
        let tag = value.tag.as_str();
        if let Some(number) = value.simple_value {
            return self.builder.push(tag, step, timestamp_ms, widen(number));
        }
        if let Some(image) = &value.image {
            return self.keep.image(tag, step, &image.encoded);
        }
        if let Some(audio) = &value.audio {
            return self.keep.audio(tag, step, &audio.encoded);
        }
        if let Some(histogram) = &value.histogram {
            return self.keep.histogram(tag, step, histogram);
        }
        if value.old_histogram.is_some() {
            return self.keep.leave_out(Kind::Histogram, "histograms of an old form: no place here");
        }
        let Some(found) = value.tensor else { return };
        match self.plugins.get(tag).map(String::as_str) {
            None | Some("scalars") => match tensor::scalar(&found) {
                Some(number) => self.builder.push(tag, step, timestamp_ms, number),
                None => self.keep.tensor("", tag, step, &found),
            },
            Some("text") => {
                let name = tag.strip_suffix("/text_summary").unwrap_or(tag);
                let text =
                    found.string_val.iter().map(|text| String::from_utf8_lossy(text)).collect::<Vec<_>>().join("\n");
                // What the tag has is not left out; an earlier text that it no longer has is.
                let is_tag = text.len() <= TEXT_BYTES_MAX;
                let is_other = is_tag && put(&mut self.tags, name, text.clone());
                if self.keep.wants_files() || !is_tag || is_other {
                    self.keep.text(name, step, &text);
                }
            }
            // Hyperparameters are in the metadata.
            Some("hparams") => {}
            Some(plugin) => self.keep.tensor(plugin, tag, step, &found),
        }
    }

    fn take_hparams(&mut self, content: &[u8]) {
        let Ok(data) = HParamsData::decode(content) else {
            return self.keep.leave_out(Kind::Other, "hyperparameters that cannot be read");
        };
        if data.experiment.is_some() {
            self.keep
                .leave_out(Kind::Other, "lists of the hyperparameters and metrics of an experiment: no place here");
        }
        if let Some(start) = data.session_start {
            for (key, word) in [("hparams.group", start.group_name), ("hparams.monitor_url", start.monitor_url)] {
                if !word.is_empty() {
                    let _ = put(&mut self.tags, key, word);
                }
            }
            let mut hparams: Vec<_> = start.hparams.into_iter().collect();
            hparams.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, value) in hparams {
                let text = match (value.json(), value.number) {
                    (serde_json::Value::Null, _) => {
                        self.keep.leave_out(Kind::Param, "hyperparameters without a value");
                        continue;
                    }
                    (_, Some(number)) => number.to_string(),
                    (other, None) => json::word(&other),
                };
                let _ = put(&mut self.params, &key, text);
            }
        }
        match data.session_end.map(|end| end.status) {
            Some(2) => self.status = RunStatus::Failed,
            Some(3) => self.status = RunStatus::Running,
            _ => {}
        }
    }
}

/// Sets a text; the last one wins. Returns whether it replaced another one.
fn put(words: &mut Vec<(String, String)>, key: &str, value: String) -> bool {
    match words.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => std::mem::replace(old, value) != *old,
        None => {
            words.push((key.to_owned(), value));
            false
        }
    }
}
