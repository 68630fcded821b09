//! Feeds of Stepwell's own page: the table of runs, plots, one run, series as CSV. `docs/page.md` documents them.

pub(crate) mod bands;
pub(crate) mod binary;
pub(crate) mod curve;
pub(crate) mod one;
pub(crate) mod plots;
pub(crate) mod select;
pub(crate) mod series;
pub(crate) mod table;

use serde::{Serialize, Serializer};

use crate::fault::Fault;

/// A failure of the store, as it is told to clients.
pub(crate) fn failed(error: stepwell::Error) -> Fault {
    Fault::from(stepwell::tracking::Fault::from(error))
}

/// A double in JSON: `"NaN"`, `"Infinity"` and `"-Infinity"` where JSON has no number.
pub(crate) struct Float(pub(crate) f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_nan() => to.serialize_str("NaN"),
            f64::INFINITY => to.serialize_str("Infinity"),
            f64::NEG_INFINITY => to.serialize_str("-Infinity"),
            value => to.serialize_f64(value),
        }
    }
}
