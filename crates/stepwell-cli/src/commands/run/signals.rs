//! Signals that come to `stepwell run` go on to its command.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use rustix::termios::{tcgetwinsize, tcsetwinsize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

/// What goes on to the command, unless this process ignores it, as under `nohup`.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Takes the signals of this process from now on. Those that come before the command runs go to it then.
pub(super) struct Signals(SignalsInfo<WithOrigin>);

/// The command, until it has ended.
type Running = Arc<Mutex<Option<Pid>>>;

impl Signals {
    pub(super) fn take() -> io::Result<Self> {
        let ignored = ignored();
        let taken = PASSED_ON.into_iter().filter(|signal| !ignored.contains(signal)).chain([SIGWINCH]);
        Ok(Self(SignalsInfo::new(taken)?))
    }

    /// Waits for the end of the command, and passes signals on to it meanwhile. `screens` get the size of the terminal
    /// whenever it changes.
    pub(super) fn wait(self, child: &mut Child, screens: Vec<OwnedFd>) -> io::Result<ExitStatus> {
        let Self(mut signals) = self;
        let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return child.wait() };
        let running: Running = Arc::new(Mutex::new(Some(pid)));
        let (own, handle) = (Arc::clone(&running), signals.handle());
        let thread = std::thread::Builder::new().name("stepwell-signals".into()).spawn(move || {
            for origin in &mut signals {
                // What a terminal sends, it sends to the command too.
                match (origin.signal, origin.cause) {
                    (SIGWINCH, _) => resize(&screens, &own),
                    (_, Cause::Kernel) => {}
                    (signal, _) => pass_on(signal, &own),
                }
            }
        })?;
        // The process id stays the command's until it is waited for, so that no other process gets its signals.
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        *lock(&running) = None;
        handle.close();
        // It ends with its signals.
        let _ = thread.join();
        child.wait()
    }
}

fn lock(running: &Running) -> MutexGuard<'_, Option<Pid>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass_on(signal: i32, to: &Running) {
    if let (Some(pid), Some(signal)) = (*lock(to), Signal::from_named_raw(signal)) {
        // A command that became another user's takes none.
        let _ = kill_process(pid, signal);
    }
}

fn resize(screens: &[OwnedFd], to: &Running) {
    let Ok(size) = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stderr())) else { return };
    if screens.is_empty() {
        return;
    }
    for screen in screens {
        let _ = tcsetwinsize(screen, size);
    }
    // The terminal told the command before, when it saw the old size.
    pass_on(SIGWINCH, to);
}

/// Signals that this process ignores.
fn ignored() -> BTreeSet<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
    (1..=64).filter(|signal| mask & (1 << (signal - 1)) != 0).collect()
}
