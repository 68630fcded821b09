//! What a spool takes on the disk. All files are counted seldom, those that grow each time.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A look within this time of the last one gives what that found.
const LOOK_EVERY: Duration = Duration::from_millis(900);
/// Counting all files takes at most one part in so many of the time.
const SHARE: u32 = 1000;
/// A file that changed less than this before the newest one may grow, in seconds.
const GROWING_SECONDS: i64 = 600;

/// Bytes that the files in a folder take on the disk; see the module.
#[derive(Debug)]
pub(crate) struct Usage {
    folder: PathBuf,
    total: u64,
    growing: Vec<(PathBuf, u64)>,
    looked: Option<Instant>,
    counted: Option<Instant>,
    took: Duration,
}

impl Usage {
    pub(crate) fn of(folder: &Path) -> Self {
        let (folder, growing) = (folder.to_owned(), Vec::new());
        Self { folder, total: 0, growing, looked: None, counted: None, took: Duration::ZERO }
    }

    /// The bytes now.
    pub(crate) fn look(&mut self) -> u64 {
        let now = Instant::now();
        if self.looked.is_some_and(|at| now - at < LOOK_EVERY) {
            return self.total;
        }
        self.looked = Some(now);
        if self.counted.is_none_or(|at| now - at >= self.took * SHARE) {
            self.count();
            (self.counted, self.took) = (Some(now), now.elapsed());
        } else {
            for (path, bytes) in &mut self.growing {
                let before = std::mem::replace(bytes, fs::symlink_metadata(&path).map_or(0, |found| taken(&found)));
                self.total = (self.total + *bytes).saturating_sub(before);
            }
        }
        self.total
    }

    /// Counts all files.
    fn count(&mut self) {
        let mut files = Vec::new();
        files_in(&self.folder, &mut files);
        let newest = files.iter().map(|(_, found)| found.ctime()).max().unwrap_or(0);
        self.total = files.iter().map(|(_, found)| taken(found)).sum();
        let grows = |found: &Metadata| found.ctime() > newest.saturating_sub(GROWING_SECONDS);
        let growing = files.into_iter().filter(|(_, found)| grows(found));
        self.growing = growing.map(|(path, found)| (path, taken(&found))).collect();
    }
}

/// Bytes that the files in a folder take on the disk.
#[must_use]
pub fn bytes_of(folder: &Path) -> u64 {
    Usage::of(folder).look()
}

fn taken(found: &Metadata) -> u64 {
    found.blocks() * 512
}

/// The files in a folder and below; what goes meanwhile is left out.
fn files_in(folder: &Path, out: &mut Vec<(PathBuf, Metadata)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => files_in(&entry.path(), out),
            Ok(found) => out.push((entry.path(), found)),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_grows_is_seen_between_two_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let path = dir.path().join("a/log");
        let mut file = fs::File::create(&path).unwrap();
        let mut write = |bytes: usize| {
            file.write_all(&vec![7; bytes]).unwrap();
            file.sync_all().unwrap();
        };
        write(100_000);
        let mut usage = Usage::of(dir.path());
        let first = usage.look();
        assert!(first >= 100_000, "{first}");
        write(1_000_000);
        assert_eq!(usage.look(), first, "it looked just now");
        // No count is due, but a look is.
        usage.took = Duration::from_secs(3600);
        usage.looked = None;
        assert!(usage.look() >= 1_100_000);
        fs::remove_file(&path).unwrap();
        usage.looked = None;
        assert_eq!(usage.look(), 0);
        assert_eq!(bytes_of(dir.path()), 0);
    }
}
