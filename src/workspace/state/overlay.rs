//! Rows of runs that are in logs or in several packs. Kept between searches as small index parts on top of those of the
//! packs.
//!
//! A row stays valid while the packs and the stamps of its logs stay the same. Rows are in two parts. Most are in the
//! *base*; the *top* has rows made since then, and is rebuilt when one changes. When it has grown relative to the base,
//! both are rebuilt; runs that just changed, which are being logged to, start in the top. So a search costs as much as
//! the rows that changed, not as all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::RunKey;
use crate::base::summary::RunSummary;
use crate::error::Result;
use crate::index::bitmap::Bitmap;
use crate::index::part::IndexPart;

/// The top may have this many rows plus a quarter of the base's.
const TOP_ROWS: usize = 32;

/// See the module.
#[derive(Default)]
pub struct Overlay {
    /// The pack reading that all rows were made with.
    reading: u64,
    rows: BTreeMap<RunKey, Row>,
    base: Option<Arc<IndexPart>>,
    top: Option<Arc<IndexPart>>,
}

/// A run's row: its location and what it was made from.
struct Row {
    stamps: Vec<u64>,
    place: Place,
}

type Rows = Vec<(RunKey, RunSummary)>;

/// The overlay's result for a run.
pub enum Made {
    /// Its row.
    Row(Box<RunSummary>),
    /// Nothing: there is no such run.
    Nothing,
    /// Not cacheable: it must be made again.
    Unclear,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Base(u32),
    Top(u32),
    /// There is no such run.
    Nowhere,
}

impl Overlay {
    /// Makes missing or outdated rows by `make`, and drops rows of runs not in `wanted`, which has each run's stamps.
    /// Returns the parts, each with its invalid rows.
    ///
    /// # Errors
    /// Those of `make`, and of reading rows back; then all rows are dropped.
    pub fn update(
        &mut self,
        reading: u64,
        wanted: BTreeMap<RunKey, Vec<u64>>,
        make: impl FnMut(RunKey) -> Result<Made>,
    ) -> Result<Vec<(Arc<IndexPart>, Bitmap)>> {
        let mut old = std::mem::take(self);
        if old.reading != reading {
            old = Self::default();
        }
        old.reading = reading;
        old.follow(wanted, make)?;
        *self = old;
        Ok(self.parts())
    }

    fn follow(
        &mut self,
        wanted: BTreeMap<RunKey, Vec<u64>>,
        mut make: impl FnMut(RunKey) -> Result<Made>,
    ) -> Result<()> {
        self.rows.retain(|key, _| wanted.contains_key(key));
        // New rows, and whether the run had another row before.
        let mut made: Vec<(RunKey, RunSummary, bool)> = Vec::new();
        for (key, stamps) in wanted {
            if self.rows.get(&key).is_some_and(|row| row.stamps == stamps) {
                continue;
            }
            let before = self.rows.remove(&key);
            let row = match make(key)? {
                Made::Row(row) => Some(row),
                Made::Nothing => None,
                Made::Unclear => continue,
            };
            self.rows.insert(key, Row { stamps, place: Place::Nowhere });
            made.extend(row.map(|row| (key, *row, before.is_some())));
        }
        if made.is_empty() {
            return Ok(());
        }
        let (mut in_base, mut in_top) = (0, made.len());
        for row in self.rows.values() {
            in_base += usize::from(matches!(row.place, Place::Base(_)));
            in_top += usize::from(matches!(row.place, Place::Top(_)));
        }
        let (mut base, mut top) = (Rows::new(), Rows::new());
        let anew = in_top > TOP_ROWS + in_base / 4;
        for (&key, row) in &self.rows {
            let kept = match (row.place, &self.base, &self.top) {
                (Place::Base(at), Some(part), _) if anew => part.summary(at)?,
                (Place::Top(at), _, Some(part)) => part.summary(at)?,
                _ => continue,
            };
            if anew { &mut base } else { &mut top }.push((key, kept));
        }
        for (key, row, changed) in made {
            if anew && !changed { &mut base } else { &mut top }.push((key, row));
        }
        if anew {
            self.base = self.place(base, Place::Base)?;
        }
        self.top = self.place(top, Place::Top)?;
        Ok(())
    }

    /// Builds a part from rows and records their locations.
    fn place(&mut self, rows: Rows, place: fn(u32) -> Place) -> Result<Option<Arc<IndexPart>>> {
        let (keys, rows): (Vec<RunKey>, Vec<RunSummary>) = rows.into_iter().unzip();
        for (key, at) in keys.iter().zip(0..) {
            if let Some(row) = self.rows.get_mut(key) {
                row.place = place(at);
            }
        }
        if rows.is_empty() { Ok(None) } else { IndexPart::build(&rows).map(|part| Some(Arc::new(part))) }
    }

    fn parts(&self) -> Vec<(Arc<IndexPart>, Bitmap)> {
        let count = |part: &Option<Arc<IndexPart>>| vec![false; part.as_ref().map_or(0, |part| part.len())];
        let (mut base, mut top) = (count(&self.base), count(&self.top));
        for row in self.rows.values() {
            match row.place {
                Place::Base(at) => base[at as usize] = true,
                Place::Top(at) => top[at as usize] = true,
                Place::Nowhere => {}
            }
        }
        let masked = |part: &Option<Arc<IndexPart>>, counts: &[bool]| {
            part.as_ref().map(|part| (Arc::clone(part), Bitmap::of(counts, |counts| !counts)))
        };
        masked(&self.base, &base).into_iter().chain(masked(&self.top, &top)).collect()
    }
}
