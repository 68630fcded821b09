//! The real disk below one folder: never follows links below it, whoever creates them and whenever.
//!
//! The folder itself is opened once and may be reached by links: its path is the caller's. Every path is then opened
//! from that folder by one system call that rejects links (`openat2`) or, if unavailable, component by component
//! without following links. Operations on names use the folder opened that way.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{DiskFile, regular, sync_folder, sys};
use crate::storage::{Entry, File, Storage};

/// Flags of every open.
const ALWAYS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// See the module.
pub(super) struct Beneath {
    root: OwnedFd,
    path: PathBuf,
}

impl Beneath {
    /// Opens the folder, following links to it.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, FOLDER | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root: sys::above_standard(root.into())?.into(), path: path.to_owned() })
    }

    /// The part of a path below the folder.
    fn within<'p>(&self, path: &'p Path) -> io::Result<&'p Path> {
        let below = path.strip_prefix(&self.path).ok();
        let plain = |below: &&Path| below.components().all(|part| matches!(part, Component::Normal(_)));
        below.filter(plain).ok_or_else(|| refused("leads out of the workspace"))
    }

    fn open(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let below = self.within(path)?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        match self.open_below(below, flags | ALWAYS, mode) {
            Ok(opened) => Ok(opened),
            Err(Errno::LOOP | Errno::MLINK) => Err(refused("is a symbolic link, or is reached through one")),
            // The kernel's error for a link in place of a folder.
            Err(Errno::NOTDIR) => {
                Err(refused("is a symbolic link or a file where a folder must be, or is reached through one"))
            }
            Err(Errno::NXIO) => Err(refused("is a socket or a device")),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn open_below(&self, below: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.root, below, flags, mode, resolve) {
            // An older kernel, or a sandbox without the call.
            Err(Errno::NOSYS | Errno::PERM) => self.open_by_parts(below, flags, mode),
            other => other,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_below(&self, below: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        self.open_by_parts(below, flags, mode)
    }

    fn open_by_parts(&self, below: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let mut folder: Option<OwnedFd> = None;
        let mut parts = below.components().peekable();
        while let Some(part) = parts.next() {
            let at = folder.as_ref().unwrap_or(&self.root);
            if parts.peek().is_none() {
                return rustix::fs::openat(at, part.as_os_str(), flags, mode);
            }
            let step = FOLDER | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = Some(match rustix::fs::openat(at, part.as_os_str(), step, Mode::empty()) {
                // The kernel's error for a link in place of a folder.
                Err(Errno::NOTDIR) if is_link(at, part.as_os_str()) => return Err(Errno::LOOP),
                other => other?,
            });
        }
        Err(Errno::NOENT)
    }

    /// A path's parent folder and last name.
    fn folder_of<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(refused("leads out of the workspace"));
        };
        Ok((self.open(folder, FOLDER, Mode::empty())?, name))
    }

    fn open_file(&self, path: &Path, flags: OFlags) -> io::Result<Box<dyn File>> {
        regular(self.open(path, flags, Mode::empty())?.into())
    }
}

impl Storage for Beneath {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let opened = self.open(path, flags, Mode::RUSR | Mode::WUSR)?;
        match DiskFile::new(opened.into()) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                // The name is ours, because the creation was exclusive; otherwise it would stay taken by nobody.
                let _ = self.remove_file(path);
                Err(error)
            }
        }
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open_file(path, OFlags::RDONLY)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open_file(path, OFlags::RDWR)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        Ok(rustix::fs::mkdirat(folder, name, Mode::RWXU)?)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut folder = Dir::new(self.open(path, FOLDER, Mode::empty())?)?;
        let mut names = Vec::new();
        while let Some(entry) = folder.read() {
            let entry = entry?;
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
        let mut entries = Vec::new();
        for (name, kind) in names {
            let Ok(text) = name.to_str() else { continue };
            if matches!(text, "." | "..") {
                continue;
            }
            let kind = match kind {
                FileType::Unknown => match rustix::fs::statat(folder.fd()?, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    // It was removed since the folder was read.
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                known => known,
            };
            entries.push(Entry { name: text.to_owned(), is_dir: kind == FileType::Directory });
        }
        Ok(entries)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_folder, from), (to_folder, to)) = (self.folder_of(from)?, self.folder_of(to)?);
        Ok(rustix::fs::linkat(from_folder, from, to_folder, to, AtFlags::empty())?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_folder, from), (to_folder, to)) = (self.folder_of(from)?, self.folder_of(to)?);
        Ok(rustix::fs::renameat(from_folder, from, to_folder, to)?)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_folder(&self.open(path, FOLDER, Mode::empty())?.into())
    }

    fn mapping_is_safe(&self, path: &Path) -> bool {
        let folder = self.open(path, FOLDER, Mode::empty());
        folder.is_ok_and(|folder| sys::keeps_mapped_stores(&fs::File::from(folder)))
    }

    #[allow(clippy::unnecessary_cast, reason = "the types differ between architectures")]
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let (folder, name) = self.folder_of(path)?;
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((stat.st_mtime as i64).saturating_mul(1000).saturating_add(stat.st_mtime_nsec as i64 / 1_000_000))
    }
}

fn is_link(folder: &OwnedFd, name: &OsStr) -> bool {
    let stat = rustix::fs::statat(folder, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what}; links below a workspace are not followed"))
}
