//! The filter language and its execution over the run index.
//!
//! A filter's way: [`lexer`] → [`parser`] → [`ast`] → [`filter`] (sets of runs, one part at a time) → [`rank`] (order,
//! the best k) → [`execute`] (pages). [`order`] reads order-by clauses, [`like`] matches LIKE patterns, [`page`] makes
//! page tokens.

pub mod ast;
pub(crate) mod column;
pub mod execute;
pub(crate) mod filter;
pub(crate) mod lexer;
pub(crate) mod like;
pub mod order;
pub mod page;
pub mod parser;
pub(crate) mod rank;

#[cfg(test)]
mod tests;
