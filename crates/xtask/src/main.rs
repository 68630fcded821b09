//! `cargo xtask`: what people who work on Stepwell do often, each as one command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// What people who work on Stepwell do often.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run what every change must pass: format, lints, documentation, tests (`.ci/run`).
    Check {
        /// Leave the tests out: format, lints and documentation take a minute or two.
        #[arg(long)]
        quick: bool,
    },
    /// Run a benchmark of `benches`; without a name, list them.
    Bench {
        /// Its file's name without `.rs`.
        name: Option<String>,
        /// What the benchmark itself takes, behind `--`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Run a benchmark and keep what it prints as a record under `benches/records`, in place of its older ones.
    Record {
        /// Its file's name without `.rs`.
        name: String,
        /// What the benchmark itself takes, behind `--`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Fuzz every decoder, or some.
    Fuzz {
        /// Seconds for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// The importers too, which take minutes to build.
        #[arg(long)]
        import: bool,
        /// Targets; all where none is named.
        targets: Vec<String>,
    },
    /// Build Stepwell's own page into `crates/stepwell-server/ui/dist`, from which the next build of the server takes
    /// it. Needs Node 20 with npm, and downloads some 60 MB the first time.
    Ui {
        /// Then try the page in Chromium, with a server that is built here. `STEPWELL_CHROMIUM` names another one than
        /// `/usr/bin/chromium`; `STEPWELL_PAGE_PICTURES` a folder for pictures.
        #[arg(long)]
        test: bool,
    },
    /// Build the Python wheel, optimized, into `target/wheels`, with Stepwell's page where npm is there. Needs maturin
    /// (`pip install maturin`).
    Wheel,
    /// Try the Python package with torch, Lightning and Hugging Face, in an environment of their own under `target`.
    /// Downloads some GB the first time.
    Frameworks,
    /// Run the modules with `unsafe` code that miri can execute under miri. Needs a nightly toolchain with miri.
    Miri,
    /// Check licences, sources and advisories of dependencies by `deny.toml`. Needs cargo-deny.
    Deny,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), String> {
    match task {
        Task::Check { quick: false } => execute(&mut command(".ci/run")),
        Task::Check { quick: true } => {
            execute(cargo().args(["fmt", "--all", "--check"]))?;
            execute(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
            execute(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
        }
        Task::Bench { name: None, .. } => {
            benchmarks()?.iter().for_each(|(name, job)| println!("{name:<12}{job}"));
            Ok(())
        }
        Task::Bench { name: Some(name), arguments } => execute(&mut bench(&name, &arguments)?),
        Task::Record { name, arguments } => record(&name, &arguments),
        Task::Fuzz { seconds, import, targets } => {
            let mut fuzz = command("fuzz/run.sh");
            if import {
                fuzz.env("FUZZ_FEATURES", "import");
            }
            execute(fuzz.arg(seconds.to_string()).args(targets))
        }
        Task::Miri => {
            // What it cannot execute are system calls (locks, forks, mappings of files) and assembly.
            let mut miri = cargo();
            miri.args(["+nightly", "miri", "test", "--lib", "--"]);
            execute(miri.args(MIRI).env("MIRIFLAGS", "-Zmiri-disable-isolation"))
        }
        Task::Ui { test } => ui(test),
        Task::Wheel => {
            if has_npm() {
                ui(false)?;
            } else {
                eprintln!("there is no npm: the wheel gets the plain page in place of Stepwell's own");
            }
            let package = root().join("crates/stepwell-python");
            let mut maturin = command("maturin");
            execute(maturin.current_dir(package).args(["build", "--out", "../../target/wheels"]))
        }
        Task::Frameworks => frameworks(),
        Task::Deny => execute(cargo().args(["deny", "--all-features", "check"])),
    }
}

/// Tests of the modules with `unsafe` code that make no system call, have no assembly, and do not crash miri itself.
const MIRI: [&str; 1] = ["log::slot"];

/// The folder of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn command(program: &str) -> Command {
    let program = if program.contains('/') { root().join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

fn cargo() -> Command {
    // Not the toolchain's own `cargo`, which knows no `+nightly`.
    command("cargo")
}

fn execute(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("cannot start {program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} failed: {status}")) }
}

/// The folder of the page's sources.
const UI: &str = "crates/stepwell-server/ui";

fn has_npm() -> bool {
    command("npm").arg("--version").stdout(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Builds the page, and tries it in a browser.
fn ui(test: bool) -> Result<(), String> {
    if !has_npm() {
        return Err("there is no npm: install Node 20 or newer (https://nodejs.org, or `apt-get install npm`)".into());
    }
    let folder = root().join(UI);
    let npm = || {
        let mut npm = command("npm");
        npm.current_dir(&folder);
        npm
    };
    // What is installed already is that of the lock file, unless this is newer.
    let changed = |path: &str| fs::metadata(folder.join(path)).and_then(|found| found.modified()).ok();
    if changed("node_modules/.package-lock.json") < changed("package-lock.json") {
        execute(npm().args(["ci", "--no-audit", "--no-fund"]))?;
    }
    execute(npm().args(["run", "build"]))?;
    if test {
        execute(cargo().args(["build", "--workspace", "--bin", "stepwell"]))?;
        execute(npm().args(["test"]))?;
    }
    Ok(())
}

/// Makes the environment of the frameworks, builds the wheel in it and runs its tests.
fn frameworks() -> Result<(), String> {
    let package = root().join("crates/stepwell-python");
    let tests = package.join("tests/frameworks");
    let environment = root().join("target/frameworks");
    execute(command("python3").args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin/python");
    let run = || command(&python.to_string_lossy());
    execute(run().args(["-m", "pip", "install", "-r"]).arg(tests.join("requirements.txt")))?;
    execute(run().args(["-m", "pip", "install"]).arg(&package))?;
    execute(run().args(["-m", "pytest", "-q"]).arg(&tests))
}

/// The benchmarks' names, and the first line of each.
fn benchmarks() -> Result<Vec<(String, String)>, String> {
    let folder = root().join("benches");
    let failed = |error| format!("cannot read {}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(failed)?;
            let job = text.lines().next().unwrap_or_default().trim_start_matches("//! ").to_owned();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, job));
        }
    }
    found.sort();
    Ok(found)
}

fn bench(name: &str, arguments: &[String]) -> Result<Command, String> {
    let known = benchmarks()?;
    if !known.iter().any(|(other, _)| other == name) {
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        return Err(format!("there is no benchmark `{name}`; there are {}", names.join(", ")));
    }
    let mut bench = cargo();
    bench.args(["bench", "--bench", name, "--"]).args(arguments);
    Ok(bench)
}

/// Runs a benchmark and writes what it printed, with what it ran on.
fn record(name: &str, arguments: &[String]) -> Result<(), String> {
    let output = bench(name, arguments)?
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}");
    if !output.status.success() {
        return Err(format!("the benchmark failed: {}; no record was written", output.status));
    }
    let said = |program: &str, arguments: &[&str]| {
        let output = command(program).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let day = said("date", &["-u", "+%Y-%m-%d"]);
    let commit = said("git", &["describe", "--always", "--dirty"]);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let called = [&["cargo xtask bench".to_owned(), name.to_owned()], arguments].concat().join(" ");
    let text = format!(
        "# `{name}`, {day}\n\n`{called}` at {commit}, {cores} cores, {}.\n\n```text\n{}\n```\n",
        said("rustc", &["--version"]),
        printed.trim_end()
    );
    let folder = root().join("benches/records");
    let path = folder.join(format!("{day}-{name}.md"));
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    // The newest record of each kind stays.
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let older = entry.file_name().to_string_lossy().get(10..).is_some_and(|rest| rest == format!("-{name}.md"));
        if older && entry.path() != path {
            fs::remove_file(entry.path()).map_err(|error| format!("cannot remove an older record: {error}"))?;
        }
    }
    println!("\nwritten: benches/records/{day}-{name}.md");
    Ok(())
}
