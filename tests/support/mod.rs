//! What several modules of tests share.

pub(crate) mod frozen;
pub(crate) mod seen;
