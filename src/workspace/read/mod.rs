//! Reading: finding logs and runs again, searching them, and following them as they change.
//!
//! [`logs`] reads logs, and [`live`] keeps summaries of them; [`evidence`] finds
//! missing ones. [`search`] and its result [`found`] use the indexes; [`keys`] lists keys, [`usage`] counts, [`follow`]
//! delivers changes. [`copies`] finds points that two sources have.

pub mod copies;
pub mod evidence;
pub mod follow;
pub mod found;
pub mod keys;
pub mod known;
pub mod live;
pub mod logs;
pub mod parts;
pub mod report;
pub mod runs;
pub mod search;
pub mod tails;
pub mod usage;
