//! HTTP: connections, limits, what every request is held against, and how a request becomes a call.

pub(crate) mod body;
pub(crate) mod dispatch;
pub(crate) mod follow;
pub(crate) mod framing;
pub(crate) mod guard;
pub(crate) mod heap;
pub(crate) mod lanes;
pub(crate) mod listen;
pub(crate) mod observe;
pub(crate) mod occupant;
pub(crate) mod place;
pub(crate) mod room;
pub(crate) mod socket;
