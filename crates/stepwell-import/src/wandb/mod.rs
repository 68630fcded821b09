//! W&B: transaction logs (`.wandb`), each log of a run as a part of it: a resumed run leaves one for each of its
//! starts.

mod framing;
mod history;
pub(crate) mod messages;
mod run;
mod values;

pub(crate) use framing::MAGIC;
#[cfg(test)]
pub(crate) use framing::{Next, Records, write_log};
pub(crate) use run::{peek, read};
