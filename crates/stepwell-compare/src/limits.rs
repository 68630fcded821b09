//! What the machine itself costs on the same points: the least that any store must do.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::contender::Result;
use crate::meter::{cost, cpu_ns, least};
use crate::table::Figures;
use crate::work::{Logged, Work};

/// The contender that represents the machine.
pub const LIMIT: &str = "machine";

/// Slots of the ring that stands for a resident, preallocated log.
const SLOTS: usize = 128 << 10;

/// A ring of 32-byte slots with a tail: what a logger does at least.
pub struct Ring {
    slots: Vec<[u64; 4]>,
    tail: AtomicU64,
}

impl Ring {
    /// A ring of which every page is there.
    pub fn new() -> Self {
        Self { slots: vec![[1; 4]; SLOTS], tail: AtomicU64::new(0) }
    }

    /// Stores one point, then the tail with release ordering.
    #[inline]
    pub fn push(&mut self, key: u32, step: i64, timestamp: i64, value: f64) {
        let tail = *self.tail.get_mut();
        self.slots[tail as usize % SLOTS] =
            [step as u64, timestamp as u64, value.to_bits(), u64::from(key) | tail << 32];
        black_box(&mut self.slots);
        self.tail.store(tail + 1, Ordering::Release);
    }

    /// How many were stored.
    pub fn len(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }
}

/// Slots, memory copies, and plain writes of a workload's bytes.
pub fn measure(figures: &mut Figures, work: &Work, dir: &Path) -> Result<()> {
    let points = work.points() as f64;
    for _ in 0..3 {
        let mut ring = Ring::new();
        let before = cpu_ns();
        let pushed: std::result::Result<(), std::convert::Infallible> = work.each(|point| {
            ring.push(point.key, point.step, point.timestamp, point.value);
            Ok(())
        });
        let Ok(()) = pushed;
        figures.add(work.name, "bare 32-byte slots", "ns/point", LIMIT, (cpu_ns() - before) as f64 / points);
        assert_eq!(ring.len(), work.points());

        making(figures, work);
        let path = dir.join("bytes");
        let (file, written) = cost(|| write_all(&path, work))?;
        assert_eq!(file.metadata()?.len(), work.points() * 24);
        figures.add(work.name, "write() of 24 bytes a point, by 64 KiB", "ns/point", LIMIT, written.cpu_ns / points);
        std::fs::remove_file(path)?;
    }
    let from: Vec<u64> = (0..work.points() * 3).collect();
    let mut to = vec![0_u64; from.len()];
    let copy = least(|| {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(copy) = copy;
    assert_eq!(from, to);
    figures.add(work.name, "memcpy of 24 bytes a point", "ns/point", LIMIT, copy / points);
    Ok(())
}

/// What it costs the arena to make the points of a workload, which every figure of ingest includes.
pub fn making(figures: &mut Figures, work: &Work) {
    let mut sum = 0_u64;
    let before = cpu_ns();
    let summed: std::result::Result<(), std::convert::Infallible> = work.each(|point| {
        sum = sum.wrapping_add(point.value.to_bits() ^ point.timestamp as u64);
        Ok(())
    });
    let Ok(()) = summed;
    black_box(sum);
    let points = work.points() as f64;
    let what = "making the points (in every figure of ingest)";
    figures.add(work.name, what, "ns/point", LIMIT, (cpu_ns() - before) as f64 / points);
}

fn write_all(path: &Path, work: &Work) -> Result<File> {
    let mut writer = std::io::BufWriter::with_capacity(64 << 10, File::create(path)?);
    let bytes = |point: Logged| {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&point.step.to_le_bytes());
        bytes[8..16].copy_from_slice(&point.timestamp.to_le_bytes());
        bytes[16..].copy_from_slice(&point.value.to_bits().to_le_bytes());
        bytes
    };
    work.each(|point| writer.write_all(&bytes(point)))?;
    Ok(writer.into_inner()?)
}

/// Copies three columns of one series, as a reader of it must at least, beside a bare sum of its values.
pub fn columns(figures: &mut Figures, work: &Work) {
    let length = work.length(0);
    let points: Vec<Logged> = (0..length).map(|step| work.point(0, 0, step)).collect();
    let steps: Vec<i64> = points.iter().map(|point| point.step).collect();
    let timestamps: Vec<i64> = points.iter().map(|point| point.timestamp).collect();
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let mut out = (vec![0; steps.len()], vec![0; steps.len()], vec![0.0; steps.len()]);
    let copy = least(|| {
        out.0.copy_from_slice(black_box(&steps));
        out.1.copy_from_slice(black_box(&timestamps));
        out.2.copy_from_slice(black_box(&values));
        black_box(&mut out);
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(copy) = copy;
    let rate = |ns: f64| f64::from(length) / (ns / 1e9);
    figures.add_with_floor(work.name, "history of one key, settled", "points/s", "≥ 60 M", LIMIT, rate(copy));
    let mut greatest = f64::MIN;
    let scan = least(|| {
        greatest = black_box(&values).iter().copied().fold(f64::MIN, |a, b| if b > a { b } else { a });
        black_box(greatest);
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(scan) = scan;
    figures.add(work.name, "bare scan of the value column", "points/s", LIMIT, rate(scan));
}
