//! The filter language and its execution over the run index.
//!
//! A filter's way: `lexer` → [`parser`] and `comparison` → [`ast`] → `filter` (sets of runs, one part at a time) →
//! `rank` (order, the best k) → [`execute`] (pages). [`order`] reads order-by clauses, [`like`] matches LIKE patterns,
//! [`page`] makes page tokens.
//!
//! Where the answers differ from MLflow's, on filters that MLflow takes: `run_name` reads the run's name, not the tag
//! `mlflow.runName`; infinite values are themselves, not ±1.8e308; ILIKE folds every letter, not ASCII alone;
//! `metrics.a.min` is the least value of `a` where no run has a metric called `a.min`; an order by one key twice is
//! taken.

pub mod ast;
pub(crate) mod column;
mod comparison;
pub mod conditions;
pub mod execute;
pub(crate) mod filter;
pub(crate) mod lexer;
pub mod like;
pub mod order;
pub mod page;
pub mod parser;
pub(crate) mod rank;

#[cfg(test)]
mod tests;
