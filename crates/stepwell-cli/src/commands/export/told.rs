//! What an export reports: what it left out, and what its format cannot hold.

use std::io::Write;

use stepwell::Error;

use crate::failure::Outcome;
use crate::output::escape;

/// What was told, each thing once, in words.
#[derive(Default)]
pub(super) struct Told {
    /// What could not be read or was refused: the exit status is 1.
    pub(super) left_out: Vec<String>,
    /// What the format cannot hold, or the caller did not ask for.
    pub(super) not_held: Vec<String>,
}

impl Told {
    /// The value, or nothing if it is damaged, which is reported. Other errors are returned.
    pub(super) fn past<T>(&mut self, result: Result<T, Error>) -> Outcome<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_of_one_file() => {
                self.leave_out(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tells what could not be read or was refused.
    pub(super) fn leave_out(&mut self, what: String) {
        tell(&mut self.left_out, "warning: left out: ", what);
    }

    /// Tells what is not in the export by its form.
    pub(super) fn cannot_hold(&mut self, what: String) {
        tell(&mut self.not_held, "note: not in this export: ", what);
    }
}

fn tell(known: &mut Vec<String>, begin: &str, what: String) {
    if !known.contains(&what) {
        let _ = writeln!(std::io::stderr(), "{begin}{}", escape(&what));
        known.push(what);
    }
}
