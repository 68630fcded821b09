//! A door to the inner modules for this repository's fuzz targets, benchmarks and tests of bytes. Nothing behind it is
//! part of the API.

#[allow(missing_docs)]
pub mod base {
    pub use crate::base::*;
}

#[allow(missing_docs)]
pub mod codec {
    pub use crate::codec::*;
}

#[allow(missing_docs)]
pub mod folder {
    pub use crate::folder::*;
}

#[allow(missing_docs)]
pub mod journal {
    pub use crate::journal::*;
}

#[allow(missing_docs)]
pub mod error {
    pub use crate::error::*;
}

#[allow(missing_docs)]
pub mod index {
    pub use crate::index::*;
}

#[allow(missing_docs)]
pub mod log {
    pub use crate::log::*;
}

#[allow(missing_docs)]
pub mod options {
    pub use crate::options::*;
}

#[allow(missing_docs)]
pub mod run {
    pub use crate::run::*;
}

#[allow(missing_docs)]
pub mod search {
    pub use crate::search::*;
}

#[allow(missing_docs)]
pub mod segment {
    pub use crate::segment::*;
}

#[allow(missing_docs)]
pub mod storage {
    pub use crate::storage::*;
}

#[allow(missing_docs)]
pub mod workspace {
    pub use crate::workspace::*;
}
