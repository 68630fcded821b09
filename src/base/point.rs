//! A point of a metric and columns of them.

/// One logged value: `(step, timestamp, value)`.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The caller's step; any `i64`, in any order, repeated or not.
    pub step: i64,
    /// Milliseconds since the Unix epoch; `None` if the source had none.
    pub timestamp_ms: Option<i64>,
    /// The value; its 64 bits are kept, NaN payloads included.
    pub value: f64,
}

/// Points are equal when all their bits are: a NaN equals itself, `0.0` differs from `-0.0`.
impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.step == other.step
            && self.timestamp_ms == other.timestamp_ms
            && self.value.to_bits() == other.value.to_bits()
    }
}

impl Eq for Point {}

/// Timestamps of consecutive points, some of which may be absent.
#[derive(Clone, Debug, Default)]
pub struct Timestamps {
    /// Milliseconds since the epoch, one for each point; 0 where absent.
    pub ms: Vec<i64>,
    /// For each point, whether its timestamp is absent; empty if none is.
    pub absent: Vec<bool>,
}

impl Timestamps {
    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ms.len()
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ms.is_empty()
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.ms.clear();
        self.absent.clear();
    }

    /// Appends one.
    #[inline]
    pub fn push(&mut self, timestamp_ms: Option<i64>) {
        if timestamp_ms.is_none() && self.absent.is_empty() {
            self.absent.resize(self.ms.len(), false);
        }
        if timestamp_ms.is_none() || !self.absent.is_empty() {
            self.absent.push(timestamp_ms.is_none());
        }
        self.ms.push(timestamp_ms.unwrap_or(0));
    }

    /// Appends all of `other`.
    pub fn extend(&mut self, other: TimestampsRef<'_>) {
        if !(self.absent.is_empty() && other.absent.is_empty()) {
            self.absent.resize(self.ms.len(), false);
            self.absent.extend_from_slice(other.absent);
            self.absent.resize(self.ms.len() + other.ms.len(), false);
        }
        self.ms.extend_from_slice(other.ms);
    }

    /// A view of all of them.
    #[must_use]
    pub fn view(&self) -> TimestampsRef<'_> {
        TimestampsRef { ms: &self.ms, absent: &self.absent }
    }
}

impl FromIterator<Option<i64>> for Timestamps {
    fn from_iter<I: IntoIterator<Item = Option<i64>>>(iter: I) -> Self {
        let mut timestamps = Self::default();
        iter.into_iter().for_each(|timestamp| timestamps.push(timestamp));
        timestamps
    }
}

/// Borrowed [`Timestamps`].
#[derive(Clone, Copy, Debug)]
pub struct TimestampsRef<'a> {
    /// Milliseconds since the epoch; 0 where absent.
    pub ms: &'a [i64],
    /// Whether each is absent; empty if none is.
    pub absent: &'a [bool],
}

impl<'a> TimestampsRef<'a> {
    /// The timestamp at `index`.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i64> {
        if self.absent.get(index).copied().unwrap_or(false) { None } else { Some(self.ms[index]) }
    }

    /// Those of a range of points.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let absent = if self.absent.is_empty() { &[][..] } else { &self.absent[range.clone()] };
        TimestampsRef { ms: &self.ms[range], absent }
    }
}

/// Points as columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Steps in order of the points.
    pub steps: Vec<i64>,
    /// Timestamps in order of the points.
    pub timestamps: Timestamps,
    /// Values, by their bits.
    pub values: Vec<f64>,
}

impl Columns {
    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Reserves room for `more` points.
    pub fn reserve(&mut self, more: usize) {
        self.steps.reserve(more);
        self.timestamps.ms.reserve(more);
        self.values.reserve(more);
    }

    /// Removes all points; their memory is kept.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.timestamps.clear();
        self.values.clear();
    }

    /// Keeps the first `len` points, even if columns have different lengths.
    pub fn truncate(&mut self, len: usize) {
        self.steps.truncate(len);
        self.timestamps.ms.truncate(len);
        self.timestamps.absent.truncate(len);
        self.values.truncate(len);
    }

    /// The point at `index`, or `None` past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Point> {
        Some(Point {
            step: *self.steps.get(index)?,
            timestamp_ms: self.timestamps.view().get(index),
            value: *self.values.get(index)?,
        })
    }

    /// Appends one point.
    #[inline]
    pub fn push(&mut self, point: Point) {
        self.steps.push(point.step);
        self.timestamps.push(point.timestamp_ms);
        self.values.push(point.value);
    }

    /// Appends all points of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.steps.extend_from_slice(&other.steps);
        self.timestamps.extend(other.timestamps.view());
        self.values.extend_from_slice(&other.values);
    }

    /// The points one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Point> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Sorts the points by step, then timestamp (absent first), then current order.
    pub fn sort(&mut self) {
        // Steps are mostly sorted, which is checked without branches.
        let rises = |steps: &[i64]| steps.windows(2).fold(true, |rises, pair| rises & (pair[0] < pair[1]));
        if rises(&self.steps) {
            return;
        }
        let view = self.timestamps.view();
        let key = |index: usize| (self.steps[index], view.get(index));
        if (1..self.len()).all(|index| key(index - 1) <= key(index)) {
            return;
        }
        let mut by_key: Vec<usize> = (0..self.len()).collect();
        by_key.sort_by_key(|&index| key(index));
        *self = by_key.into_iter().filter_map(|index| self.get(index)).collect();
    }
}

impl FromIterator<Point> for Columns {
    fn from_iter<I: IntoIterator<Item = Point>>(iter: I) -> Self {
        let mut columns = Self::default();
        iter.into_iter().for_each(|point| columns.push(point));
        columns
    }
}

impl PartialEq for Columns {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_timestamps_stay_absent() {
        let given = [Some(1), None, Some(i64::MIN), Some(0), None];
        let timestamps: Timestamps = given.into_iter().collect();
        let mut twice = timestamps.clone();
        twice.extend(timestamps.view());
        let mut later: Timestamps = [Some(7)].into_iter().collect();
        later.extend(timestamps.view());
        for (index, &timestamp) in given.iter().enumerate() {
            assert_eq!(timestamps.view().get(index), timestamp);
            assert_eq!(twice.view().get(index + 5), timestamp);
            assert_eq!(later.view().slice(1..6).get(index), timestamp);
        }
    }

    #[test]
    fn sorting_keeps_arrival_among_equals() {
        let point = |step, timestamp_ms, value| Point { step, timestamp_ms, value };
        let mut columns: Columns =
            [point(2, Some(1), 0.0), point(1, Some(5), 1.0), point(1, None, 2.0), point(2, Some(1), -1.0)]
                .into_iter()
                .collect();
        columns.sort();
        assert_eq!(columns.values, [2.0, 1.0, 0.0, -1.0]);
    }
}
