//! Gathers a run's points into series, in arrival order.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::run::ImportedSeries;

/// The series of one run as they come in.
#[derive(Default)]
pub(crate) struct SeriesBuilder {
    series: Vec<ImportedSeries>,
    index: HashMap<String, usize>,
    /// The series expected next: logs name their keys in the same order at each step.
    next: usize,
    /// The points of the first row that has any, as text; the source is recognised by it.
    beginning: String,
    /// Whether that row is over.
    begun: bool,
}

impl SeriesBuilder {
    /// The place of a key's series, which is made at the first question.
    pub(crate) fn slot(&mut self, key: &str) -> usize {
        if self.series.get(self.next).is_none_or(|series| series.key != key) {
            self.next = match self.index.get(key) {
                Some(&slot) => slot,
                None => {
                    let slot = self.series.len();
                    self.series.push(ImportedSeries {
                        key: key.to_owned(),
                        steps: Vec::new(),
                        timestamps_ms: None,
                        values: Vec::new(),
                    });
                    self.index.insert(key.to_owned(), slot);
                    slot
                }
            };
        }
        let slot = self.next;
        self.next = if slot + 1 < self.series.len() { slot + 1 } else { 0 };
        slot
    }

    /// Appends a point to the series of a key.
    pub(crate) fn push(&mut self, key: &str, step: i64, timestamp_ms: Option<i64>, value: f64) {
        let slot = self.slot(key);
        self.push_at(slot, step, timestamp_ms, value);
    }

    /// Appends a point to the series at a place from [`SeriesBuilder::slot`].
    pub(crate) fn push_at(&mut self, slot: usize, step: i64, timestamp_ms: Option<i64>, value: f64) {
        let Some(series) = self.series.get_mut(slot) else {
            return;
        };
        if !self.begun {
            let _ = write!(self.beginning, "{}\0{step}\0{timestamp_ms:?}\0{:x}\0", series.key, value.to_bits());
        }
        match (&mut series.timestamps_ms, timestamp_ms) {
            (Some(timestamps), timestamp) => timestamps.push(timestamp),
            (None, None) => {}
            (none, timestamp) => {
                let mut timestamps = vec![None; series.values.len()];
                timestamps.push(timestamp);
                *none = Some(timestamps);
            }
        }
        series.steps.push(step);
        series.values.push(value);
    }

    /// Says that a row of the source is over.
    pub(crate) fn end_row(&mut self) {
        self.begun = self.begun || !self.beginning.is_empty();
    }

    /// The points of the first row that had any.
    pub(crate) fn beginning(&self) -> &str {
        &self.beginning
    }

    /// How many points the key's series has; 0 when there is none.
    pub(crate) fn len_of(&self, key: &str) -> usize {
        self.index.get(key).and_then(|&slot| self.series.get(slot)).map_or(0, |series| series.values.len())
    }

    /// The last value of the key's series.
    pub(crate) fn last_of(&self, key: &str) -> Option<f64> {
        self.index.get(key).and_then(|&slot| self.series.get(slot)?.values.last().copied())
    }

    /// The finished series, in the order of their first point. Series without a point are left out.
    pub(crate) fn finish(self) -> Vec<ImportedSeries> {
        let mut series = self.series;
        series.retain(|series| !series.values.is_empty());
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_arrival_is_kept_and_timestamps_are_absent_until_one_comes() {
        let mut builder = SeriesBuilder::default();
        for step in 0..3 {
            builder.push("b", step, None, 1.0);
            builder.push("a", -step, (step == 1).then_some(7), 2.0);
        }
        builder.push("c", 9, None, 3.0);
        builder.push("b", 5, None, 4.0);
        assert_eq!(builder.len_of("b"), 4);
        let series = builder.finish();
        let keys: Vec<_> = series.iter().map(|series| series.key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "c"]);
        assert_eq!(series[0].steps, [0, 1, 2, 5]);
        assert_eq!(series[0].timestamps_ms, None);
        assert_eq!(series[1].steps, [0, -1, -2]);
        assert_eq!(series[1].timestamps_ms, Some(vec![None, Some(7), None]));
    }
}
