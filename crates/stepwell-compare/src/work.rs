//! The workloads of points: which runs, keys and points there are, in which order they come, and how to check a copy.

use stepwell::Point;

use crate::support::{KEYS, Mix};

/// One logged point: the series by the numbers of its run and key, then what was logged.
#[derive(Clone, Copy, Debug)]
pub struct Logged {
    /// Number of the run, from 0.
    pub run: u32,
    /// Number of the key, from 0.
    pub key: u32,
    /// The step.
    pub step: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The value.
    pub value: f64,
}

/// Points of some runs, all of which have the same keys, logged step by step, the runs taking turns.
pub struct Work {
    /// A short name, such as `I1`.
    pub name: &'static str,
    /// What it is, in words.
    pub what: String,
    mix: Mix,
    keys: u32,
    lengths: Vec<u32>,
    starts: Vec<usize>,
}

impl Work {
    /// One run of 10 keys: the synthetic mix.
    pub fn one_run(points: usize) -> Self {
        let length = (points / KEYS.len()).max(1);
        let what = format!("one run, 10 keys, {} points each", length);
        Self::new("I1", what, Mix::new(length), 10, vec![length as u32])
    }

    /// Many runs of 10 keys and of 0.2 to 1.8 times the mean length, interleaved.
    pub fn many_runs(runs: usize, points: usize) -> Self {
        let mean = (points / runs / KEYS.len()).max(5);
        let lengths: Vec<u32> = (0..runs).map(|run| (mean / 5 + (run * 7919) % (mean * 8 / 5)) as u32).collect();
        let (least, most) = (lengths.iter().min().unwrap_or(&0), lengths.iter().max().unwrap_or(&0));
        let what = format!("{runs} runs, 10 keys, {least} to {most} points each, interleaved");
        let steps = lengths.iter().map(|length| *length as usize).sum();
        Self::new("I2", what, Mix::new(steps), 10, lengths)
    }

    /// One run of very many keys.
    pub fn many_keys(keys: usize, points: usize) -> Self {
        let length = (points / keys).max(2);
        let what = format!("one run, {keys} keys, {length} points each");
        let mix = Mix::new(keys.div_ceil(KEYS.len()) * length);
        Self::new("K", what, mix, keys as u32, vec![length as u32])
    }

    /// One long series: a tenth key of the mix, the noisy gradient norm, alone.
    pub fn one_series(points: usize) -> Self {
        let what = format!("one run, one key, {points} points");
        Self::new("H", what, Mix::new(points), 1, vec![points as u32])
    }

    fn new(name: &'static str, what: String, mix: Mix, keys: u32, lengths: Vec<u32>) -> Self {
        let starts = lengths
            .iter()
            .scan(0, |next, length| {
                *next += *length as usize;
                Some(*next - *length as usize)
            })
            .collect();
        Self { name, what, mix, keys, lengths, starts }
    }

    /// How many runs.
    pub fn runs(&self) -> u32 {
        self.lengths.len() as u32
    }

    /// How many keys each run has.
    pub fn keys(&self) -> u32 {
        self.keys
    }

    /// How many points in all.
    pub fn points(&self) -> u64 {
        self.lengths.iter().map(|length| u64::from(*length) * u64::from(self.keys)).sum()
    }

    /// The name of a key.
    pub fn key_name(&self, key: u32) -> String {
        match (self.keys, KEYS.get(key as usize)) {
            (1, _) => "grad_norm".to_owned(),
            (10, Some(name)) => (*name).to_owned(),
            _ => format!("layer.{key:05}.weight_norm"),
        }
    }

    /// How many points each series of a run has.
    pub fn length(&self, run: u32) -> u32 {
        self.lengths[run as usize]
    }

    /// The point of a series at a step. Each run (and, with very many keys, each ten keys) is a separate stretch of the
    /// mix, so that no store gains by finding the same noise twice.
    #[inline]
    pub fn point(&self, run: u32, key: u32, step: u32) -> Logged {
        let (ten, column) = (key as usize / KEYS.len(), if self.keys == 1 { 5 } else { key as usize % KEYS.len() });
        let at = self.starts[run as usize] + ten * self.lengths[run as usize] as usize + step as usize;
        let timestamp = self.mix.timestamps[step as usize] + i64::from(run) * 7;
        Logged { run, key, step: i64::from(step), timestamp, value: self.mix.values[column][at] }
    }

    /// Every point in the order of logging.
    #[inline]
    pub fn each<E>(&self, mut visit: impl FnMut(Logged) -> Result<(), E>) -> Result<(), E> {
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        for step in 0..longest {
            for (run, length) in self.lengths.iter().enumerate() {
                if step >= *length {
                    continue;
                }
                for key in 0..self.keys {
                    visit(self.point(run as u32, key, step))?;
                }
            }
        }
        Ok(())
    }

    /// What a true copy sums to. `with_steps` is false for a store that keeps none.
    pub fn digest(&self, with_steps: bool) -> Digest {
        let mut digest = Digest::new(with_steps);
        let done: Result<(), std::convert::Infallible> = self.each(|point| {
            digest.add(point);
            Ok(())
        });
        let Ok(()) = done;
        digest
    }
}

/// Count and sum of all points' bits, whatever their order: equal for equal sets of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    with_steps: bool,
    count: u64,
    sum: u64,
}

impl Digest {
    /// The digest of nothing.
    pub fn new(with_steps: bool) -> Self {
        Self { with_steps, count: 0, sum: 0 }
    }

    /// Adds a point.
    pub fn add(&mut self, point: Logged) {
        let step = if self.with_steps { point.step as u64 } else { 0 };
        let series = u64::from(point.run) << 32 | u64::from(point.key);
        let mut hash = 0_u64;
        for word in [series, step, point.timestamp as u64, point.value.to_bits()] {
            hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 29;
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

/// The least a chart needs of one pixel: what a store without summaries must compute from all points.
pub fn picture(points: impl Iterator<Item = Point>, length: u64, pixels: u64) -> Vec<(u64, f64, f64, f64, f64)> {
    let mut buckets: Vec<(u64, f64, f64, f64, f64)> = Vec::with_capacity(pixels as usize);
    let mut current = u64::MAX;
    for point in points {
        let pixel = point.step as u64 * pixels / length;
        match buckets.last_mut() {
            Some((count, _, last, least, greatest)) if pixel == current => {
                *count += 1;
                *last = point.value;
                *least = least.min(point.value);
                *greatest = greatest.max(point.value);
            }
            _ => buckets.push((1, point.value, point.value, point.value, point.value)),
        }
        current = pixel;
    }
    buckets
}
