//! A point of a metric and columns of them.

/// One logged value: `(step, timestamp, value)`.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The caller's step; any `i64`, in any order, repeated or not.
    pub step: i64,
    /// Milliseconds since the Unix epoch; `None` where the source had none.
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

/// Points as columns of equal length; `timestamps_ms` is empty where no point has one.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Steps in order of the points.
    pub steps: Vec<i64>,
    /// Milliseconds since the epoch, one for each point, `None` where absent.
    pub timestamps_ms: Vec<Option<i64>>,
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

    /// The point at `index`, or `None` past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Point> {
        Some(Point {
            step: *self.steps.get(index)?,
            timestamp_ms: *self.timestamps_ms.get(index)?,
            value: *self.values.get(index)?,
        })
    }

    /// Appends one point.
    pub fn push(&mut self, point: Point) {
        self.steps.push(point.step);
        self.timestamps_ms.push(point.timestamp_ms);
        self.values.push(point.value);
    }

    /// The points one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Point> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl PartialEq for Columns {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}
