//! The filter language and its execution over the run index.
//!
//! The path of a filter: `lexer` → [`parser`] and `comparison`, which take names and operators from a [`dialect`] and
//! return a [`refusal`] on errors → [`runs`] → [`ast`] → `filter` (sets of runs, part by part) → `rank` (order, the
//! best k) → [`execute`] (pages) → [`table`] (cells and profiles of columns). [`order`] defines orders, [`like`]
//! matches LIKE patterns.

pub mod ast;
pub(crate) mod column;
mod comparison;
pub mod dialect;
pub mod execute;
pub(crate) mod filter;
pub(crate) mod lexer;
pub mod like;
pub mod order;
pub mod parser;
pub(crate) mod rank;
pub mod refusal;
pub mod runs;
pub mod table;

#[cfg(test)]
mod tests;
