//! Journals of any entries.

use std::path::Path;
use std::sync::Arc;

use stepwell::internals::base::checksum::crc32;
use stepwell::internals::journal::catalog::Catalog;
use stepwell::internals::journal::chain::{Journal, State};
use stepwell::internals::journal::manifest::Manifest;
use stepwell::testing::{SimDisk, Storage};

/// Entries of both journals with any bytes, and with a good header before any payload.
pub fn journal(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let entry = |number: u64, payload: &[u8]| {
        let mut entry = b"SWentry2".to_vec();
        entry.extend_from_slice(&number.to_le_bytes());
        entry.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        let crc = crc32(crc32(0, &entry), payload);
        entry.extend_from_slice(&crc.to_le_bytes());
        entry.extend_from_slice(payload);
        entry
    };
    let half = bytes.len() / 2;
    let entries = match kind % 4 {
        0 => vec![bytes.to_vec()],
        1 => vec![entry(1, bytes)],
        2 => vec![entry(1, &bytes[..half]), entry(2, &bytes[half..])],
        _ => vec![entry(1, &bytes[..half]), bytes[half..].to_vec()],
    };
    read_journal::<Manifest>(&entries);
    read_journal::<Catalog>(&entries);
}

fn read_journal<S: State>(entries: &[Vec<u8>]) {
    let disk = SimDisk::new();
    for folder in ["/j", "/j/0000000000000000", "/tmp"] {
        disk.create_dir(Path::new(folder)).expect("a new folder");
    }
    for (number, bytes) in (1..).zip(entries) {
        let path = format!("/j/0000000000000000/{number:016}.entry");
        disk.create_new(Path::new(&path)).and_then(|file| file.write_at(bytes, 0)).expect("memory");
    }
    let mut journal = Journal::<S>::open(Arc::new(disk), "/".into(), "j").expect("damage is not an error");
    journal.refresh().expect("damage is not an error");
    let bad = journal.check_all().expect("damage is not an error");
    assert!(bad.len() >= journal.lost().count());
}
