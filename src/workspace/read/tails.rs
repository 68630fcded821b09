//! Checks tails, slot by slot.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::folder::paths::LogName;
use crate::log::buffers::{begun_within, buffers, read_tail, verified};
use crate::log::follower::Depth;
use crate::log::slot::{Check, SLOT_LEN, Slot};
use crate::run::log_view::LogView;
use crate::workspace::read::report::{Damage, PAUSE, Report, may_look};
use crate::workspace::state::shared::Shared;

impl Shared {
    /// Whether every slot in the tail of a closed log verifies.
    pub(crate) fn tail_is_whole(&self, name: &LogName, view: &LogView) -> Result<bool> {
        let mut report = Report::default();
        self.check_tail(name, view, ("", true), &mut 0, &mut report)?;
        Ok(report.is_ok())
    }

    /// Checks every slot of a tail: it is a point of the current or an earlier generation, or zeros. Anything else is
    /// damage unless the machine stopped since; then it may be of a generation whose frames were lost, or half of a
    /// slot. A killed writer leaves half of a slot too, right after its last point.
    pub(crate) fn check_tail(
        &self,
        name: &LogName,
        view: &LogView,
        (of, alive): (&str, bool),
        looks: &mut u32,
        report: &mut Report,
    ) -> Result<()> {
        let path = name.tail();
        let Ok(file) = self.inner.storage.open_read(&path) else { return Ok(()) };
        let tail = read_tail(&*file).map_err(Error::io("read", &path))?;
        // The writer may have gone on since: read the log again, after the tail.
        let later = LogView::read(&*self.inner.storage, &name.log(), &path, Depth::Recent, None)?;
        let (check, buffer_slots) = (Check::new(name.writer), later.log().at.start().buffer_slots);
        let mut generations = later.log().generations(view.log());
        // A generation after a damaged one starts where that one should have ended.
        let from = later.log().read.slots_from;
        let known = |generations: &[u64], bytes: &[u8; SLOT_LEN], index: usize| {
            let slot = Slot::from_bytes(bytes);
            slot == Slot::default()
                || generations.iter().any(|&generation| slot.verifies(check, generation + index as u64))
        };
        for slots in buffers(&tail, buffer_slots) {
            if slots.first().is_some_and(|slot| !known(&generations, slot, 0)) {
                generations.extend(begun_within(slots, name.writer, from..=from + u64::from(buffer_slots)));
            }
        }
        let mut looked = 0;
        for (slots, start) in buffers(&tail, buffer_slots).into_iter().zip([0, buffer_slots as usize]) {
            let next = newest_points(slots, &generations, check);
            for (index, bytes) in slots.iter().enumerate().filter(|(index, bytes)| !known(&generations, bytes, *index))
            {
                // A live writer may be between the two words of this slot.
                let offset = ((start + index) * SLOT_LEN) as u64;
                let moved_on = || {
                    let mut again = [0; SLOT_LEN];
                    let got = file.read_at(&mut again, offset).map_err(Error::io("read", &path))?;
                    Ok::<bool, Error>(got == SLOT_LEN && (again != *bytes || known(&generations, &again, index)))
                };
                let mut moves = moved_on()?;
                while !moves && !self.is_free(name).unwrap_or(true) && may_look(looked, looks) {
                    looked += 1;
                    std::thread::sleep(PAUSE);
                    moves = moved_on()?;
                }
                if moves {
                    continue;
                }
                let what = "a slot that is not a point".to_owned();
                let cost = format!("a point of run {of}, and those behind it that no frame has");
                let is_half = index == next && !is_one_byte_off(bytes, index, &generations, check);
                let found = if alive && !is_half { &mut report.damage } else { &mut report.torn };
                found.push(Damage { file: path.clone(), offset, length: SLOT_LEN as u64, what, cost });
            }
        }
        check_rest(&tail, buffer_slots, path, (of, alive), report);
        Ok(())
    }
}

/// The number of points of the newest generation at the start of a buffer.
fn newest_points(slots: &[[u8; SLOT_LEN]], generations: &[u64], check: Check) -> usize {
    let begun = generations.iter().map(|&from| (from, verified(slots, check, from))).filter(|(_, points)| *points > 0);
    begun.max().map_or(0, |(_, points)| points)
}

/// Whether a slot differs from a point of one of these generations by one byte.
fn is_one_byte_off(bytes: &[u8; SLOT_LEN], index: usize, generations: &[u64], check: Check) -> bool {
    let mut bytes = *bytes;
    (0..SLOT_LEN).any(|at| {
        let own = bytes[at];
        let verifies = (0..=u8::MAX).any(|byte| {
            bytes[at] = byte;
            let slot = Slot::from_bytes(&bytes);
            generations.iter().any(|&generation| slot.verifies(check, generation + index as u64))
        });
        bytes[at] = own;
        verifies
    })
}

/// Reports bytes behind the last slot of a tail. Less than a slot is what a killed writer leaves of its last point.
fn check_rest(tail: &[u8], buffer_slots: u32, path: PathBuf, (of, alive): (&str, bool), report: &mut Report) {
    let slots: usize = buffers(tail, buffer_slots).iter().map(|slots| slots.len()).sum();
    let rest = &tail[slots * SLOT_LEN..];
    if !rest.is_empty() {
        let (offset, what) = ((tail.len() - rest.len()) as u64, "bytes behind the last slot".to_owned());
        let cost = format!("a point of run {of}");
        let found = if alive && rest.len() >= SLOT_LEN { &mut report.damage } else { &mut report.torn };
        found.push(Damage { file: path, offset, length: rest.len() as u64, what, cost });
    }
}
