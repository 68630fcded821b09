//! A file's bytes as memory, shared with everyone who reads the file.

use std::fs::File;
use std::io;

use memmap2::{MmapOptions, MmapRaw};

use super::super::Region;

/// A shared mapping, for reading and writing, of a file's beginning.
pub(super) struct Mapping {
    map: MmapRaw,
}

impl Mapping {
    /// Maps the first `len` bytes, with every page present and writable, so that the first store to a page costs no fault
    /// and a file system that cannot take the store answers here with an error, not later with SIGBUS.
    ///
    /// That marks all `len` bytes as changed: the next sync writes all of them once.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(len).populate().map_raw(file)?;
        #[cfg(target_os = "linux")]
        match map.advise(memmap2::Advice::PopulateWrite) {
            // Kernels before 5.14 do not know it; there the pages are present, and the first store to each faults.
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
            _ => {}
        }
        Ok(Mapping { map })
    }
}

impl Region for Mapping {
    fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    fn len(&self) -> usize {
        self.map.len()
    }
}
