//! Damaged sources as a whole.
