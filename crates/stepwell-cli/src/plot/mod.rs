//! Curves: [`view`] says what is asked for, [`curve`] reads it from runs with [`smooth`] and [`thinner`], [`scale`],
//! [`number`] and [`calendar`] place and name ticks, [`panel`] puts curves on axes, [`palette`] tells them apart,
//! [`legend`] names them, and [`terminal`], [`picture`] and [`raster`] draw.

pub(crate) mod calendar;
pub(crate) mod columns;
pub(crate) mod curve;
pub(crate) mod legend;
pub(crate) mod number;
pub(crate) mod palette;
pub(crate) mod panel;
pub(crate) mod picture;
pub(crate) mod raster;
pub(crate) mod scale;
pub(crate) mod smooth;
pub(crate) mod svg;
pub(crate) mod terminal;
pub(crate) mod thinner;
pub(crate) mod view;
