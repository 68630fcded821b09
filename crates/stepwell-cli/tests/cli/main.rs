//! Runs the real `stepwell` on logs that the tests write, and reads what it prints.

mod alike;
mod changes;
mod copied;
mod damage;
mod exchange;
mod filters;
mod foreign;
mod naming;
mod place;
mod plots;
mod reading;
mod resumed;
mod round_trip;
mod shells;
mod sources;
mod syncing;
mod terminal;
mod told;
mod upkeep;
mod writing;
