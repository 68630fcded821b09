//! Runs the real `stepwell` on logs that the tests write, and reads what it prints.

mod exchange;
mod foreign;
mod place;
mod plots;
mod reading;
mod round_trip;
mod sources;
mod upkeep;
mod writing;
