//! What the benchmarks share: the synthetic mix of ten metrics, processor time, and a store to run them on.
#![allow(dead_code, unreachable_pub, reason = "each benchmark takes what it needs")]

use std::f64::consts::PI;
use stepwell::Point;

use stepwell::{ExperimentId, MetricHandle, NewRun, RunId, RunWriter, Workspace};

/// Keys of the mix.
pub const KEYS: [&str; 10] = [
    "loss",
    "lr",
    "accuracy",
    "constant",
    "counter",
    "grad_norm",
    "gpu_util",
    "step_time",
    "throughput",
    "running_mean",
];

/// A small generator (SplitMix64), so that each run measures the same points.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (2.0 * PI * self.unit()).cos()
    }
}

/// Columns of the mix: noisy decaying float32 loss, cosine schedule, 4-decimal accuracy, constant, counter, gradient
/// norm, integer utilisation, jittered step time, throughput, running mean. Steps rise by 1, timestamps by 120 ± 2 ms.
pub struct Mix {
    pub steps: Vec<i64>,
    pub timestamps: Vec<i64>,
    pub values: [Vec<f64>; 10],
}

impl Mix {
    pub fn new(steps: usize) -> Self {
        let mut noise = Noise(42);
        let mut mix = Self { steps: Vec::new(), timestamps: Vec::new(), values: Default::default() };
        let (mut timestamp, mut sum) = (1_760_000_000_000_i64, 0.0);
        for step in 0..steps {
            let progress = step as f64 / steps as f64;
            timestamp += 118 + (noise.next() % 5) as i64;
            let loss = f64::from((2.5 * (-4.0 * progress).exp() + 0.4 + 0.05 * noise.normal()) as f32);
            sum += loss;
            let step_time = f64::from((0.12 + 0.002 * noise.normal()) as f32);
            let row = [
                loss,
                f64::from((3e-4 * 0.5 * (1.0 + (PI * progress).cos())) as f32),
                ((1.0 - 0.9 * (-3.0 * progress).exp() + 0.01 * noise.normal()) * 1e4).round() / 1e4,
                0.9,
                step as f64 * 512.0,
                f64::from((1.0 + 0.3 * noise.normal()).abs() as f32),
                (90.0 + 6.0 * noise.normal()).round().clamp(0.0, 100.0),
                step_time,
                f64::from((512.0 / step_time) as f32),
                f64::from((sum / (step + 1) as f64) as f32),
            ];
            mix.steps.push(step as i64);
            mix.timestamps.push(timestamp);
            mix.values.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        mix
    }

    pub fn points(&self) -> usize {
        self.steps.len() * KEYS.len()
    }
}

/// Processor time of this process so far, all threads, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills the structure that the pointer leads to, or fails.
    #[allow(unsafe_code)]
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

pub fn workspace() -> (tempfile::TempDir, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    (dir, workspace)
}

pub fn new_run(workspace: &Workspace) -> (RunWriter, RunId, [MetricHandle; 10]) {
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = writer.run_id().clone();
    let metrics = KEYS.map(|key| writer.metric(key).unwrap());
    (writer, id, metrics)
}

/// Logs the mix step by step, by handle.
pub fn log_by_handle(writer: &mut RunWriter, metrics: &[MetricHandle; 10], mix: &Mix) {
    for index in 0..mix.steps.len() {
        for (key, metric) in metrics.iter().enumerate() {
            writer
                .log_point(
                    *metric,
                    Point {
                        step: mix.steps[index],
                        timestamp_ms: Some(mix.timestamps[index]),
                        value: mix.values[key][index],
                    },
                )
                .unwrap();
        }
    }
}

/// Fails unless the run has exactly the mix.
pub fn check_mix(workspace: &Workspace, id: &RunId, mix: &Mix) {
    let run = workspace.run(id).unwrap();
    for (key, values) in KEYS.iter().zip(&mix.values) {
        let history = run.history(key).unwrap();
        assert_eq!(history.steps, mix.steps);
        assert_eq!(history.timestamps.ms, mix.timestamps);
        assert!(
            history.values.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()) && history.len() == values.len()
        );
    }
}
