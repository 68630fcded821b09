//! Where, when and how a table was measured, and its record.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::contender::Result;
use crate::table::Figures;

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Processor, cores, memory and load, in a line.
fn machine() -> String {
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let kernel = output("uname", &["-sr"]);
    format!("{model}, {cores} cores, {} GiB, {kernel}, load {load} at the end", kib >> 20)
}

/// The command as it was given, without the path of the program.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut features = Vec::new();
    for (name, on) in [("rocksdb", cfg!(feature = "rocksdb")), ("duckdb", cfg!(feature = "duckdb"))] {
        features.extend(on.then_some(name));
    }
    let features = if features.is_empty() { String::new() } else { format!("--features {} ", features.join(",")) };
    format!("cargo run --release {features}-- {}", arguments.join(" "))
}

/// Prints the figures, and writes the record into a folder when one is given.
///
/// # Errors
/// When the record cannot be written.
pub fn publish(figures: &Figures, as_json: bool, folder: Option<&Path>) -> Result<()> {
    let (date, time) = (output("date", &["-u", "+%Y-%m-%d"]), output("date", &["-u", "+%H:%M UTC"]));
    let commit = output("git", &["describe", "--always", "--dirty"]);
    let machine = machine();
    if as_json {
        let mut all = figures.json();
        all["date"] = json!(date);
        all["commit"] = json!(commit);
        all["machine"] = json!(machine);
        all["command"] = json!(command());
        println!("{all:#}");
    } else {
        println!("{}\n{}", figures.table(), figures.remarks());
    }
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)?;
        let text = format!(
            "# Stepwell and its rivals, {date}\n\n\
             - Machine: {machine}. It is shared and noisy: trust ratios within this table, not times.\n\
             - Measured: {date} {time}, commit {commit}, in `crates/stepwell-compare` by `{}`\n\
             - Every answer was verified. An empty cell was not measured; failures are named below.\n\n{}\n{}",
            command(),
            figures.table(),
            figures.remarks()
        );
        let path = folder.join(format!("{date}-arena.md"));
        std::fs::write(&path, text)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}
