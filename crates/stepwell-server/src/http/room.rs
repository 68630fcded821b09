//! Room: how many bytes requests and answers may take together, so that no number of clients takes more.
//!
//! Three kinds are counted separately: bodies as they arrive, bodies after they are parsed, and answers from when they
//! are made until clients have fetched them. `docs/server.md` adds up the totals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use stepwell_wire::{Code, Fault};

/// A body or answer that is shorter than this takes no room.
pub(super) const SMALL: usize = 64 << 10;
/// Room is counted in pieces of so many bytes.
pub(super) const PIECE: usize = 16 << 10;

/// The rooms of a server.
#[derive(Debug)]
pub(crate) struct Rooms {
    /// Of bodies as they came.
    pub(crate) bodies: Room,
    /// Of what bodies become when they are parsed.
    pub(crate) parsed: Room,
    /// Of answers.
    pub(crate) answers: Room,
}

impl Rooms {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bodies: Room::new(limits.bodies_bytes),
            parsed: Room::new(limits.parsed_bytes),
            answers: Room::new(limits.answers_bytes),
        }
    }

    /// Takes room for an answer of so many bytes that is yet to be made.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(crate) fn answer(&self, bytes: usize, held: &mut Held) -> Result<(), Fault> {
        self.answers.take(bytes, self.answers.half(), held)
    }

    /// Notes bytes of a file that pass through; they take no room, since files are never whole in memory.
    pub(crate) fn pass_file(&self, bytes: u64) {
        self.bodies.pass(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Notes the buffers of a connection that ended, for heads and bodies too small to be counted themselves.
    pub(crate) fn pass_buffers(&self, bytes: usize) {
        self.bodies.pass(bytes);
    }

    /// Bytes that passed through since the server started.
    pub(crate) fn passed(&self) -> u64 {
        self.bodies.passed() + self.answers.passed()
    }

    /// Whether nobody holds any of them.
    pub(crate) fn are_free(&self) -> bool {
        self.bodies.is_free() && self.parsed.is_free() && self.answers.is_free()
    }
}

/// Room for everything of a kind together.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    pieces: usize,
    /// Bytes that passed through, those that took no room too.
    passed: Arc<AtomicU64>,
}

/// A part of a room, which goes back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    /// Gives back what is over `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        if let Some(held) = &mut self.0 {
            let over = held.num_permits().saturating_sub(bytes.div_ceil(PIECE));
            drop(held.split(over));
        }
    }

    /// Whether it is nothing.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    fn pieces(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(held) => held.merge(more),
            None => self.0 = Some(more),
        }
    }
}

impl Room {
    /// Room for `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let pieces = (usize::try_from(bytes).unwrap_or(usize::MAX) / PIECE).min(u32::MAX as usize / 2);
        Self { free: Arc::new(Semaphore::new(pieces)), pieces, passed: Arc::default() }
    }

    /// Half of the room, in bytes.
    pub(super) fn half(&self) -> usize {
        self.pieces / 2 * PIECE
    }

    /// Bytes that passed through the room since the server started.
    fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Notes bytes that pass through.
    pub(super) fn pass(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether nobody holds any of it.
    fn is_free(&self) -> bool {
        self.free.available_permits() >= self.pieces
    }

    /// Reserves room until what is held suffices for `bytes`, of which at most `most` are counted.
    ///
    /// # Errors
    /// 503 when there is no room now.
    pub(super) fn take(&self, bytes: usize, most: usize, held: &mut Held) -> Result<(), Fault> {
        let wanted = if bytes <= SMALL { 0 } else { bytes.div_ceil(PIECE).min((most / PIECE).min(self.pieces).max(1)) };
        let Some(more) = wanted.checked_sub(held.pieces()).filter(|more| *more > 0) else { return Ok(()) };
        let more = u32::try_from(more).ok().and_then(|more| Arc::clone(&self.free).try_acquire_many_owned(more).ok());
        held.add(more.ok_or_else(full)?);
        Ok(())
    }

    /// Waits for room for `bytes`, in the order of the requests, but at most for `limit`. More than all of the room
    /// counts as all of it. A waiting call holds none of this room, so every call gets its turn.
    ///
    /// # Errors
    /// 503 when there was none in time.
    pub(crate) async fn wait(&self, bytes: usize, limit: Duration) -> Result<Held, Fault> {
        let wanted = u32::try_from(bytes.div_ceil(PIECE).min(self.pieces)).unwrap_or(u32::MAX);
        let waited = tokio::time::timeout(limit, Arc::clone(&self.free).acquire_many_owned(wanted)).await;
        waited.ok().and_then(Result::ok).map(|held| Held(Some(held))).ok_or_else(full)
    }

    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> usize {
        self.free.available_permits() * PIECE
    }
}

fn full() -> Fault {
    Fault::new(
        Code::TemporarilyUnavailable,
        "The server holds too many long requests or answers; try again in a second.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_comes_to_his_turn() {
        let room = Room::new(1 << 20);
        let all = room.wait(usize::MAX, Duration::from_secs(60)).await.unwrap();
        assert!(!room.is_free());
        let next = tokio::spawn({
            let room = room.clone();
            async move { room.wait(1, Duration::from_secs(60)).await.map(drop) }
        });
        assert_eq!(room.wait(1, Duration::from_millis(10)).await.unwrap_err().http_status(), 503);
        drop(all);
        next.await.unwrap().unwrap();
        assert!(room.is_free());
    }

    #[test]
    fn what_is_held_grows_and_shrinks() {
        let room = Room::new(1 << 20);
        let mut held = Held::default();
        room.take(SMALL, usize::MAX, &mut held).unwrap();
        assert!(held.is_none() && room.is_free());
        room.take(1 << 20, room.half(), &mut held).unwrap();
        assert_eq!(room.free_bytes(), 512 << 10);
        room.take(700 << 10, usize::MAX, &mut held).unwrap();
        assert!(room.take(700 << 10, usize::MAX, &mut Held::default()).is_err());
        held.shrink(100 << 10);
        assert_eq!(room.free_bytes(), (1 << 20) - (112 << 10));
        drop(held);
        assert!(room.is_free());
    }
}
