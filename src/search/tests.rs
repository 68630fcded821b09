//! The filter language and its execution against a plain oracle, and the language's rules one by one.

mod index;
mod language;
mod oracle;
mod packed;
mod pages;
