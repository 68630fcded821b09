//! The two buffers of a tail, and the sequence numbers from which their slots verify.

use std::ops::RangeInclusive;

use crate::base::ids::WriterId;
use crate::log::record::Start;
use crate::log::slot::{BUFFER_SLOTS_MAX, Check, SLOT_LEN, Slot};
use crate::storage::File;

/// Most sequence numbers tried as the start of a generation.
const GENERATIONS_TRIED: u64 = 8 << 20;

/// The start of the tail's current generation if damage took the frame that says it: the first number from `from` on
/// with which a buffer's first slots verify. It is at most one tail length after `mentioned`, the sequence number of
/// the newest records. If that is far away, only both ends of the range are tried, since damaged bytes may contain any
/// number.
pub fn find_generation(tail: &[u8], start: &Start, from: u64, mentioned: u64) -> u64 {
    let long = 2 * u64::from(start.buffer_slots.min(BUFFER_SLOTS_MAX));
    let last = mentioned.max(from).saturating_add(long);
    let near = from..=last.min(from.saturating_add(GENERATIONS_TRIED));
    let far = last.saturating_sub(2 * long).max(from)..=last;
    let first = |numbers: &RangeInclusive<u64>| {
        let begun = buffers(tail, start.buffer_slots).map(|slots| begun_within(slots, start.writer, numbers.clone()));
        begun.into_iter().flatten().min()
    };
    first(&near).or_else(|| first(&far)).unwrap_or(from)
}

/// The first of these numbers with which a buffer's first two slots verify.
#[must_use]
pub fn begun_within(slots: &[[u8; SLOT_LEN]], writer: WriterId, mut numbers: RangeInclusive<u64>) -> Option<u64> {
    let check = Check::new(writer);
    let slots: Vec<Slot> = slots.iter().take(2).map(Slot::from_bytes).collect();
    let fits = |&generation: &u64| (generation..).zip(&slots).all(|(sequence, slot)| slot.verifies(check, sequence));
    if slots.first().is_none_or(|slot| *slot == Slot::default()) { None } else { numbers.find(fits) }
}

/// Splits a tail's slots into its two buffers.
#[must_use]
pub fn buffers(tail: &[u8], buffer_slots: u32) -> [&[[u8; SLOT_LEN]]; 2] {
    let (slots, _) = tail.as_chunks::<SLOT_LEN>();
    let (first, second) = slots.split_at(slots.len().min(buffer_slots as usize));
    [first, &second[..second.len().min(buffer_slots as usize)]]
}

/// The number of slots at the beginning that verify, numbered from `from`.
#[must_use]
pub fn verified(slots: &[[u8; SLOT_LEN]], check: Check, from: u64) -> usize {
    let numbered = slots.iter().map(Slot::from_bytes).zip(from..);
    numbered.take_while(|&(slot, sequence)| slot.verifies(check, sequence)).count()
}

/// Reads all of a tail's file.
///
/// # Errors
/// Errors of the operating system.
pub fn read_tail(file: &dyn File) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(MAX_TAIL_LEN);
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => break,
            got => at += got,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

/// Longest tail read, in bytes.
pub const MAX_TAIL_LEN: usize = 2 * BUFFER_SLOTS_MAX as usize * SLOT_LEN;
