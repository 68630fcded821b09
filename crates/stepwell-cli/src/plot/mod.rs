//! Curves: [`curve`] reads them from runs, [`scale`] places and names ticks, [`terminal`] and [`picture`] draw.

pub(crate) mod curve;
pub(crate) mod picture;
pub(crate) mod scale;
pub(crate) mod terminal;
