//! A simulated disk that loses, tears and reorders unsynced data, fails on demand, and records operations.
//!
//! It is for tests: of this crate, and of programs built on it. See [`SimDisk`] for what it simulates.

mod buffer;
mod content;
mod device;
mod fate;
mod plan;
mod power;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

pub use fate::Fate;
pub use plan::{Crashed, Effect, Fault, FaultError, Op, OpKind, Times, is_crash};
pub use power::{Pending, PendingKind, PowerLoss};

use state::State;

/// A disk in memory, stricter than real ones: what they may do, it does. Clones are the same disk.
///
/// # What is where
///
/// A file is its durable bytes and the changes since (writes, lengths, reservations, pages stored to through a
/// mapping); a folder its durable names and the changes since (created, linked, renamed, removed). Readers see
/// everything at once. A file exists apart from its names: syncing it makes its bytes durable, and only
/// [`sync_dir`](super::Storage::sync_dir) makes a name durable, for each folder on the way from the root. The root is
/// always there, and relative paths start there.
///
/// # When the process is killed
///
/// [`process_crash`](SimDisk::process_crash): everything is kept, stores to mappings too; locks are free.
///
/// # When the power fails
///
/// [`power_loss`](SimDisk::power_loss) and its siblings: each change that was not synced meets a [`Fate`] of its own,
/// whatever came before or after it. So a file that was synced may have no name, a name may lead to an empty file, a
/// later write may be there and an earlier one not, a file may have its length and no bytes. Renames and links happen
/// wholly or not; a move between folders is durable in both when either is synced. A page stored to through a mapping
/// may be new, old or mixed; a page beyond the durable length is lost. What was synced is never touched.
///
/// # Faults
///
/// Each call is an operation, numbered from 0 ([`operations`](SimDisk::operations)); only `mapping_is_safe` and the end
/// of handles are not counted. [`fail_at`](SimDisk::fail_at) and [`add_fault`](SimDisk::add_fault) make them fail,
/// [`crash_at`](SimDisk::crash_at) ends the process there. After a failed `sync` of a file, what it should have written
/// is still read back but never becomes durable, not by a later sync either, as on Linux; a failed `sync_dir` changes
/// nothing. [`set_capacity`](SimDisk::set_capacity) makes the disk full, [`set_lying`](SimDisk::set_lying) makes syncs
/// do nothing, [`damage`](SimDisk::damage) changes bytes behind everyone's back.
///
/// # Example
///
/// ```
/// use std::path::Path;
/// use stepwell::testing::{File, SimDisk, Storage};
///
/// # fn main() -> std::io::Result<()> {
/// let disk = SimDisk::new();
/// let temporary = disk.create_new(Path::new("/new"))?;
/// temporary.write_at(b"whole", 0)?;
/// temporary.sync()?;
/// disk.rename(Path::new("/new"), Path::new("/name"))?;
/// for image in disk.power_loss_images(100) {
///     // Absent or whole, because the file was synced before it got its name.
///     assert!(image.content(Path::new("/name")).is_err() || image.content(Path::new("/name"))? == b"whole");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Limits
///
/// Files are at most 1 GiB long; a mapped file grows to 8 MiB while mapped, or to its first mapping's length.
/// Shortening a file that is mapped is an error here: on a real disk the next store there is SIGBUS. Mapping asks for
/// room, reserved or written. Times come from a clock that moves one millisecond at each operation.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("nodes", &state.nodes.len())
            .field("operations", &state.plan.operations())
            .finish()
    }
}

impl SimDisk {
    /// An empty disk with a root folder, no faults and no end of room.
    pub fn new() -> Self {
        SimDisk::from_state(State::new())
    }

    fn from_state(state: State) -> Self {
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// How many operations there were; the next one has this number.
    pub fn operations(&self) -> u64 {
        self.state.lock().plan.operations()
    }

    /// All operations so far, in order, those that failed too.
    pub fn trace(&self) -> Vec<Op> {
        self.state.lock().plan.trace.clone()
    }

    /// Fails operation `number` (and all later ones, if for ever) with an error. A write that fails leaves half its
    /// bytes.
    pub fn fail_at(&self, number: u64, error: impl Into<FaultError>, times: Times) {
        self.add_fault(Fault { at: number, only: None, error: error.into(), times, effect: Effect::Half });
    }

    /// Plans a fault beside those planned already; where several strike, the first planned one answers.
    pub fn add_fault(&self, fault: Fault) {
        self.state.lock().plan.add(fault);
    }

    /// Ends the process at operation `number`: this call and all later ones fail with an error that [`is_crash`] knows,
    /// and stores to mappings are no longer seen. A write leaves half its bytes. Then ask for an image.
    pub fn crash_at(&self, number: u64) {
        self.state.lock().plan.crash_at(number);
    }

    /// Forgets all planned faults and a crash that has not struck.
    pub fn clear_faults(&self) {
        self.state.lock().plan.clear_faults();
    }

    /// Gives the disk this much room in bytes; files take whole pages of 4 KiB, folders and names take none. What is
    /// there stays, even if it is more.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = Some(bytes);
    }

    /// Makes every sync, of files and folders, answer Ok and do nothing, as disks do that ignore a flush.
    pub fn set_lying(&self, lying: bool) {
        self.state.lock().lying = lying;
    }

    /// What `mapping_is_safe` answers for folders that exist; `true` at first.
    pub fn set_mapping_is_safe(&self, safe: bool) {
        self.state.lock().mapping_is_safe = safe;
    }

    /// Sets the clock that stamps changes, in milliseconds since the epoch.
    pub fn set_clock_ms(&self, clock_ms: i64) {
        self.state.lock().clock_ms = clock_ms;
    }

    /// A file's bytes as readers see them; no operation.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state.lock();
        let file = state.find(path)?;
        Ok(state.file(file)?.live())
    }

    /// Changes a file's bytes on the disk and for readers, as a fault of the medium does: flip bits, cut it, fill it.
    /// All of the file is durable afterwards. Fails while the file is mapped; no operation.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = state.find(path)?;
        state.file(file)?.damage(change)
    }
}
