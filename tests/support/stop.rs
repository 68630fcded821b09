//! A process that stops at one of its operations on the disk, for as long as a test wants, while others go on.
//!
//! An [`Actor`] works on a thread of its own, on a disk that counts its operations. At the one that was named it stands
//! still, with its locks and its open files, as after SIGSTOP or on a disk that hangs. Then the test does what others
//! do, and lets it go on, ends it, or looks at the outcome while it stands there. [`at_every_operation`] does so at
//! each operation in turn.

use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use stepwell::testing::{Crashed, Entry, File, Region, SimDisk, Storage};

/// Where an actor stops: at the operation of a number, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The operation was asked for and has not happened.
    Before(u64),
    /// It has happened, and the actor does not know yet.
    After(u64),
}

/// What becomes of an actor that stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It stands there as long as anybody looks, and keeps its locks.
    Never,
    /// It goes on when others have done all they do.
    Resumes,
    /// It is killed before others do anything: its locks are free.
    Dies,
}

#[derive(Debug, Default)]
struct State {
    operations: u64,
    stop: Option<Stop>,
    /// The operation at which it stands.
    stands_at: Option<String>,
    goes_on: bool,
    is_dead: bool,
    has_ended: bool,
}

/// What the actor and the test say to each other.
#[derive(Debug, Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with the lock")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.lock(), |state| !until(state)).expect("nothing panics with the lock")
    }

    /// Stands still if it is the place; fails when the actor was killed.
    fn pass(&self, at: Stop, what: &dyn Fn() -> String) -> io::Result<()> {
        if self.lock().stop == Some(at) {
            self.change(|state| state.stands_at = Some(format!("{at:?} {}", what())));
            let mut state = self.wait(|state| state.goes_on || state.is_dead);
            (state.stop, state.stands_at) = (None, None);
        }
        if self.lock().is_dead { Err(io::Error::other(Crashed)) } else { Ok(()) }
    }

    fn operation<T>(&self, name: &str, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let number = {
            let mut state = self.lock();
            state.operations += 1;
            state.operations - 1
        };
        let what = || format!("{name} {}", path.display());
        self.pass(Stop::Before(number), &what)?;
        let done = act();
        self.pass(Stop::After(number), &what)?;
        done
    }
}

/// A process under test.
#[derive(Debug)]
pub(crate) struct Actor<T> {
    control: Arc<Control>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Actor<T> {
    /// Lets `act` work on `disk`, and returns when it stands where it should stop, or has ended without coming there.
    #[allow(clippy::disallowed_methods, reason = "an actor is a process of its own")]
    pub(crate) fn start(
        disk: Arc<dyn Storage>,
        stop: Stop,
        act: impl FnOnce(Arc<dyn Storage>) -> T + Send + 'static,
    ) -> Self {
        let control = Arc::new(Control::default());
        control.lock().stop = Some(stop);
        let own = Arc::clone(&control);
        let work = move || {
            let storage = Arc::new(Stoppable { disk, control: Arc::clone(&own) });
            let done = catch_unwind(AssertUnwindSafe(|| act(storage)));
            own.change(|state| state.has_ended = true);
            done.unwrap_or_else(|panic| resume_unwind(panic))
        };
        let thread = Some(std::thread::spawn(work));
        drop(control.wait(|state| state.stands_at.is_some() || state.has_ended));
        Self { control, thread }
    }

    /// The operation at which it stands; `None` when it has ended.
    pub(crate) fn stands_at(&self) -> Option<String> {
        self.control.lock().stands_at.clone()
    }

    /// How many operations it began.
    pub(crate) fn operations(&self) -> u64 {
        self.control.lock().operations
    }

    /// Lets it go on to its end, and gives what came of it.
    pub(crate) fn resume(mut self) -> T {
        self.control.change(|state| state.goes_on = true);
        self.join().expect("an actor ends once")
    }

    /// Ends it: none of its operations happens any more, its locks and files are free.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl<T> Actor<T> {
    fn join(&mut self) -> Option<T> {
        let done = self.thread.take()?.join();
        Some(done.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<T> Drop for Actor<T> {
    fn drop(&mut self) {
        self.control.change(|state| state.is_dead = true);
        if let Some(thread) = self.thread.take() {
            // Whatever it says, or panics with, on a disk that answers nothing is of no interest.
            let _ = thread.join();
        }
    }
}

/// Stops `act` before and after every operation of its, once for each way to go on.
///
/// `prepare` gives a disk and what the others keep. `others` do what they do while the actor stands, or after it died.
/// `check` looks at the outcome, and gets what `act` returned if it came to its end. Says at how many operations it
/// stopped.
pub(crate) fn at_every_operation<W, T: Send + Debug + 'static>(
    prepare: impl Fn() -> (SimDisk, W),
    act: impl Fn(Arc<dyn Storage>) -> T + Clone + Send + 'static,
    mut others: impl FnMut(&SimDisk, &mut W),
    mut check: impl FnMut(&SimDisk, &mut W, Option<T>),
) -> u64 {
    for number in 0.. {
        for stop in [Stop::Before(number), Stop::After(number)] {
            for then in [Then::Never, Then::Resumes, Then::Dies] {
                let (disk, mut world) = prepare();
                let actor = Actor::start(Arc::new(disk.clone()), stop, act.clone());
                let Some(place) = actor.stands_at() else {
                    check(&disk, &mut world, Some(actor.resume()));
                    return number;
                };
                let _at = Told(format!("{then:?} after {place}"));
                match then {
                    Then::Never => {
                        others(&disk, &mut world);
                        check(&disk, &mut world, None);
                    }
                    Then::Resumes => {
                        others(&disk, &mut world);
                        check(&disk, &mut world, Some(actor.resume()));
                    }
                    Then::Dies => {
                        actor.kill();
                        others(&disk, &mut world);
                        check(&disk, &mut world, None);
                    }
                }
            }
        }
    }
    unreachable!("every act ends")
}

/// Tells on a panic where it was.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was with an actor that {}", self.0);
        }
    }
}

/// A disk as its actor sees it.
struct Stoppable {
    disk: Arc<dyn Storage>,
    control: Arc<Control>,
}

impl Stoppable {
    fn open(
        &self,
        name: &str,
        path: &Path,
        open: impl FnOnce() -> io::Result<Box<dyn File>>,
    ) -> io::Result<Box<dyn File>> {
        let file = self.control.operation(name, path, open)?;
        Ok(Box::new(StoppableFile { file, path: path.to_owned(), control: Arc::clone(&self.control) }))
    }
}

impl Storage for Stoppable {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open("create", path, || self.disk.create_new(path))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open("open", path, || self.disk.open_read(path))
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open("open for writing", path, || self.disk.open_write(path))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.control.operation("create folder", path, || self.disk.create_dir(path))
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.control.operation("list", path, || self.disk.read_dir(path))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.control.operation("link to", to, || self.disk.link(from, to))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.control.operation("rename to", to, || self.disk.rename(from, to))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.control.operation("remove", path, || self.disk.remove_file(path))
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.control.operation("remove folder", path, || self.disk.remove_dir(path))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.control.operation("sync folder", path, || self.disk.sync_dir(path))
    }
    fn mapping_is_safe(&self, path: &Path) -> bool {
        self.disk.mapping_is_safe(path)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.control.operation("ask for the age of", path, || self.disk.modified_ms(path))
    }
}

struct StoppableFile {
    file: Box<dyn File>,
    path: PathBuf,
    control: Arc<Control>,
}

impl File for StoppableFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.control.operation("read", &self.path, || self.file.read_at(buf, offset))
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.control.operation("write", &self.path, || self.file.write_at(buf, offset))
    }
    fn len(&self) -> io::Result<u64> {
        self.control.operation("ask for the length of", &self.path, || self.file.len())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.control.operation("set the length of", &self.path, || self.file.set_len(len))
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.control.operation("allocate", &self.path, || self.file.allocate(len))
    }
    fn sync(&self) -> io::Result<()> {
        self.control.operation("sync", &self.path, || self.file.sync())
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.control.operation("lock", &self.path, || self.file.try_lock())
    }
    fn is_linked(&self) -> io::Result<bool> {
        self.control.operation("ask for the names of", &self.path, || self.file.is_linked())
    }
    fn map(&self, len: usize) -> io::Result<Box<dyn Region>> {
        self.control.operation("map", &self.path, || self.file.map(len))
    }
}
