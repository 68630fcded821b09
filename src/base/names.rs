//! Interned names, numbered in order of appearance, in one buffer.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::base::texts::Texts;

/// An empty entry of the table.
const FREE: u32 = u32::MAX;

/// Distinct names, each a text with an owner, such as a run. Costs 10 to 25 bytes per name besides these.
#[derive(Debug, Default)]
pub struct Names<T = ()> {
    texts: Texts,
    of: Vec<T>,
    /// An open-addressing hash table of name numbers, at most three quarters full.
    places: Vec<u32>,
}

impl<T: Copy + Eq + Hash> Names<T> {
    /// The number of names.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.of.len()
    }

    #[cfg(any(test, feature = "internals"))]
    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// A name by its number.
    ///
    /// # Panics
    /// If the number is out of range.
    #[inline]
    #[must_use]
    pub fn get(&self, number: u32) -> (T, &str) {
        (self.of[number as usize], self.texts.get(number as usize))
    }

    /// The number of a name.
    #[must_use]
    pub fn find(&self, of: T, text: &str) -> Option<u32> {
        let place = self.place(of, text)?;
        Some(self.places[place]).filter(|&number| number != FREE)
    }

    /// The number of a name, which is added if new. `None` if the texts would exceed 4 GiB, or all numbers are used.
    pub fn number(&mut self, of: T, text: &str) -> Option<u32> {
        if (self.len() + 1) * 4 > self.places.len() * 3 {
            self.grow();
        }
        let place = self.place(of, text)?;
        if self.places[place] != FREE {
            return Some(self.places[place]);
        }
        let number = u32::try_from(self.len()).ok().filter(|&number| number != FREE)?;
        if !self.texts.push(text) {
            return None;
        }
        self.places[place] = number;
        self.of.push(of);
        Some(number)
    }

    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(16);
        self.places.clear();
        self.places.resize(places, FREE);
        for number in 0..self.len() as u32 {
            let (of, text) = self.get(number);
            let mut place = self.first_place(of, text);
            while self.places[place] != FREE {
                place = (place + 1) & (places - 1);
            }
            self.places[place] = number;
        }
    }

    /// The table position of a name, or the free one where it belongs; `None` if the table is empty.
    fn place(&self, of: T, text: &str) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut place = self.first_place(of, text);
        while self.places[place] != FREE && self.get(self.places[place]) != (of, text) {
            place = (place + 1) & mask;
        }
        Some(place)
    }

    /// The first position to probe; the table size is a power of two.
    fn first_place(&self, of: T, text: &str) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write(text.as_bytes());
        of.hash(&mut hasher);
        hasher.finish() as usize & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_what_they_are_of_and_text() {
        let mut names = Names::default();
        assert_eq!((names.find(0, "a"), names.is_empty()), (None, true));
        let key = |number: u32| {
            ["a", "", "äb", "layer"][number as usize % 4].repeat(number as usize % 5) + &number.to_string()
        };
        for number in 0..5000 {
            assert_eq!(names.find(number % 3, &key(number)), None);
            assert_eq!(names.number(number % 3, &key(number)), Some(number));
            assert_eq!(names.number(number % 3, &key(number)), Some(number));
        }
        for number in 0..5000 {
            assert_eq!(names.get(number), (number % 3, &*key(number)));
            assert_eq!(names.find(number % 3, &key(number)), Some(number));
            assert_eq!(names.find(number % 3 + 1, &key(number)), None);
        }
        assert_eq!(names.len(), 5000);
    }
}
