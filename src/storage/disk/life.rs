//! A number that is constant while no written data can have been lost: see [`File::life`](super::super::File::life).

use std::fs::{self, File};
use std::io;
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64;

/// Derived from the boot, the unique mount id, and the file.
#[cfg(target_os = "linux")]
pub(super) fn of(file: &File) -> io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags};

    /// `STATX_MNT_ID_UNIQUE`, since Linux 6.8: older mount ids are reused.
    const UNIQUE_MOUNT: u32 = 0x4000;
    static START: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let start = START.get_or_init(|| fs::read("/proc/sys/kernel/random/boot_id").ok());
    let asked = StatxFlags::INO | StatxFlags::from_bits_retain(UNIQUE_MOUNT);
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, asked)?;
    let Some(start) = start.as_ref().filter(|_| stat.stx_mask & UNIQUE_MOUNT != 0) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let mut bytes = start.clone();
    bytes.extend_from_slice(&stat.stx_mnt_id.to_le_bytes());
    bytes.extend_from_slice(&stat.stx_ino.to_le_bytes());
    Ok(xxh3_64(&bytes).max(1))
}

/// Not available elsewhere.
#[cfg(not(target_os = "linux"))]
pub(super) fn of(_file: &File) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}
