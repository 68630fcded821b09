//! Trains a small neural network on two spirals, logs every step, and shows what the store makes of it.
//!
//! `cargo run --release --example train [FOLDER]`; the folder (default `stepwell`) becomes a workspace, which the
//! `stepwell` command reads too.

use std::f64::consts::PI;
use std::time::{Duration, Instant};
use stepwell::Point;

use stepwell::maintenance::CompactOptions;
use stepwell::query::Query;
use stepwell::{NewRun, Result, RunSnapshot, RunStatus, Workspace};

const HIDDEN: usize = 32;
const STEPS: i64 = 20_000;
const BATCH: usize = 32;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "stepwell".into());
    let workspace = Workspace::open_or_create(&folder)?;
    let experiment = workspace.experiments().get_or_create("two spirals")?;
    let data = spirals(400);
    let mut best = None;
    for (name, rate) in [("slow", 0.002), ("good", 0.01), ("hot", 0.2)] {
        let mut run = workspace.create_run(experiment, NewRun { name: name.into(), ..NewRun::default() })?;
        run.log_param("learning_rate", &rate.to_string())?;
        run.log_param("hidden", &HIDDEN.to_string())?;
        run.set_tag("data", "two spirals, 400 points, noise 0.05")?;
        let [loss, accuracy, gradient, learning_rate] =
            [run.metric("loss")?, run.metric("accuracy")?, run.metric("gradient_norm")?, run.metric("learning_rate")?];

        let mut random = Random(7);
        let mut network = Network::new(&mut random);
        let mut logging = Duration::ZERO;
        let mut timestamp_ms = now_ms();
        let started = Instant::now();
        for step in 0..STEPS {
            let rate = rate * 0.5 * (1.0 + (PI * step as f64 / STEPS as f64).cos());
            let batch: Vec<&Sample> = (0..BATCH).map(|_| &data[random.below(data.len())]).collect();
            let outcome = network.train(&batch, rate);
            if step % 64 == 0 {
                timestamp_ms = now_ms();
            }
            let before = Instant::now();
            run.log_point(loss, Point { step, timestamp_ms: Some(timestamp_ms), value: outcome.loss })?;
            run.log_point(accuracy, Point { step, timestamp_ms: Some(timestamp_ms), value: outcome.accuracy })?;
            run.log_point(gradient, Point { step, timestamp_ms: Some(timestamp_ms), value: outcome.gradient_norm })?;
            run.log_point(learning_rate, Point { step, timestamp_ms: Some(timestamp_ms), value: rate })?;
            logging += before.elapsed();
        }
        let (took, points) = (started.elapsed(), run.points());
        run.log_metrics(STEPS, None, &[("final/accuracy", network.accuracy(&data))])?;
        run.finish(RunStatus::Finished)?;
        println!(
            "{name:>5}: {STEPS} steps in {:.2} s; {points} points logged, {:.0} ns each (the clock's own cost \
             included)",
            took.as_secs_f64(),
            logging.as_nanos() as f64 / points as f64
        );
    }

    let compacted = workspace.maintenance().compact(CompactOptions::default())?;
    let usage = workspace.maintenance().usage()?;
    println!(
        "\ncompacted {} runs: the workspace has {} points in {} bytes, {:.2} bytes a point, all files counted",
        compacted.runs,
        usage.points,
        usage.bytes_on_disk,
        usage.bytes_on_disk as f64 / usage.points as f64
    );

    let filter = "metrics.`final/accuracy` > 0.5 and params.hidden = '32'";
    let query = Query {
        experiments: vec![experiment],
        max_results: 5,
        ..Query::parse(filter, &["metrics.`final/accuracy` DESC"])?
    };
    println!("\n{filter} ordered by final accuracy:");
    for run in workspace.search(&query)?.summaries()? {
        let accuracy = run.metrics.get("final/accuracy").map_or(f64::NAN, |stats| stats.latest.value);
        println!(
            "  {} {:>5}  accuracy {accuracy:.3}  loss min {:.4}",
            run.run_id,
            run.name,
            least(&run.metrics["loss"])
        );
        best.get_or_insert(run.run_id);
    }
    if let Some(id) = best {
        plot(&workspace.run(&id)?, "loss")?;
        println!("\nmore: cargo run --release -p stepwell-cli -- -w {folder} plot {id} --key loss");
    }
    Ok(())
}

fn least(stats: &stepwell::SeriesStats) -> f64 {
    stats.min.map_or(f64::NAN, |min| min.value)
}

/// Draws a metric from its pyramid: for each column the range from the least to the greatest value.
fn plot(run: &RunSnapshot, key: &str) -> Result<()> {
    const WIDTH: usize = 96;
    const HEIGHT: usize = 14;
    let picture = run.downsample(key, None, WIDTH)?;
    let stats = run.stats(key)?;
    let (Some(low), Some(high)) = (stats.min, stats.max) else { return Ok(()) };
    let row = |value: f64| {
        ((value - low.value) / (high.value - low.value).max(f64::MIN_POSITIVE) * (HEIGHT - 1) as f64) as usize
    };
    let mut rows = vec![vec![' '; picture.buckets.len()]; HEIGHT];
    for (column, bucket) in picture.buckets.iter().enumerate() {
        if let (Some(min), Some(max)) = (bucket.min, bucket.max) {
            (row(min.value)..=row(max.value)).for_each(|row| rows[HEIGHT - 1 - row][column] = '█');
        }
    }
    println!("\n{key} of run {} ({} points in {} columns):", run.id(), stats.count, picture.buckets.len());
    println!("{:>9.4} ┐", high.value);
    rows.iter().for_each(|row| println!("{:>9} │{}", "", row.iter().collect::<String>()));
    println!("{:>9.4} ┴{}", low.value, "─".repeat(picture.buckets.len()));
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "an example reads the time as any program does")]
fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A point of the plane, and on which spiral it lies.
struct Sample {
    at: [f64; 2],
    label: f64,
}

/// Points of two spirals that wind around each other, with a little noise.
fn spirals(count: usize) -> Vec<Sample> {
    let mut random = Random(1);
    let sample = |index: usize| {
        let label = (index % 2) as f64;
        let radius = (index / 2) as f64 / (count / 2) as f64;
        let angle = 1.75 * 2.0 * PI * radius + label * PI;
        let mut noisy = |value: f64| value + 0.05 * random.normal();
        Sample { at: [noisy(radius * angle.cos()), noisy(radius * angle.sin())], label }
    };
    (0..count).map(sample).collect()
}

/// What one step of training came to.
struct Outcome {
    loss: f64,
    accuracy: f64,
    gradient_norm: f64,
}

/// Two hidden layers with tanh and one logistic output, trained by Adam on the cross entropy.
struct Network {
    weights: Vec<f64>,
    momentum: Vec<f64>,
    variance: Vec<f64>,
    steps: i32,
}

/// The layers' sizes.
const SIZES: [usize; 4] = [2, HIDDEN, HIDDEN, 1];

impl Network {
    fn new(random: &mut Random) -> Self {
        let mut weights = Vec::new();
        for pair in SIZES.windows(2) {
            let scale = (1.0 / pair[0] as f64).sqrt();
            weights.extend((0..pair[0] * pair[1]).map(|_| scale * random.normal()));
            weights.extend(std::iter::repeat_n(0.0, pair[1]));
        }
        let zeros = vec![0.0; weights.len()];
        Self { weights, momentum: zeros.clone(), variance: zeros, steps: 0 }
    }

    /// The outputs of every layer, the input first.
    fn forward(&self, input: [f64; 2]) -> [Vec<f64>; 4] {
        let mut layers = [input.to_vec(), Vec::new(), Vec::new(), Vec::new()];
        let mut at = 0;
        for layer in 0..3 {
            let (from, to) = (SIZES[layer], SIZES[layer + 1]);
            let (matrix, bias) = self.weights[at..at + from * to + to].split_at(from * to);
            at += from * to + to;
            let sum = |unit: usize| {
                let row = &matrix[unit * from..(unit + 1) * from];
                bias[unit] + row.iter().zip(&layers[layer]).map(|(weight, value)| weight * value).sum::<f64>()
            };
            let last = layer == 2;
            layers[layer + 1] =
                (0..to).map(|unit| if last { 1.0 / (1.0 + (-sum(unit)).exp()) } else { sum(unit).tanh() }).collect();
        }
        layers
    }

    fn train(&mut self, batch: &[&Sample], rate: f64) -> Outcome {
        let mut gradient = vec![0.0; self.weights.len()];
        let (mut loss, mut right) = (0.0, 0);
        for sample in batch {
            let layers = self.forward(sample.at);
            let output = layers[3][0].clamp(1e-12, 1.0 - 1e-12);
            loss -= sample.label * output.ln() + (1.0 - sample.label) * (1.0 - output).ln();
            right += usize::from((output > 0.5) == (sample.label > 0.5));
            self.backward(&layers, output - sample.label, &mut gradient);
        }
        let scale = 1.0 / batch.len() as f64;
        gradient.iter_mut().for_each(|slope| *slope *= scale);
        let gradient_norm = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        self.steps += 1;
        let (first, second) = (1.0 - 0.9_f64.powi(self.steps), 1.0 - 0.999_f64.powi(self.steps));
        for (index, slope) in gradient.into_iter().enumerate() {
            self.momentum[index] += 0.1 * (slope - self.momentum[index]);
            self.variance[index] += 0.001 * (slope * slope - self.variance[index]);
            let step = self.momentum[index] / first / ((self.variance[index] / second).sqrt() + 1e-8);
            self.weights[index] -= rate * step;
        }
        Outcome { loss: loss * scale, accuracy: right as f64 * scale, gradient_norm }
    }

    fn backward(&self, layers: &[Vec<f64>; 4], error: f64, gradient: &mut [f64]) {
        let mut errors = vec![error];
        let mut end = self.weights.len();
        for layer in (0..3).rev() {
            let (from, to) = (SIZES[layer], SIZES[layer + 1]);
            let start = end - from * to - to;
            let mut below = vec![0.0; from];
            for (unit, error) in errors.iter().enumerate() {
                for input in 0..from {
                    gradient[start + unit * from + input] += error * layers[layer][input];
                    below[input] += error * self.weights[start + unit * from + input];
                }
                gradient[start + from * to + unit] += error;
            }
            below.iter_mut().zip(&layers[layer]).for_each(|(error, value)| *error *= 1.0 - value * value);
            (errors, end) = (below, start);
        }
    }

    fn accuracy(&self, data: &[Sample]) -> f64 {
        let right = data.iter().filter(|sample| (self.forward(sample.at)[3][0] > 0.5) == (sample.label > 0.5)).count();
        right as f64 / data.len() as f64
    }
}

/// A small generator of random numbers (SplitMix64), so that every run of this example is the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// By Box and Muller's transform.
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (2.0 * PI * self.uniform()).cos()
    }
}
