//! The filter language and its execution over the run index.
//!
//! A filter's way: `lexer` → [`parser`] and `comparison`, which know names and operators from a [`dialect`] and refuse
//! with a [`refusal`] → [`runs`] → [`ast`] → `filter` (sets of runs, one part at a time) → `rank` (order, the best k)
//! → [`execute`] (pages). [`order`] says what orders, [`like`] matches LIKE patterns.
//!
//! Where the answers differ from MLflow's, on filters that MLflow takes: `run_name` reads the run's name, not the tag
//! `mlflow.runName`; infinite values are themselves, not ±1.8e308; ILIKE folds every letter, not ASCII alone;
//! `metrics.a.min` is the least value of `a` where no run has a metric called `a.min`; an order by one key twice is
//! taken.

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

#[cfg(test)]
mod tests;
