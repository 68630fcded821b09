//! Integration tests, one module a subject. They reach the store only through its public names.

mod crash;
mod deletions;
mod durable;
mod entries;
mod evidence;
mod exchange;
mod flips;
mod foreign;
mod golden;
mod imports;
mod life;
mod maintenance;
mod oracle;
mod params;
mod processes;
mod purge;
mod refused;
mod regressions;
mod repairs;
mod replay;
mod salvage;
mod scale;
mod search;
mod stopped;
mod support;
mod tidy;
