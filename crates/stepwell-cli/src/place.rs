//! Where a path leads, whether all of it exists or not.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// A path without links and without `..`, as far as it exists.
pub(crate) fn real(path: &Path) -> Outcome<PathBuf> {
    let mut missing: Vec<std::ffi::OsString> = Vec::new();
    let mut there = std::path::absolute(path).map_err(Failure::io("look at", path))?;
    loop {
        match there.canonicalize() {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Ok(real);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let Some(name) = there.file_name().map(ToOwned::to_owned) else {
                    // What ends in `..` of a folder that is not there is nowhere.
                    return Err(Failure::io("look at", path)(error));
                };
                missing.push(name);
                there.pop();
            }
            Err(error) => return Err(Failure::io("look at", path)(error)),
        }
    }
}
