//! What a command runs in: the machine, a few variables, and the packages of its Python. Never secrets.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ask::ask;

/// Variables that decide how a training runs, and hold no secret. No other is kept.
const VARIABLES: [&str; 18] = [
    "CONDA_DEFAULT_ENV",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "MKL_NUM_THREADS",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "RANK",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_NODELIST",
    "SLURM_PROCID",
    "VIRTUAL_ENV",
    "WORLD_SIZE",
];
/// How long an interpreter may take to list its packages.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lists packages; the folder that `-c` puts first on the path is the command's, not the interpreter's.
const LIST: &str = "\
import sys
if not getattr(sys.flags, 'safe_path', False): sys.path.pop(0)
import importlib.metadata, json, platform
packages = set()
for found in importlib.metadata.distributions():
    name = found.metadata['Name']
    if name: packages.add(name + '==' + (found.version or ''))
print(json.dumps([platform.python_version(), platform.python_implementation(), sys.executable, sorted(packages, key=str.lower)]))
";

/// The machine and the variables.
pub(super) fn machine() -> Value {
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let variables: Map<String, Value> =
        VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?.into()))).collect();
    json!({
        "host": text(system.nodename()),
        "system": text(system.sysname()),
        "kernel": text(system.release()),
        "machine": text(system.machine()),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "variables": variables,
    })
}

/// What an interpreter says of itself.
#[derive(Debug)]
pub(super) struct Python {
    pub(super) about: Value,
    /// `NAME==VERSION`, sorted.
    pub(super) packages: Vec<String>,
}

impl Python {
    /// Asks an interpreter, which runs in the command's own environment.
    pub(super) fn of(interpreter: &Path) -> Result<Self, String> {
        let said = ask(Command::new(interpreter).args(["-c", LIST]), 4 << 20, PATIENCE)?;
        let known: (String, String, String, Vec<String>) = serde_json::from_slice(&said.bytes)
            .map_err(|error| format!("{} lists no packages: {error}", interpreter.display()))?;
        let (version, implementation, executable, packages) = known;
        let about = json!({ "version": version, "implementation": implementation, "executable": executable });
        Ok(Self { about, packages })
    }
}

/// The program that a command's first word names.
pub(super) fn program(word: &OsStr) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if word.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(word)).filter(|path| is_program(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(word)).find(|path| is_program(path))
}

/// The Python that a program is, or is run by.
pub(super) fn interpreter(program: &Path) -> Option<PathBuf> {
    if is_python(program) {
        return Some(program.to_owned());
    }
    let mut head = Vec::new();
    std::fs::File::open(program).ok()?.take(512).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(head.strip_prefix(b"#!")?).into_owned();
    let mut words = head.lines().next()?.split_whitespace().map(PathBuf::from);
    let first = words.next()?;
    if is_python(&first) {
        return Some(first);
    }
    // `#!/usr/bin/env -S python3 -u`
    first.ends_with("env").then_some(())?;
    let named = words.find(|word| !word.as_os_str().as_encoded_bytes().starts_with(b"-"))?;
    self::program(named.as_os_str()).filter(|found| is_python(found))
}

/// Whether a program is called as Pythons are: `python`, `python3.12`, `pypy3`.
pub(super) fn is_python(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    ["python", "pypy"].iter().any(|kind| {
        name.strip_prefix(kind).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_are_known_by_name_and_by_first_line() {
        for (name, is) in [("python", true), ("/usr/bin/python3.12", true), ("pypy3", true), ("pythonic", false)] {
            assert_eq!(is_python(Path::new(name)), is, "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("torchrun");
        for (head, found) in [
            ("#!/opt/venv/bin/python3\n", Some("/opt/venv/bin/python3")),
            ("#! /opt/venv/bin/python -u\n", Some("/opt/venv/bin/python")),
            ("#!/bin/sh\n", None),
            ("\u{7f}ELF", None),
            ("", None),
        ] {
            std::fs::write(&script, head).unwrap();
            assert_eq!(interpreter(&script), found.map(PathBuf::from), "{head}");
        }
    }
}
