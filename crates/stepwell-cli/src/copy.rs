//! Copies the files that one folder has and another lacks. Each appears when it is complete, and is compared with its
//! original.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use stepwell::RunId;
use stepwell::files::sync_all;

use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// How the names of files begin that are not whole yet.
const PART: &str = ".stepwell-sync-";
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// What was copied.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    /// Files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Files that were there already.
    pub(crate) present: u64,
    /// Files that are on both sides with different contents, below the folder: they stay as they are.
    pub(crate) differing: Vec<PathBuf>,
    /// Links, pipes and the like, which are not copied.
    pub(crate) no_files: Vec<PathBuf>,
}

/// Copies every regular file below `from` to the path below `to` that `place` returns, if it does not exist there; an
/// existing one is compared in full. Links are neither followed nor copied. A copy appears under its name when it is
/// complete, on disk and compared, and never replaces a file.
pub(crate) fn missing_files(
    from: &Path,
    to: &Path,
    place: &dyn Fn(&Path) -> Option<PathBuf>,
    progress: &Progress,
) -> Outcome<Copied> {
    let mut done = Copied::default();
    let mut missing: Vec<(PathBuf, PathBuf, u64)> = Vec::new();
    let mut present: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = from.join(&folder);
        for entry in fs::read_dir(&path).map_err(Failure::io("list", &path))? {
            let entry = entry.map_err(Failure::io("list", &path))?;
            let name = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(Failure::io("look at", &entry.path()))?;
            if kind.is_dir() {
                folders.push(name);
            } else if !kind.is_file() {
                done.no_files.push(name);
            } else if !entry.file_name().to_string_lossy().starts_with(PART) {
                let Some(own) = place(&name) else { continue };
                let len = entry.metadata().map_err(Failure::io("look at", &entry.path()))?.len();
                match fs::symlink_metadata(to.join(&own)) {
                    Ok(known) if known.is_file() && known.len() == len => present.push((name, own)),
                    Ok(_) => done.differing.push(own),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push((name, own, len)),
                    Err(error) if error.kind() == io::ErrorKind::NotADirectory => done.differing.push(own),
                    Err(error) => return Err(Failure::io("look at", &to.join(&own))(error)),
                }
            }
        }
    }
    for (name, own) in present {
        progress.say(&name.to_string_lossy());
        match is_same(&from.join(&name), &to.join(&own))? {
            true => done.present += 1,
            false => done.differing.push(own),
        }
    }
    missing.sort();
    let total: u64 = missing.iter().map(|(.., len)| len).sum();
    for (name, own, len) in missing {
        progress.set(done.bytes, total);
        progress.say(&name.to_string_lossy());
        if copy(&from.join(&name), &to.join(&own))? {
            done.files += 1;
            done.bytes += len;
        } else {
            done.differing.push(own);
        }
    }
    Ok(done)
}

/// Copies one file; says whether it did, or something has the name by now.
fn copy(from: &Path, to: &Path) -> Outcome<bool> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Failure::io("create", folder))?;
    let part = folder.join(format!("{PART}{}", RunId::random()));
    let copied = copy_and_compare(from, &part).and_then(|()| match fs::hard_link(&part, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::io("create", to)(error)),
    });
    let _ = fs::remove_file(&part);
    copied
}

fn copy_and_compare(from: &Path, to: &Path) -> Outcome<()> {
    let mut source = File::open(from).map_err(Failure::io("open", from))?;
    let mut target = File::create_new(to).map_err(Failure::io("create", to))?;
    io::copy(&mut source, &mut target).map_err(Failure::io("write", to))?;
    target.flush().and_then(|()| sync_all(&target)).map_err(Failure::io("write", to))?;
    if is_same(from, to)? {
        return Ok(());
    }
    let what = format!("{} was changed while it was copied", from.display());
    Err(Failure::hinted(what, "run the command again"))
}

/// Whether two files have the same contents.
fn is_same(one: &Path, two: &Path) -> Outcome<bool> {
    let open = |path: &Path| File::open(path).map_err(Failure::io("open", path));
    let (mut source, mut target) = (open(one)?, open(two)?);
    let (mut own, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let len = source.read(&mut own).map_err(Failure::io("read", one))?;
        if len == 0 {
            return Ok(target.read(&mut other).map_err(Failure::io("read", two))? == 0);
        }
        match target.read_exact(&mut other[..len]) {
            Ok(()) if own[..len] == other[..len] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(Failure::io("read", two)(error)),
        }
    }
}
