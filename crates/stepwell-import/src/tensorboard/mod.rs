//! TensorBoard: the event files of one folder as one run.

mod events;
pub(crate) mod messages;
mod tensor;
mod tfrecord;

pub(crate) use events::read;
#[cfg(test)]
pub(crate) use tfrecord::frame;
pub(crate) use tfrecord::is_event_file;
