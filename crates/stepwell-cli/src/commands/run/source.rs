//! Where a command's code comes from: the commit, and what differs from it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::ask::ask;
use super::words::without_user;

/// Longest diff that is kept, in bytes.
const DIFF_BYTES_MAX: u64 = 16 << 20;
/// Most names of files that git does not know that are kept.
const UNTRACKED_MAX: usize = 1000;
/// How long git may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A checkout.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) commit: String,
    pub(super) branch: Option<String>,
    pub(super) remote: Option<String>,
    /// Changes of tracked files since the commit.
    pub(super) diff: Vec<u8>,
    /// Files that git does not track; no diff contains them.
    pub(super) untracked: Vec<String>,
    /// What is not complete, and why.
    pub(super) notes: Vec<String>,
}

impl Source {
    /// The checkout that a folder is in, if it is in one.
    pub(super) fn of(folder: &Path, with_diff: bool) -> Option<Self> {
        let line = |arguments: &[&str]| {
            let said = ask(&mut git(folder, arguments), 64 << 10, PATIENCE).ok()?;
            Some(said.line()).filter(|line| !line.is_empty())
        };
        let commit = line(&["rev-parse", "--verify", "HEAD"])?;
        let mut source = Self {
            commit,
            branch: line(&["symbolic-ref", "--short", "HEAD"]),
            remote: line(&["config", "--get", "remote.origin.url"]).map(|url| without_user(&url)),
            diff: Vec::new(),
            untracked: Vec::new(),
            notes: Vec::new(),
        };
        if with_diff {
            source.read_diff(folder);
        }
        source.read_untracked(folder);
        Some(source)
    }

    fn read_diff(&mut self, folder: &Path) {
        // From the top, so that the diff is the checkout's; no program that a checkout names is run.
        let diff = ["diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative"];
        match ask(&mut git(folder, &diff), DIFF_BYTES_MAX, PATIENCE) {
            Ok(said) => {
                if said.cut {
                    self.notes.push(format!("the diff is longer than {DIFF_BYTES_MAX} bytes; the rest is left out"));
                }
                self.diff = said.bytes;
            }
            Err(why) => self.notes.push(format!("no diff: {why}")),
        }
    }

    fn read_untracked(&mut self, folder: &Path) {
        let others = ["ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/"];
        match ask(&mut git(folder, &others), 4 << 20, PATIENCE) {
            Ok(said) => {
                let names = said.bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                let names: Vec<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                if said.cut || names.len() > UNTRACKED_MAX {
                    self.notes.push(format!(
                        "{} files or more that git does not know; {UNTRACKED_MAX} are listed",
                        names.len()
                    ));
                }
                self.untracked = names.into_iter().take(UNTRACKED_MAX).collect();
            }
            Err(why) => self.notes.push(format!("files that git does not know are not listed: {why}")),
        }
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"]).args(arguments);
    // The index belongs to whoever works there.
    git.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    git
}
