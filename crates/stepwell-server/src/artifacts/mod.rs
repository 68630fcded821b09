//! Artifacts over HTTP: as streams, and as what a browser may take them for.

pub(crate) mod address;
pub(crate) mod kinds;
pub(crate) mod pieces;
pub(crate) mod range;
pub(crate) mod serve;
