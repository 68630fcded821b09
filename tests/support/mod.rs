//! What the proofs share: a world of runs that is written beside a plain ledger, and the comparison of the two.

pub(crate) mod check;
pub(crate) mod ledger;
pub(crate) mod plot;
pub(crate) mod world;
