//! Finds the row groups of a pack whose directory does not verify: each one ends with a trailer and has all its lengths
//! in its footer, so it is found without the directory.

use crate::error::{Error, Result};
use crate::segment::layout::{ROW_GROUP_MAGIC, ROW_GROUP_MAGIC_FINE, TRAILER_LEN};
use crate::segment::reader::{RowGroup, Source};

/// Bytes searched at once.
const CHUNK: usize = 1 << 20;
/// Length of the magic that ends a row group.
const MAGIC_LEN: usize = 8;
/// What looking at one magic costs besides reading the footer, in bytes.
const LOOK: u64 = 4 << 10;
/// Bytes that may be read besides twice the file's length. A file that was made to waste time has many magics before
/// which no row group ends.
const SPARE: u64 = 64 << 20;

/// All row groups between `from` and the file's end whose footers verify, by offset. Reads the whole file, and footers
/// up to about twice its length.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn find_row_groups(source: &Source, from: u64) -> Result<Vec<RowGroup>> {
    let len = source.file_len()?;
    let mut found: Vec<RowGroup> = Vec::new();
    let (mut at, mut left) = (from, 2 * len + SPARE);
    while at + (MAGIC_LEN as u64) <= len {
        let bytes = source.read(at, usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK))?;
        for place in magics(&bytes) {
            let end = at + (place + MAGIC_LEN) as u64;
            left = match left.checked_sub(LOOK + footer_len(source, end)?) {
                Some(left) => left,
                None => return Ok(found),
            };
            match RowGroup::ending_at(source.clone(), from, end) {
                Ok(group) => add(&mut found, group),
                Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // A magic may lie across two chunks.
        at += (bytes.len() - (MAGIC_LEN - 1)) as u64;
    }
    Ok(found)
}

/// What the trailer of a row group that ends here says of its footer's length, at most the bytes before it.
fn footer_len(source: &Source, end: u64) -> Result<u64> {
    let Some(trailer_at) = end.checked_sub(TRAILER_LEN as u64) else { return Ok(0) };
    let mut len = [0; 4];
    len.copy_from_slice(&source.read(trailer_at, 4)?);
    Ok(u64::from(u32::from_le_bytes(len)).min(trailer_at))
}

/// Where the bytes have the magic that ends a row group.
fn magics(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let magics = [ROW_GROUP_MAGIC, ROW_GROUP_MAGIC_FINE].map(u64::to_le_bytes);
    let first = magics[0][0];
    let is_magic = move |own: &[u8]| own[0] == first && magics.iter().any(|magic| own == magic);
    bytes.windows(MAGIC_LEN).enumerate().filter(move |(_, own)| is_magic(own)).map(|(place, _)| place)
}

/// Adds a row group that ends after all others. What lies within it is a part of its pages.
fn add(found: &mut Vec<RowGroup>, group: RowGroup) {
    let start = group.extent().0;
    while found.last().is_some_and(|last| last.extent().0 >= start) {
        found.pop();
    }
    let end = found.last().map_or(0, |last| last.extent().0 + last.extent().1);
    if end <= start {
        found.push(group);
    }
}
