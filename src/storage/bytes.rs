//! Bytes in memory, read as a file is.

use std::io::{self, ErrorKind};

use crate::storage::{File, Region};

/// Bytes that can only be read.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub Vec<u8>);

fn refused<T>() -> io::Result<T> {
    Err(ErrorKind::Unsupported.into())
}

impl File for Bytes {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn try_lock(&self) -> io::Result<bool> {
        refused()
    }

    fn map(&self, _: usize) -> io::Result<Box<dyn Region>> {
        refused()
    }
}
