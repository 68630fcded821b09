//! A folder with a workspace for one test, and the calls on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A temporary folder; the workspace is `w` in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file in the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A call on the workspace that is not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
        command.args(arguments).current_dir(self.dir.path()).env("STEPWELL_DIR", self.path("w")).stdin(Stdio::null());
        command
    }

    /// A call on the workspace.
    pub(crate) fn call(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    /// A call that must succeed; gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.call(arguments);
        assert_eq!(ended.status, 0, "{arguments:?}: {ended:?}");
        ended.out
    }

    /// A call with `--json` that must succeed: one document on standard output, nothing on standard error.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.json_with(0, arguments)
    }

    /// The same for a call that ends with this status.
    pub(crate) fn json_with(&self, status: i32, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let ended = self.call(&all);
        assert_eq!((ended.status, ended.err.as_str()), (status, ""), "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", ended.out))
    }

    /// A call that must fail with this status and say all of these on standard error, and nothing on standard output.
    pub(crate) fn fails(&self, arguments: &[&str], status: i32, says: &[&str]) {
        let ended = self.call(arguments);
        assert_eq!((ended.status, ended.out.as_str()), (status, ""), "{arguments:?}: {ended:?}");
        for words in says {
            assert!(ended.err.contains(words), "{arguments:?} does not say {words:?}: {}", ended.err);
        }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A TensorBoard event file: one scalar per event, as (step, seconds, tag, value).
pub(crate) fn event_file(events: &[(i64, f64, &str, f32)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut version = vec![0x09];
    version.extend(1.5_f64.to_le_bytes());
    bytes_field(&mut version, 3, b"brain.Event:2");
    record(&mut file, &version);
    for &(step, seconds, tag, value) in events {
        let mut scalar = Vec::new();
        bytes_field(&mut scalar, 1, tag.as_bytes());
        scalar.push(0x15);
        scalar.extend(value.to_le_bytes());
        let mut summary = Vec::new();
        bytes_field(&mut summary, 1, &scalar);
        let mut event = vec![0x09];
        event.extend(seconds.to_le_bytes());
        event.push(0x10);
        varint(&mut event, step as u64);
        bytes_field(&mut event, 5, &summary);
        record(&mut file, &event);
    }
    file
}

pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// The framing of TFRecords: length, its masked CRC-32C, the payload, its masked CRC-32C.
fn record(out: &mut Vec<u8>, payload: &[u8]) {
    let len = (payload.len() as u64).to_le_bytes();
    out.extend(len);
    out.extend(masked_crc32c(&len).to_le_bytes());
    out.extend(payload);
    out.extend(masked_crc32c(payload).to_le_bytes());
}

fn masked_crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}
