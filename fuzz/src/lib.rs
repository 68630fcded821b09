//! What the fuzz targets do with their input.

pub mod decoders;
#[cfg(feature = "import")]
pub mod import;
