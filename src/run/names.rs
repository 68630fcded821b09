//! The series of a log by number and by name: each key is kept once, in one piece of memory.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// A place of the table that no series has.
const FREE: u32 = u32::MAX;

/// Names of series, numbered as they come. Costs 20 to 40 bytes a series beside its key.
#[derive(Debug, Default)]
pub struct SeriesNames {
    /// All keys, one after the other.
    text: String,
    /// For each series where its key ends in the text, and its run's number.
    series: Vec<(u32, u32)>,
    /// Numbers of series, each at the first free place from the one that its hash says; at most three quarters are taken.
    places: Vec<u32>,
}

impl SeriesNames {
    /// How many there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The run and the key of a series.
    ///
    /// # Panics
    /// When there is no such series.
    #[inline]
    #[must_use]
    pub fn get(&self, series: u32) -> (u32, &str) {
        let index = series as usize;
        let from = index.checked_sub(1).map_or(0, |before| self.series[before].0);
        let (end, run) = self.series[index];
        (run, &self.text[from as usize..end as usize])
    }

    /// The number of a series.
    #[must_use]
    pub fn find(&self, run: u32, key: &str) -> Option<u32> {
        let place = self.place(run, key)?;
        Some(self.places[place]).filter(|&series| series != FREE)
    }

    /// Takes in a series that is not there yet, and numbers it. `None` when the keys exceed 4 GiB, or all numbers are taken.
    pub fn insert(&mut self, run: u32, key: &str) -> Option<u32> {
        let series = u32::try_from(self.series.len()).ok().filter(|&series| series != FREE)?;
        let end = u32::try_from(self.text.len() + key.len()).ok()?;
        if (self.series.len() + 1) * 4 > self.places.len() * 3 {
            self.grow();
        }
        let place = self.place(run, key)?;
        self.places[place] = series;
        self.text.push_str(key);
        self.series.push((end, run));
        Some(series)
    }

    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(16);
        self.places.clear();
        self.places.resize(places, FREE);
        for series in 0..self.series.len() as u32 {
            let (run, key) = self.get(series);
            let mut place = self.first_place(run, key);
            while self.places[place] != FREE {
                place = (place + 1) & (places - 1);
            }
            self.places[place] = series;
        }
    }

    /// The place of a series, or the free one where it belongs; `None` when there are no places.
    fn place(&self, run: u32, key: &str) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut place = self.first_place(run, key);
        while self.places[place] != FREE && self.get(self.places[place]) != (run, key) {
            place = (place + 1) & mask;
        }
        Some(place)
    }

    /// Where to look first; the number of places is a power of two.
    fn first_place(&self, run: u32, key: &str) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write(key.as_bytes());
        hasher.write_u32(run);
        hasher.finish() as usize & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_run_and_key() {
        let mut names = SeriesNames::default();
        assert_eq!((names.find(0, "a"), names.is_empty()), (None, true));
        let key = |number: u32| {
            ["a", "", "äb", "layer"][number as usize % 4].repeat(number as usize % 5) + &number.to_string()
        };
        for number in 0..5000 {
            assert_eq!(names.find(number % 3, &key(number)), None);
            assert_eq!(names.insert(number % 3, &key(number)), Some(number));
        }
        for number in 0..5000 {
            assert_eq!(names.get(number), (number % 3, &*key(number)));
            assert_eq!(names.find(number % 3, &key(number)), Some(number));
            assert_eq!(names.find(number % 3 + 1, &key(number)), None);
        }
        assert_eq!(names.len(), 5000);
    }
}
