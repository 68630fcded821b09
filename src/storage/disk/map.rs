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
    /// Maps the first `len` bytes. A page becomes present when it is first stored to: only then does it count as
    /// changed.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        Ok(Mapping { map: MmapOptions::new().len(len).map_raw(file)? })
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
