//! Exposes inner modules to this repository's fuzz targets, benchmarks and tests of bytes. Nothing here is part of the
//! API.
#![allow(missing_docs)]

macro_rules! open {
    ($($room:ident)*) => {
        $(pub mod $room {
            pub use crate::$room::*;
        })*
    };
}

open! { error base options storage codec log segment run index search folder journal workspace }
