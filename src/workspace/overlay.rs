//! Rows of the runs that logs or several packs speak of, kept between searches as small parts of an index over those of
//! the packs.
//!
//! A row stays as long as the stamps of all logs that speak of its run, and the packs, stay: only then could it be
//! another one. Rows lie in two parts. Most are in the *base*; the *top* has those that were made since the base was,
//! and is made anew when one changes. When it has grown beside the base, both are made anew: runs whose row changed
//! just then, which are being logged to, begin in the top. So a search costs by the rows that change between searches,
//! not by all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::RunKey;
use crate::base::summary::RunSummary;
use crate::error::Result;
use crate::index::bitmap::Bitmap;
use crate::index::part::IndexPart;

/// The top may have so many rows, and a quarter of the base's.
const TOP_ROWS: usize = 32;

/// See the module.
#[derive(Default)]
pub struct Overlay {
    /// The reading of the packs that all rows were made with.
    reading: u64,
    rows: BTreeMap<RunKey, Row>,
    base: Option<Arc<IndexPart>>,
    top: Option<Arc<IndexPart>>,
}

/// Where a run's row is, and what it was made of.
struct Row {
    stamps: Vec<u64>,
    place: Place,
}

type Rows = Vec<(RunKey, RunSummary)>;

/// What there is to put over the packs for a run.
pub enum Made {
    /// Its row.
    Row(Box<RunSummary>),
    /// Nothing: there is no such run.
    Nothing,
    /// Nothing that may be kept: it must be asked for again.
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
    /// Makes rows that are missing or may have changed, by `make`, and forgets those of other runs than `wanted`, which
    /// gives each run's stamps. The parts, each with the rows of it that do not count.
    ///
    /// # Errors
    /// Those of `make`, and of reading rows back; what was kept is forgotten then.
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
        // New rows, each with whether its run had another one before.
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

    /// Makes a part of rows, and notes where they are.
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
