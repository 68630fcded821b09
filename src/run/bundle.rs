//! A bundle: parcels together, compressed for the way.
//!
//! ```text
//! "SWbundl1" | length of the parcels u32 | their points u32 | CRC-32 of these 16 bytes u32 | one zstd frame
//! ```
//!
//! The frame has the parcels one after the other, each with its length (u32) before it. What the parcels take in memory
//! is known before any of it is decompressed.

use crate::base::bytes::Reader;
use crate::base::checksum::crc32;
use crate::base::zstd;
use crate::error::{Error, Result};
use crate::run::parcel::Parcel;

/// What the bytes of a bundle are, to those who must say.
pub const MEDIA_TYPE: &str = "application/x-stepwell-parcels";
/// Greatest length of a bundle's parcels, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 24 << 20;
/// Most points of a bundle.
pub const BUNDLE_POINTS_MAX: u64 = 1 << 19;

const MAGIC: [u8; 8] = *b"SWbundl1";
const HEAD_LEN: usize = 20;
/// Pages of numbers are compressed already; names and rows gain as much at once as at greater levels.
const LEVEL: i32 = 1;
/// Bytes of a point in memory.
const POINT_BYTES: u64 = 25;

/// A bundle that is not opened yet.
#[derive(Debug)]
pub struct Bundle<'a> {
    len: usize,
    points: u64,
    frame: &'a [u8],
}

/// Parcels being put together.
#[derive(Debug, Default)]
pub struct BundleBuilder {
    bytes: Vec<u8>,
    points: u64,
    scratch: Vec<u8>,
}

impl BundleBuilder {
    /// Adds a parcel. `false` if there is no room for it, unless it is the first.
    ///
    /// # Errors
    /// If it is too long for any bundle.
    pub fn add(&mut self, parcel: &Parcel) -> Result<bool> {
        let points = self.points + parcel.points();
        if points > BUNDLE_POINTS_MAX && !self.bytes.is_empty() {
            return Ok(false);
        }
        self.scratch.clear();
        parcel.encode(&mut self.scratch)?;
        let len = self.bytes.len() + 4 + self.scratch.len();
        if len > BUNDLE_BYTES_MAX || points > BUNDLE_POINTS_MAX {
            if self.bytes.is_empty() {
                let why = format!("{} bytes and {points} points are too many to send at once", self.scratch.len());
                return Err(Error::invalid("parcel", why));
            }
            return Ok(false);
        }
        self.bytes.extend_from_slice(&(self.scratch.len() as u32).to_le_bytes());
        self.bytes.append(&mut self.scratch);
        self.points = points;
        Ok(true)
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bundle.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no memory to compress it.
    pub fn close(self) -> Result<Vec<u8>> {
        let frame = zstd::compress(&self.bytes, LEVEL);
        let frame = frame.ok_or_else(|| Error::invalid("parcel", "there is no memory to compress it"))?;
        let mut out = Vec::with_capacity(HEAD_LEN + frame.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.points as u32).to_le_bytes());
        out.extend_from_slice(&crc32(0, &out).to_le_bytes());
        out.extend_from_slice(&frame);
        Ok(out)
    }
}

fn wrong(why: impl Into<String>) -> Error {
    Error::invalid("bundle", why)
}

impl<'a> Bundle<'a> {
    /// Reads the head of a bundle that takes all of `bytes`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let Some((head, frame)) = bytes.split_at_checked(HEAD_LEN) else {
            return Err(wrong(format!("{} bytes are too few", bytes.len())));
        };
        let mut reader = Reader::new(head);
        let read = |reader: &mut Reader<'_>| Some((reader.array::<8>().ok()?, reader.u32().ok()?, reader.u32().ok()?));
        let Some((magic, len, points)) = read(&mut reader) else { return Err(wrong("its head is cut off")) };
        if magic != MAGIC {
            return Err(wrong("it does not begin as one"));
        }
        if reader.u32() != Ok(crc32(0, &head[..HEAD_LEN - 4])) {
            return Err(wrong("its head does not verify"));
        }
        let (len, points) = (len as usize, u64::from(points));
        if len > BUNDLE_BYTES_MAX || points > BUNDLE_POINTS_MAX {
            let (bytes, most) = (BUNDLE_BYTES_MAX, BUNDLE_POINTS_MAX);
            return Err(wrong(format!("{len} bytes and {points} points are more than {bytes} and {most}")));
        }
        Ok(Self { len, points, frame })
    }

    /// Approximate memory of its parcels while they are taken, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.len * 3 + (self.points * POINT_BYTES) as usize
    }

    /// Its parcels, verified one by one and all of them before any is returned.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parcels(&self) -> Result<Vec<Parcel>> {
        let bytes = zstd::decompress(self.frame, self.len).filter(|bytes| bytes.len() == self.len);
        let bytes = bytes.ok_or_else(|| wrong("it cannot be decompressed to the length that it says"))?;
        let mut reader = Reader::new(&bytes);
        let (mut parcels, mut points) = (Vec::new(), 0);
        while reader.remaining() > 0 {
            let cut = |_| wrong("a parcel is cut off");
            let len = reader.u32().map_err(cut)? as usize;
            let parcel = Parcel::decode(reader.slice(len).map_err(cut)?.to_vec(), self.points - points)?;
            points += parcel.points();
            parcels.push(parcel);
        }
        if points != self.points {
            return Err(wrong(format!("it has {points} points, and says {}", self.points)));
        }
        Ok(parcels)
    }
}
