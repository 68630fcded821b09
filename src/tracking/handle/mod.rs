//! The facade's handle, the writers that it holds open, and where artifacts are.

pub(crate) mod places;
pub(crate) mod store;
pub(crate) mod writers;
