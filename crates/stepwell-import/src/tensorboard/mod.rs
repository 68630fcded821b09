//! TensorBoard: the event files of one folder as one run, and a run as an event file.

mod events;
mod keep;
pub(crate) mod messages;
mod tensor;
mod tfrecord;
mod writer;

pub(crate) use events::read;
#[cfg(test)]
pub(crate) use tfrecord::frame;
pub(crate) use tfrecord::is_event_file;
pub use writer::{Ending, EventWriter, is_event_time};
