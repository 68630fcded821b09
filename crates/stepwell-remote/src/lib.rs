//! Remote runs that never wait: every call goes to a local workspace, the **spool**, at memory speed, and a thread
//! carries what is new to a Stepwell server.
//!
//! [`Spool`] is the handle: it opens the spool of a server, creates runs in it, and says what has arrived.
//! [`Server`] asks the server itself, for what only it can answer. The carrier's rules:
//!
//! 1. The server alone knows what it has. Whoever carries a run asks for its position, and sends what follows. So a
//!    point arrives once, after any crash on either side, and whichever process carries it.
//! 2. What the server acknowledged is durable there. A run leaves the spool when it has ended and all of it arrived.
//! 3. Of the processes that share a spool one carries, which a lock decides. The lock saves work; another process may
//!    carry its own run at the same time.

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

pub use address::ServerOptions;
pub use carrier::{Carried, carry};
pub use error::{Error, Result};
pub use fetch::{Fetched, fetch};
pub use place::{Left, bytes_of, left_in, root};
pub use server::{Response, Server};
pub use spool::{Spool, SpoolOptions};
pub use status::{Delivery, Lag};
