//! Columns as few bytes, bit for bit.
