//! A tree of artifacts below one folder. The kernel resolves every name beneath that folder (openat2), so neither dots
//! nor links lead out of it, even if the tree changes at the same time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use stepwell::files::sync_all;

use super::path::{ArtifactPath, UPLOADS};
use crate::fault::{Code, Fault};

/// Deepest folder that a removal goes into.
const DEPTH_MAX: usize = 512;

/// A tree of artifacts.
#[derive(Debug)]
pub struct ArtifactStore {
    /// Its folder, or why this process can neither open nor create it.
    root: Result<OwnedFd, Errno>,
    place: PathBuf,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Bytes of a file; `None` for a folder.
    pub bytes: Option<u64>,
}

/// An upload that is not visible yet. If it is dropped without [`ArtifactStore::publish`], nothing of it remains.
#[derive(Debug)]
pub struct Upload {
    uploads: OwnedFd,
    name: String,
    published: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is removed when the server next starts.
            let _ = rustix::fs::unlinkat(&self.uploads, &self.name, AtFlags::empty());
        }
    }
}

impl ArtifactStore {
    /// Opens the tree in `place`, which is made when it is absent. Removes uploads that a dead server left. Where this
    /// process may not read or make the folder, as in a workspace that is shared for reading only, each use of it is
    /// refused instead.
    ///
    /// # Errors
    /// When the folder cannot be opened for another reason, or the kernel lacks openat2 (Linux 5.6). The error names
    /// the folder.
    pub fn open(place: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot open the folder of artifacts {}: {error}", place.display()))
        };
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(place);
        let opened = rustix::fs::open(place, folder_flags(), Mode::empty());
        let root = match (opened, made) {
            (Ok(root), _) => Ok(root),
            (Err(Errno::NOENT), Err(error)) if is_refusal(&error) => Err(Errno::NOENT),
            (Err(errno), _) if is_refusal(&errno.into()) => Err(errno),
            (Err(_), Err(error)) => return Err(named(error)),
            (Err(errno), Ok(())) => return Err(named(errno.into())),
        };
        if let Err(errno) = &root {
            tracing::warn!(folder = %place.display(), %errno, "the folder of artifacts can be neither read nor made \
                here");
        }
        let store = Self { root, place: place.to_owned() };
        let Ok(root) = &store.root else { return Ok(store) };
        match store.beneath(root, ".", folder_flags()) {
            Err(Errno::NOSYS | Errno::PERM) => {
                return Err(io::Error::other(
                    "this kernel (or a sandbox around this process) has no openat2, without which artifacts cannot be \
                     served safely; Linux 5.6 or newer is needed",
                ));
            }
            result => drop(result.map_err(|errno| named(errno.into()))?),
        }
        // Another server may be at work in the same tree: only what nobody can be writing any more is removed.
        if let Ok(uploads) = store.beneath(root, UPLOADS, folder_flags()) {
            for name in names(&uploads).unwrap_or_default() {
                if is_stale(&uploads, &name) {
                    let _ = rustix::fs::unlinkat(&uploads, name.as_str(), AtFlags::empty());
                }
            }
        }
        Ok(store)
    }

    /// Where the tree is.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    fn beneath(&self, from: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&from, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // The kernel could not tell while something was moved about.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    fn root(&self) -> Result<&OwnedFd, Errno> {
        self.root.as_ref().map_err(|errno| *errno)
    }

    fn folder(&self, path: &ArtifactPath) -> Result<OwnedFd, Fault> {
        let path = if path.is_root() { "." } else { path.as_str() };
        let opened = self.root().and_then(|root| self.beneath(root, path, folder_flags()));
        opened.map_err(|errno| fault("open", path, errno))
    }

    /// What is at a path: a folder's entries by name, or nothing for a file or for what does not exist, as MLflow
    /// lists.
    ///
    /// # Errors
    /// 400 when the path leads over a link, 500 when the folder cannot be read.
    pub fn list(&self, path: &ArtifactPath) -> Result<Vec<Entry>, Fault> {
        let folder = match self.folder(path) {
            Ok(folder) => folder,
            Err(fault) if fault.code == Code::ResourceDoesNotExist => return Ok(Vec::new()),
            Err(fault) => return Err(fault),
        };
        let mut entries = Vec::new();
        for name in names(&folder).map_err(|error| failed("list", path.as_str(), &error))? {
            if path.is_root() && name == UPLOADS {
                continue;
            }
            let Ok(meta) = rustix::fs::statat(&folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(meta.st_mode) {
                FileType::RegularFile => entries.push(Entry { name, bytes: u64::try_from(meta.st_size).ok() }),
                FileType::Directory => entries.push(Entry { name, bytes: None }),
                _ => {}
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Opens a file and says how many bytes it has.
    ///
    /// # Errors
    /// 404 when it does not exist or is not a plain file, 400 when the path leads over a link.
    pub fn read(&self, path: &ArtifactPath) -> Result<(File, u64), Fault> {
        if path.is_root() {
            return Err(fault("open", "", Errno::ISDIR));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = self.root().and_then(|root| self.beneath(root, path.as_str(), flags));
        let file = File::from(file.map_err(|errno| fault("open", path.as_str(), errno))?);
        let meta = file.metadata().map_err(|error| failed("read", path.as_str(), &error))?;
        if meta.is_dir() {
            let why = format!("Artifact path refers to a directory, not a file: '{}'", path.as_str());
            return Err(Fault::invalid(why));
        }
        if !meta.is_file() {
            return Err(fault("open", path.as_str(), Errno::NOENT));
        }
        Ok((file, meta.len()))
    }

    /// The folder of uploads, which is made when it is absent.
    fn uploads(&self) -> Result<OwnedFd, Errno> {
        let root = self.root()?;
        match rustix::fs::mkdirat(root, UPLOADS, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.beneath(root, UPLOADS, folder_flags()),
            Err(errno) => Err(errno),
        }
    }

    /// Begins an upload: a file that nobody sees, and its handle.
    ///
    /// # Errors
    /// 403 where nothing may be written, 507 on a full disk, 500 when it cannot be made.
    pub fn begin(&self) -> Result<(File, Upload), Fault> {
        let uploads = self.uploads().map_err(unbegun)?;
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|error| Fault::new(Code::InternalError, error.to_string()))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&uploads, name.as_str(), flags, Mode::RUSR | Mode::WUSR).map_err(unbegun)?;
        // Held as long as the file is open, it says that somebody writes; without locks uploads that were left stay.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok((File::from(file), Upload { uploads, name, published: false }))
    }

    /// Continues an upload that arrives in pieces. Returns its file, its handle, and how many bytes it has. The upload
    /// stays when the handle is dropped, until nobody has touched it for a day. `name` has 32 hex digits and belongs to
    /// no other upload.
    ///
    /// # Errors
    /// As [`Self::begin`]; 503 while somebody else writes it.
    pub fn resume(&self, name: &str) -> Result<(File, Upload, u64), Fault> {
        let (uploads, name) = (self.uploads().map_err(unbegun)?, format!("part-{name}"));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&uploads, name.as_str(), flags, Mode::RUSR | Mode::WUSR).map_err(unbegun)?;
        if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let why = "This file is being uploaded by somebody else; try again in a second.";
            return Err(Fault::new(Code::TemporarilyUnavailable, why));
        }
        let file = File::from(file);
        let len = file.metadata().map_err(|error| failed("read", "an upload", &error))?.len();
        Ok((file, Upload { uploads, name, published: true }, len))
    }

    /// Gives up an upload in pieces.
    pub fn give_up(&self, mut upload: Upload) {
        upload.published = false;
    }

    /// Syncs an upload and moves it to its place, replacing what was there. Missing folders are created. When this
    /// returns, the complete file is there, also after a power loss.
    ///
    /// # Errors
    /// 400 when something on the way is not a folder, or the place is one; 500 when a file operation fails. The place
    /// then holds what it held.
    pub fn publish(&self, file: &File, mut upload: Upload, path: &ArtifactPath) -> Result<(), Fault> {
        let named = path.as_str();
        if path.is_root() {
            return Err(fault("write", named, Errno::ISDIR));
        }
        sync_all(file).map_err(|error| failed("sync", named, &error))?;
        let parent = path.parent();
        let mut folder = self.folder(&ArtifactPath::default())?;
        for segment in parent.as_str().split('/').filter(|segment| !segment.is_empty()) {
            match rustix::fs::mkdirat(&folder, segment, Mode::RWXU) {
                Ok(()) => sync_all(&folder).map_err(|error| failed("sync", named, &error))?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(fault("make folders for", named, errno)),
            }
            folder = self.beneath(&folder, segment, folder_flags()).map_err(|errno| fault("write", named, errno))?;
        }
        rustix::fs::renameat_with(&upload.uploads, upload.name.as_str(), &folder, path.name(), RenameFlags::empty())
            .map_err(|errno| fault("write", named, errno))?;
        upload.published = true;
        sync_all(&folder).map_err(|error| failed("sync", named, &error))
    }

    /// Removes a file or a folder with all that is in it. What does not exist is removed already.
    ///
    /// # Errors
    /// 400 for the root or a path over a link, 500 when a file operation fails.
    pub fn remove(&self, path: &ArtifactPath) -> Result<(), Fault> {
        if path.is_root() {
            return Err(Fault::invalid("Invalid path: it names all artifacts there are"));
        }
        let folder = match self.folder(&path.parent()) {
            Ok(folder) => folder,
            Err(fault) if fault.code == Code::ResourceDoesNotExist => return Ok(()),
            Err(fault) => return Err(fault),
        };
        self.remove_in(&folder, path.name(), DEPTH_MAX).map_err(|errno| fault("remove", path.as_str(), errno))?;
        sync_all(&folder).map_err(|error| failed("sync", path.as_str(), &error))
    }

    fn remove_in(&self, folder: &OwnedFd, name: &str, depth: usize) -> Result<(), Errno> {
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) if depth > 0 => {}
            Err(errno) => return Err(errno),
        }
        let inner = self.beneath(folder, name, folder_flags())?;
        for name in names(&inner).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))? {
            self.remove_in(&inner, &name, depth - 1)?;
        }
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
    }
}

/// Why an upload cannot begin.
fn unbegun(errno: Errno) -> Fault {
    match errno {
        // There is no folder where none could be made.
        Errno::NOENT | Errno::ROFS | Errno::ACCESS | Errno::PERM => Fault::new(
            Code::PermissionDenied,
            "The server may not store files in its folder of artifacts, which can only be read here.",
        ),
        Errno::NOSPC | Errno::DQUOT => Fault::disk_full("store an artifact"),
        errno => fault("begin", "an upload", errno),
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// The names in a folder that are UTF-8; others no client could have stored.
fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Whether an upload is abandoned: its lock is free, and nobody has written to it for a day.
fn is_stale(uploads: &OwnedFd, name: &str) -> bool {
    const DAY: i64 = 86_400;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    let is_old = rustix::fs::statx(uploads, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MTIME)
        .is_ok_and(|meta| now.saturating_sub(meta.stx_mtime.tv_sec) > DAY);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let free = |file: OwnedFd| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    is_old && rustix::fs::openat(uploads, name, flags, Mode::empty()).is_ok_and(free)
}

/// The fault of what a file system refused: `what` was done to the artifact at `path`.
#[must_use]
pub fn failed(what: &str, path: &str, error: &io::Error) -> Fault {
    fault(what, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// Whether the operating system refused because nothing may be read or written there.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn fault(what: &str, path: &str, errno: Errno) -> Fault {
    let no_file = || Fault::missing(format!("No such artifact: '{path}'"));
    let invalid = |why: &str| Fault::invalid(format!("Invalid path: '{path}': {why}"));
    match errno {
        Errno::NOENT => no_file(),
        Errno::ISDIR if what == "open" => no_file(),
        Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST => invalid("there is a folder of that name"),
        Errno::LOOP | Errno::XDEV => invalid("a link on the way leads elsewhere"),
        Errno::NOTDIR if what == "open" => no_file(),
        Errno::NOTDIR => invalid("a part of it is a file, where a folder is needed"),
        Errno::NAMETOOLONG => invalid("the file system takes no name as long as that"),
        Errno::INVAL | Errno::ILSEQ => invalid("the file system takes no such name"),
        Errno::NOSPC | Errno::DQUOT => Fault::disk_full(&format!("{what} artifact '{path}'")),
        Errno::ROFS | Errno::ACCESS | Errno::PERM => Fault::new(
            Code::PermissionDenied,
            format!("The server may not {what} artifact '{path}': its folder of artifacts does not let it ({errno})."),
        ),
        errno => {
            tracing::error!(what, path, %errno, "artifact");
            Fault::new(Code::InternalError, format!("Cannot {what} artifact '{path}': {errno}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::new(text).unwrap()
    }

    fn put(store: &ArtifactStore, at: &str, bytes: &[u8]) -> Result<(), Fault> {
        let (mut file, upload) = store.begin()?;
        file.write_all(bytes).unwrap();
        store.publish(&file, upload, &path(at))
    }

    fn get(store: &ArtifactStore, at: &str) -> Result<Vec<u8>, Fault> {
        let (mut file, len) = store.read(&path(at))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, len);
        Ok(bytes)
    }

    #[test]
    fn files_come_back_are_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(&dir.path().join("artifacts")).unwrap();
        put(&store, "0/run/a.txt", b"one").unwrap();
        put(&store, "0/run/model/MLmodel", b"two").unwrap();
        put(&store, "0/run/a.txt", b"three").unwrap();
        assert_eq!(get(&store, "0/run/a.txt").unwrap(), b"three");
        let names: Vec<_> = store.list(&path("0/run")).unwrap().into_iter().map(|e| (e.name, e.bytes)).collect();
        assert_eq!(names, [("a.txt".to_owned(), Some(5)), ("model".to_owned(), None)]);
        assert_eq!(store.list(&path("0/run/a.txt")).unwrap(), []);
        assert_eq!(store.list(&path("nowhere")).unwrap(), []);
        assert_eq!(store.list(&ArtifactPath::default()).unwrap().len(), 1, "uploads are not listed");
        assert!(put(&store, "0/run/model", b"x").is_err());
        assert!(put(&store, "0/run/a.txt/b", b"x").is_err());
        store.remove(&path("0/run")).unwrap();
        store.remove(&path("0/run")).unwrap();
        assert_eq!(get(&store, "0/run/a.txt").unwrap_err().code, Code::ResourceDoesNotExist);
    }

    #[test]
    fn an_upload_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(dir.path()).unwrap();
        let (mut file, upload) = store.begin().unwrap();
        file.write_all(b"half").unwrap();
        drop(upload);
        assert_eq!(std::fs::read_dir(dir.path().join(UPLOADS)).unwrap().count(), 0);
        let (file, upload) = store.begin().unwrap();
        std::mem::forget(upload);
        let count = || {
            ArtifactStore::open(dir.path()).unwrap();
            std::fs::read_dir(dir.path().join(UPLOADS)).unwrap().count()
        };
        assert_eq!(count(), 1, "a fresh one may be alive");
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(count(), 1, "somebody has it open, however long it stands still");
        drop(file);
        assert_eq!(count(), 0);
    }

    #[test]
    fn links_and_what_is_no_file_are_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, root) = (dir.path().join("outside"), dir.path().join("root"));
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), b"secret").unwrap();
        let store = ArtifactStore::open(&root).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("secret"), root.join("file")).unwrap();
        rustix::fs::mknodat(store.root().unwrap(), "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
        for at in ["link/secret", "file", "pipe", "link"] {
            assert!(get(&store, at).is_err(), "{at}");
        }
        assert!(store.list(&path("link")).is_err());
        assert!(put(&store, "link/new", b"x").is_err());
        assert!(store.remove(&path("link/secret")).is_err());
        // The link itself may be replaced and removed; what it names stays.
        put(&store, "file", b"mine").unwrap();
        store.remove(&path("link")).unwrap();
        assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        assert!(store.list(&ArtifactPath::default()).unwrap().iter().all(|entry| entry.name != "pipe"));
    }
}
