//! Who may do what: tokens, and what each route asks for.

pub(crate) mod access;
pub mod tokens;
