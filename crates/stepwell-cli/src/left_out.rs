//! What an answer was made without: reported on standard error, each thing once, and by the exit status.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;

use crate::failure::Answer;
use crate::output::{escape, plural};

/// How many things are told one by one; of more only the number.
const TOLD: usize = 20;

/// What was told so far.
static PLACES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Tells what could not be read, and so is missing from the answer.
pub(crate) fn tell(places: &[String]) {
    let mut known = PLACES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for place in places {
        if known.insert(place.clone()) && known.len() <= TOLD {
            let _ = writeln!(std::io::stderr(), "warning: left out: {}", escape(place));
        }
    }
}

/// The exit status: 1 if something is missing from the answer. The number of such things is reported.
pub(crate) fn close(answer: Answer) -> Answer {
    let count = PLACES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len() as u64;
    if count == 0 {
        return answer;
    }
    let places = plural(count, "file or place in one", "files or places in them");
    let _ = writeln!(
        std::io::stderr(),
        "warning: {places} could not be read; the rest is complete, and `stepwell verify` says what is missing"
    );
    Answer::No
}
