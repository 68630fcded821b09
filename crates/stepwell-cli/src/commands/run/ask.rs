//! Asking another program something, for so long and so many bytes at most.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What a program said.
#[derive(Debug)]
pub(super) struct Said {
    /// Its output, up to the limit.
    pub(super) bytes: Vec<u8>,
    /// Whether there was more.
    pub(super) cut: bool,
}

impl Said {
    /// Its first line, as text.
    pub(super) fn line(&self) -> String {
        String::from_utf8_lossy(&self.bytes).lines().next().unwrap_or_default().trim().to_owned()
    }
}

/// What a program says; why not, if it fails, cannot be started, or takes too long.
pub(super) fn ask(command: &mut Command, bytes_max: u64, patience: Duration) -> Result<Said, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let Some(out) = child.stdout.take() else { return Err(format!("{name} has no output")) };
    let (send, receive) = mpsc::channel();
    let reader = move || {
        let mut bytes = Vec::new();
        let read = out.take(bytes_max + 1).read_to_end(&mut bytes);
        // Nobody may be waiting any more.
        let _ = send.send(read.map(|_| bytes));
    };
    std::thread::Builder::new().spawn(reader).map_err(|error| error.to_string())?;
    let read = receive.recv_timeout(patience);
    if read.as_ref().is_ok_and(|read| read.as_ref().is_ok_and(|bytes| bytes.len() as u64 <= bytes_max)) {
        let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
        if !status.success() {
            return Err(format!("{name} ended with {status}"));
        }
    } else {
        // It may have more to say than anybody wants.
        let _ = child.kill();
        let _ = child.wait();
    }
    match read {
        Err(_) => Err(format!("{name} said nothing for {} seconds", patience.as_secs())),
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Ok(Ok(mut bytes)) => {
            let cut = bytes.len() as u64 > bytes_max;
            bytes.truncate(usize::try_from(bytes_max).unwrap_or(usize::MAX));
            Ok(Said { bytes, cut })
        }
    }
}
