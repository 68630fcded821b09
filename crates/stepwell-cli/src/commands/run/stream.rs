//! What a command prints: passed on as it comes, and kept in a file as it grows.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// How long processes that the command left behind may still print after its end.
const GRACE: Duration = Duration::from_secs(2);
/// How often a reader looks whether the command has ended.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Where the output of a command goes.
pub(super) enum To {
    /// This process' standard output.
    Out,
    /// Its standard error.
    Err,
}

/// A stream before the command runs: its end, and ours.
pub(super) struct Stream {
    to: To,
    ours: File,
    theirs: OwnedFd,
    /// Whether it is a terminal for the command.
    pub(super) is_screen: bool,
}

/// What became of a stream.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Bytes that the file lacks, and why.
    pub(super) lost: u64,
    pub(super) error: Option<String>,
    /// Whether somebody still had it open at the end.
    pub(super) left_open: bool,
}

impl Stream {
    /// A stream that is a terminal for the command where ours is one, else a pipe.
    pub(super) fn open(to: To) -> io::Result<Self> {
        let is_terminal = match to {
            To::Out => io::stdout().is_terminal(),
            To::Err => io::stderr().is_terminal(),
        };
        if is_terminal && let Ok((ours, theirs)) = screen() {
            return Ok(Self { to, ours: ours.into(), theirs, is_screen: true });
        }
        let (ours, theirs) = io::pipe()?;
        Ok(Self { to, ours: OwnedFd::from(ours).into(), theirs: theirs.into(), is_screen: false })
    }

    /// The command's end.
    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.theirs.try_clone()?.into())
    }

    /// Our end, to tell it the size of the terminal.
    pub(super) fn screen(&self) -> io::Result<Option<OwnedFd>> {
        if self.is_screen { Ok(Some(self.ours.try_clone()?.into())) } else { Ok(None) }
    }

    /// Passes on and keeps what comes, until the command has closed it.
    pub(super) fn keep(self, path: PathBuf, ended: Arc<AtomicBool>) -> io::Result<JoinHandle<Kept>> {
        let Self { to, ours, theirs, .. } = self;
        // Whoever holds the other end keeps the stream open.
        drop(theirs);
        let work = move || match to {
            To::Out => Keeper::new(&path, io::stdout().as_fd()).run(ours, &ended),
            To::Err => Keeper::new(&path, io::stderr().as_fd()).run(ours, &ended),
        };
        std::thread::Builder::new().name("stepwell-output".into()).spawn(work)
    }
}

/// Both ends of a terminal that looks like ours: ours, and the command's.
fn screen() -> io::Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = rustix::fs::open(
        ptsname(&ours, Vec::new())?.as_c_str(),
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut modes = tcgetattr(&theirs)?;
    // Our own terminal turns line feeds into new lines.
    modes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stderr()))?;
    tcsetwinsize(&theirs, size)?;
    Ok((ours, theirs))
}

/// Writes a stream's bytes to two places, of which each may fail alone.
struct Keeper {
    file: Option<File>,
    /// This process' own stream, past its buffer.
    on: Option<File>,
    kept: Kept,
}

impl Keeper {
    fn new(path: &Path, on: std::os::fd::BorrowedFd<'_>) -> Self {
        let mut kept = Kept::default();
        let file = File::options().append(true).create(true).open(path);
        let file = file.map_err(|error| kept.error = Some(error.to_string())).ok();
        Self { file, on: on.try_clone_to_owned().ok().map(File::from), kept }
    }

    fn run(mut self, mut ours: File, ended: &AtomicBool) -> Kept {
        let mut bytes = vec![0; 64 << 10];
        let mut since: Option<Instant> = None;
        loop {
            if ended.load(Ordering::Acquire) {
                let since = *since.get_or_insert_with(Instant::now);
                let mut polled = [PollFd::new(&ours, PollFlags::IN)];
                let quiet = matches!(poll(&mut polled, Some(&LOOK)), Ok(0));
                if since.elapsed() > GRACE || (quiet && since.elapsed() > GRACE / 4) {
                    self.kept.left_open = true;
                    break;
                }
                if quiet {
                    continue;
                }
            } else {
                let mut polled = [PollFd::new(&ours, PollFlags::IN)];
                if matches!(poll(&mut polled, Some(&LOOK)), Ok(0)) {
                    continue;
                }
            }
            match ours.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => self.take(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal that nobody holds any more says so by an error.
                Err(_) => break,
            }
        }
        if let Some(file) = &self.file
            && let Err(error) = file.sync_all()
        {
            self.kept.error.get_or_insert(error.to_string());
        }
        self.kept
    }

    /// The command goes on even if its output cannot be stored.
    fn take(&mut self, bytes: &[u8]) {
        match &mut self.file {
            None => self.kept.lost += bytes.len() as u64,
            Some(file) => {
                if let Err(error) = file.write_all(bytes) {
                    self.kept.lost += bytes.len() as u64;
                    self.kept.error.get_or_insert(error.to_string());
                }
            }
        }
        if let Some(on) = &mut self.on
            && on.write_all(bytes).is_err()
        {
            self.on = None;
        }
    }
}
