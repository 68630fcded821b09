//! System metrics: what the machine does while a run is written, under MLflow's names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper::Nvml;
use parking_lot::Condvar;

use crate::flag::Mutex;
use crate::shared::State;

/// Bytes in one of MLflow's megabytes.
const MEGABYTE: f64 = 1e6;

/// A thread that logs the machine's state until this is dropped or the run ends. It does not call Python.
pub(crate) struct Monitor {
    stop: Arc<(parking_lot::Mutex<bool>, Condvar)>,
}

impl Drop for Monitor {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
    }
}

impl Monitor {
    /// Logs to a run every so often, first after one such time. `folder` is on the disk that is told of.
    pub(crate) fn start(run: Arc<Mutex<State>>, every: Duration, folder: PathBuf) -> std::io::Result<Self> {
        let stop = Arc::new((parking_lot::Mutex::new(false), Condvar::new()));
        let own = Arc::clone(&stop);
        let work = move || {
            let mut sampler = Sampler::new(folder);
            for step in 0.. {
                let (stopped, wake) = &*own;
                let mut stopped = stopped.lock();
                if !*stopped {
                    wake.wait_for(&mut stopped, every);
                }
                if *stopped {
                    return;
                }
                drop(stopped);
                let sample = sampler.sample();
                let keyed: Vec<(&str, f64)> = sample.iter().map(|(key, value)| (key.as_str(), *value)).collect();
                if !run.lock().log_system(step, &keyed) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("stepwell-system".into()).spawn(work)?;
        Ok(Self { stop })
    }
}

/// Reads counters, and keeps those that count since something.
struct Sampler {
    folder: PathBuf,
    cpu: Option<(u64, u64)>,
    network: Option<(u64, u64)>,
    gpus: Option<Nvml>,
}

impl Sampler {
    fn new(folder: PathBuf) -> Self {
        // Machines without NVIDIA's driver have no such library.
        let gpus = Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init().ok();
        Self { folder, cpu: cpu_ticks(), network: network_bytes(), gpus }
    }

    /// What the machine does now; what cannot be read is left out.
    fn sample(&mut self) -> Vec<(String, f64)> {
        let mut sample = Vec::new();
        let mut put = |name: &str, value: f64| sample.push((format!("system/{name}"), value));
        let now = cpu_ticks();
        if let (Some((busy, all)), Some((busy_now, all_now))) = (self.cpu, now)
            && all_now > all
        {
            put("cpu_utilization_percentage", 100.0 * (busy_now.saturating_sub(busy)) as f64 / (all_now - all) as f64);
        }
        self.cpu = now;
        if let Some((used, total)) = memory_bytes() {
            put("system_memory_usage_megabytes", used as f64 / MEGABYTE);
            put("system_memory_usage_percentage", 100.0 * used as f64 / total as f64);
        }
        if let Some((used, free)) = disk_bytes(&self.folder) {
            put("disk_usage_megabytes", used as f64 / MEGABYTE);
            put("disk_available_megabytes", free as f64 / MEGABYTE);
            put("disk_usage_percentage", 100.0 * used as f64 / (used + free).max(1) as f64);
        }
        if let (Some((received, sent)), Some((received_now, sent_now))) = (self.network, network_bytes()) {
            put("network_receive_megabytes", received_now.saturating_sub(received) as f64 / MEGABYTE);
            put("network_transmit_megabytes", sent_now.saturating_sub(sent) as f64 / MEGABYTE);
        }
        let gpus = self.gpus.as_ref();
        for at in 0..gpus.and_then(|nvml| nvml.device_count().ok()).unwrap_or(0) {
            let Some(gpu) = gpus.and_then(|nvml| nvml.device_by_index(at).ok()) else { continue };
            if let Ok(memory) = gpu.memory_info() {
                put(&format!("gpu_{at}_memory_usage_megabytes"), memory.used as f64 / MEGABYTE);
                let share = memory.used as f64 / memory.total.max(1) as f64;
                put(&format!("gpu_{at}_memory_usage_percentage"), 100.0 * share);
            }
            if let Ok(utilization) = gpu.utilization_rates() {
                put(&format!("gpu_{at}_utilization_percentage"), f64::from(utilization.gpu));
            }
            if let Ok(power) = gpu.power_usage() {
                put(&format!("gpu_{at}_power_usage_watts"), f64::from(power) / 1000.0);
                if let Ok(limit) = gpu.enforced_power_limit() {
                    let share = f64::from(power) / f64::from(limit.max(1));
                    put(&format!("gpu_{at}_power_usage_percentage"), 100.0 * share);
                }
            }
        }
        sample
    }
}

/// Ticks of all processors so far: busy, and all.
fn cpu_ticks() -> Option<(u64, u64)> {
    parse_cpu(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
fn parse_cpu(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    Some((all.checked_sub(idle)?, all))
}

/// Memory that is used, and all.
fn memory_bytes() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (total, available) = (kilobytes("MemTotal:")?, kilobytes("MemAvailable:")?);
    Some((total.checked_sub(available)? * 1024, total.max(1) * 1024))
}

/// Bytes of the folder's disk that are used, and that are free for users.
fn disk_bytes(folder: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let unit = disk.f_frsize;
    Some(((disk.f_blocks - disk.f_bfree) * unit, disk.f_bavail * unit))
}

/// Bytes that all interfaces but the loopback received and sent.
fn network_bytes() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/net/dev").ok()?;
    let mut bytes = (0, 0);
    for line in text.lines().skip(2) {
        let (name, counters) = line.split_once(':')?;
        if name.trim() == "lo" {
            continue;
        }
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|counter| counter.parse().ok()).collect();
        bytes.0 += counters.first()?;
        bytes.1 += counters.get(8)?;
    }
    Some(bytes)
}
