//! What several modules of tests share.

pub(crate) mod check;
pub(crate) mod frozen;
pub(crate) mod ledger;
pub(crate) mod plot;
pub(crate) mod protocol;
pub(crate) mod refusing;
pub(crate) mod seen;
mod step;
pub(crate) mod stop;
mod upkeep;
pub(crate) mod world;
