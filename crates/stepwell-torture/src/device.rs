//! Disks that can fail: an image in a file, mounted through a loop device in a mount namespace of this process' own.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the environment of the process that has its own mount namespace.
const OWN_MOUNTS: &str = "STEPWELL_TORTURE_OWN_MOUNTS";

/// A file system that a campaign runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileSystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

/// Starts this program again in a mount namespace of its own, unless it is there already. Returns the exit status of
/// the inner one, if it was started.
pub(crate) fn enter_own_mounts() -> Result<Option<i32>, String> {
    if std::env::var_os(OWN_MOUNTS).is_some() {
        return Ok(None);
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(OWN_MOUNTS, "1")
        .status()
        .map_err(|error| format!("cannot start `unshare` (package util-linux): {error}"))?;
    Ok(Some(status.code().unwrap_or(3)))
}

/// A mounted image.
#[derive(Debug)]
pub(crate) struct Device {
    file_system: FileSystem,
    image: PathBuf,
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// The small file system that holds the image of a thin disk.
    thin: Option<PathBuf>,
}

impl Device {
    /// Makes an image of `megabytes` in `dir` and mounts it there.
    pub(crate) fn create(dir: &Path, file_system: FileSystem, megabytes: u64) -> Result<Self, String> {
        Self::create_in(dir, dir, file_system, megabytes, None)
    }

    /// The same for a thin disk: the image believes that it has `megabytes`, but can grow by only `behind` beyond what
    /// it takes when empty.
    pub(crate) fn create_thin(
        dir: &Path,
        file_system: FileSystem,
        megabytes: u64,
        behind: u64,
    ) -> Result<Self, String> {
        let thin = dir.join("behind");
        std::fs::create_dir_all(&thin).map_err(|error| error.to_string())?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={}m", 2 * megabytes), "tmpfs", text(&thin)])?;
        let device = Self::create_in(&thin, dir, file_system, megabytes, Some(thin.clone()))?;
        let taken = std::fs::metadata(&device.image).map_err(|error| error.to_string())?.blocks() * 512;
        device.give_room((taken >> 20) + 1 + behind)?;
        Ok(device)
    }

    fn create_in(
        image_dir: &Path,
        dir: &Path,
        file_system: FileSystem,
        megabytes: u64,
        thin: Option<PathBuf>,
    ) -> Result<Self, String> {
        let image = image_dir.join("image");
        let mount = dir.join("disk");
        std::fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(megabytes << 20).map_err(|error| error.to_string())?;
        match file_system {
            FileSystem::Ext4 => run("mkfs.ext4", &["-q", "-F", text(&image)])?,
            FileSystem::Xfs => run("mkfs.xfs", &["-q", "-f", text(&image)])?,
        }
        let device = Self { file_system, image, mount, thin };
        device.mount()?;
        Ok(device)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(&self.image), text(&self.mount)])
    }

    /// Cuts the power, as far as this disk can tell: nothing that was not synced reaches it afterwards.
    pub(crate) fn cut_power(&self) -> Result<(), String> {
        run("xfs_io", &["-x", "-c", "shutdown", text(&self.mount)])
    }

    /// Lets the file system behind a thin disk hold so much.
    pub(crate) fn give_room(&self, megabytes: u64) -> Result<(), String> {
        let Some(thin) = &self.thin else { return Ok(()) };
        run("mount", &["-o", &format!("remount,size={megabytes}m"), text(thin)])
    }

    /// Mounts the image again, so that everything is read from it. No process may have a file on it open. Returns
    /// `false` without mounting if the file system is broken.
    pub(crate) fn remount(&self) -> Result<bool, String> {
        self.unmount()?;
        if self.thin.is_some() && self.file_system == FileSystem::Ext4 {
            // A failed journal is replayed by the checker; 1 says that it mended something, 4 that somebody would have
            // to choose how to mend the rest.
            let status = Command::new("e2fsck").args(["-p", text(&self.image)]).output();
            let code = status.map_err(|error| format!("cannot start `e2fsck`: {error}"))?.status.code();
            match code {
                Some(0 | 1) => {}
                Some(4) => return Ok(false),
                _ => return Err(format!("e2fsck could not look at the file system: exit status {code:?}")),
            }
        }
        self.mount().map(|()| true)
    }

    fn unmount(&self) -> Result<(), String> {
        // Actors that were just killed may hold the mount for another moment.
        let mut result = Ok(());
        for _ in 0..100 {
            result = run("umount", &[text(&self.mount)]);
            if result.is_ok() {
                return result;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        result
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.unmount();
        if let Some(thin) = &self.thin {
            let _ = run("umount", &[text(thin)]);
        }
    }
}

/// Runs a system tool and returns what it said when it failed.
fn run(tool: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot start `{tool}`, which this campaign needs: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{tool} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("folders of campaigns have plain names")
}
