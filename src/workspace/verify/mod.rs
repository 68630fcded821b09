//! Verification and repair.
//!
//! [`check`] reads every byte, [`pages`] those of columns; [`repair`] salvages what verifies, and [`repair_files`] says
//! which files it may put aside.

pub mod check;
pub mod pages;
pub mod repair;
pub mod repair_files;
