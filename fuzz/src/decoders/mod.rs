//! Every decoder of the store behind one function of bytes: fuzz targets and the replay tests of the workspace share
//! them.
//!
//! Each may refuse its bytes; none may panic, run long, or take memory beyond what the bytes can pay for. Where a
//! checksum would stop every mutation at the door, the `_forged` twins make it good first.

mod groups;
mod journals;
mod logs;
mod packs;
mod parcels;

use std::io;

use stepwell::WriterId;
use stepwell::internals::segment::reader::Source;
use stepwell::testing::{File, Region};

pub use groups::{codec, group, group_forged};
pub use journals::journal;
pub use logs::{log, log_forged, records, slots};
pub use packs::{index, pack, query};
pub use parcels::{parcel, parcel_forged};

/// The writer of every forged log.
const WRITER: WriterId = WriterId(7);
/// Longer series are not read whole: that they take memory is what they say, not what they hide.
const READ_MAX: usize = 1 << 14;

/// Bytes as a file that cannot be written.
struct Bytes(Vec<u8>);

impl File for Bytes {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let len = buf.len().min(self.0.len() - from);
        buf[..len].copy_from_slice(&self.0[from..from + len]);
        Ok(len)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn try_lock(&self) -> io::Result<bool> {
        Ok(false)
    }
    fn is_linked(&self) -> io::Result<bool> {
        Ok(true)
    }
    fn map(&self, _: usize) -> io::Result<Box<dyn Region>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn source(bytes: Vec<u8>) -> Source {
    Source::new(Box::new(Bytes(bytes)), "/fuzzed".into())
}

/// Takes numbers off the front of the input; zeros where it ends.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
    fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }
    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }
    fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.bytes(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }
}
