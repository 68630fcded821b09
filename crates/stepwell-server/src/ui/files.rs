//! The files of MLflow's web UI, opened beneath their folder as artifacts are.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use stepwell_wire::Fault;
use stepwell_wire::artifacts::ArtifactPath;

/// The folder of a built UI.
#[derive(Debug)]
pub(crate) struct UiFiles {
    folder: OwnedFd,
}

impl UiFiles {
    /// Opens a built UI.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        if !folder.join("index.html").is_file() {
            return Err(io::Error::other(format!(
                "{} holds no index.html: name the folder `mlflow/server/js/build` of an installed mlflow",
                folder.display()
            )));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { folder: rustix::fs::open(folder, flags, Mode::empty())? })
    }

    /// Opens a file and says how many bytes it has.
    ///
    /// # Errors
    /// 404 when there is no such file.
    pub(crate) fn read(&self, path: &ArtifactPath) -> Result<(File, u64), Fault> {
        let none = || Fault::missing(format!("No such file: '{}'", path.as_str()));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file =
            rustix::fs::openat2(&self.folder, path.as_str(), flags, Mode::empty(), resolve).map_err(|_| none())?;
        let file = File::from(file);
        match file.metadata() {
            Ok(meta) if meta.is_file() => Ok((file, meta.len())),
            _ => Err(none()),
        }
    }
}
