//! Remote runs that never wait for the network: every call writes to a local workspace, the **spool**, at memory speed,
//! and a thread sends what is new to a Stepwell server.
//!
//! [`Spool`] is the handle: it opens the spool of a server, creates runs in it, and says what has arrived.
//! [`Server`] asks the server itself, for what only it can answer. The carrier's rules:
//!
//! 1. Only the server knows what it has. Whoever sends a run asks for its position, and sends what follows. So a point
//!    arrives once, after any crash on either side, and whichever process sends it.
//! 2. What the server acknowledges is durable there. A run leaves the spool when it has ended and all of it has
//!    arrived.
//! 3. Of the processes that share a spool, one sends for all; a lock decides which. The lock only saves work: another
//!    process may send its own runs at the same time.

mod address;
mod bearer;
mod carrier;
mod error;
mod fetch;
mod files;
mod place;
mod resume;
mod server;
mod spool;
mod status;
mod usage;

pub use address::ServerOptions;
pub use carrier::{Carried, carry};
pub use error::{Error, Result};
pub use fetch::{Fetched, fetch};
pub use place::{Left, left_in, root};
pub use server::{Response, Server};
pub use spool::{Spool, SpoolOptions};
pub use status::{Delivery, Lag};
pub use usage::bytes_of;
