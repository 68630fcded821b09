//! W&B: transaction logs (`.wandb`), all logs of one run id as one run.

mod framing;
mod history;
pub(crate) mod messages;
mod run;

pub(crate) use framing::MAGIC;
#[cfg(test)]
pub(crate) use framing::{Next, Records, write_log};
pub(crate) use run::{peek, read};
