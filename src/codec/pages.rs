//! pco's wrapped format as page bytes: the only module that names the crate.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::float_env;
use crate::base::bytes::Malformed;

/// The header of pco's format 4.1, which every page here has and none stores.
const HEADER: [u8; 2] = [4, 1];
/// pco's own limit of numbers in a chunk.
const COUNT_MAX: usize = 1 << 24;
/// Compression level: 12 gains 0.1 % over 8, 4 loses 1.3 %.
const LEVEL: usize = 8;

const BAD: Malformed = Malformed("not a pco page of this count");

/// A number type of pco with the width of its latent in bits.
pub(super) trait PcoNumber: Number {
    const BITS: u32;
}

impl PcoNumber for u16 {
    const BITS: u32 = 16;
}

impl PcoNumber for u32 {
    const BITS: u32 = 32;
}

impl PcoNumber for u64 {
    const BITS: u32 = 64;
}

impl PcoNumber for f32 {
    const BITS: u32 = 32;
}

impl PcoNumber for f64 {
    const BITS: u32 = 64;
}

/// What pco is asked to look for. Looking by itself takes it two to four times as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// Multipliers, quantisation and differences, by pco's own search.
    All,
    /// The numbers as they are, after this many rounds of differences.
    Order(usize),
}

/// Appends chunk metadata and one page; `None`, with `out` as it was, where pco declines (no values, or too many).
pub(super) fn encode<T: PcoNumber>(values: &[T], search: Search, out: &mut Vec<u8>) -> Option<()> {
    if values.is_empty() || values.len() > COUNT_MAX {
        return None;
    }
    let start = out.len();
    let config =
        ChunkConfig::default().with_compression_level(LEVEL).with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let config = match search {
        Search::All => config,
        Search::Order(0) => config.with_mode_spec(ModeSpec::Classic).with_delta_spec(DeltaSpec::NoOp),
        Search::Order(order) => {
            config.with_mode_spec(ModeSpec::Classic).with_delta_spec(DeltaSpec::TryConsecutive(order))
        }
    };
    let written = float_env::with_default(|| {
        let mut chunk = FileCompressor::default().chunk_compressor(values, &config)?;
        chunk.write_meta(&mut *out)?;
        chunk.write_page(0, &mut *out)?;
        Ok::<_, pco::errors::PcoError>(())
    });
    if written.is_err() || check_head(&out[start..], T::BITS, values.len()).is_err() {
        out.truncate(start);
        return None;
    }
    Some(())
}

/// Fills `out` from bytes that hold nothing else.
pub(super) fn decode<T: PcoNumber>(bytes: &[u8], out: &mut [T]) -> Result<(), Malformed> {
    if out.is_empty() || out.len() > COUNT_MAX {
        return Err(BAD);
    }
    check_head(bytes, T::BITS, out.len())?;
    // Q: Why catch a panic? A: the crate means to answer damage with an error, but it is not ours to prove, and a
    // decoder here never panics. What it leaves in `out` is plain numbers, whole in any case.
    let decoded = catch_unwind(AssertUnwindSafe(|| float_env::with_default(|| decode_checked(bytes, out))));
    decoded.unwrap_or(Err(BAD))
}

fn decode_checked<T: PcoNumber>(bytes: &[u8], out: &mut [T]) -> Result<(), Malformed> {
    let (file, _) = FileDecompressor::new(&HEADER[..]).map_err(|_| BAD)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(bytes).map_err(|_| BAD)?;
    let mut page = chunk.page_decompressor(rest, out.len()).map_err(|_| BAD)?;
    let progress = page.read(out).map_err(|_| BAD)?;
    if progress.n_processed != out.len() || !progress.finished || !page.into_src().is_empty() {
        return Err(BAD);
    }
    Ok(())
}

/// Refuses what the encoder never writes and what would make pco allocate by an untrusted number: dictionaries,
/// convolutions, and look-back windows wider than the column.
fn check_head(bytes: &[u8], latent_bits: u32, count: usize) -> Result<(), Malformed> {
    let mut head = [0; 16];
    let len = bytes.len().min(16);
    head[..len].copy_from_slice(&bytes[..len]);
    let head = u128::from_le_bytes(head);
    let mode_bits = match head & 0xF {
        0 => 4,
        1 | 2 => 4 + latent_bits,
        3 => 4 + 8,
        _ => return Err(Malformed("pco mode that is not written here")),
    };
    match head >> mode_bits & 0xF {
        0 | 1 => Ok(()),
        2 => {
            let window_log = 1 + (head >> (mode_bits + 4) & 0x1F) as u32;
            let needed = (usize::BITS - (count - 1).leading_zeros()).clamp(4, 15);
            if window_log <= needed { Ok(()) } else { Err(Malformed("pco window wider than the column")) }
        }
        _ => Err(Malformed("pco delta encoding that is not written here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_that_is_not_stored_is_the_one_that_is_written() {
        let mut header = Vec::new();
        FileCompressor::default().write_header(&mut header).unwrap();
        assert_eq!(header, HEADER);
    }

    #[test]
    fn subnormals_survive_a_flushing_thread() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from_bits(i * 3)).collect();
        let narrow: Vec<f32> = (0..1000).map(|i| f32::from_bits(i * 3)).collect();
        let (mut calm, mut flushed) = (Vec::new(), Vec::new());
        encode(&values, Search::All, &mut calm).unwrap();
        float_env::with_flush_to_zero(|| {
            encode(&values, Search::All, &mut flushed).unwrap();
            let mut back = vec![0_f64; 1000];
            decode(&calm, &mut back).unwrap();
            assert!(back.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
            let mut bytes = Vec::new();
            encode(&narrow, Search::All, &mut bytes).unwrap();
            let mut back = vec![0_f32; 1000];
            decode(&bytes, &mut back).unwrap();
            assert!(back.iter().zip(&narrow).all(|(a, b)| a.to_bits() == b.to_bits()));
        });
        assert_eq!(calm, flushed);
    }

    #[test]
    fn counts_and_leftovers_are_checked() {
        let values: Vec<u32> = (0..500).map(|i| i * i % 97).collect();
        let mut bytes = Vec::new();
        encode(&values, Search::All, &mut bytes).unwrap();
        let mut out = vec![0_u32; 500];
        assert_eq!(decode(&bytes, &mut out), Ok(()));
        assert_eq!(out, values);
        bytes.push(0);
        assert!(decode(&bytes, &mut out).is_err());
        bytes.pop();
        bytes.pop();
        assert!(decode(&bytes, &mut out).is_err());
        assert!(decode::<u32>(&bytes, &mut []).is_err());
        assert_eq!(encode::<u32>(&[], Search::All, &mut bytes), None);
    }

    #[test]
    fn heads_that_would_allocate_are_refused() {
        // Mode 4 is a dictionary whose length follows; a look-back window may be 2^24 wide.
        for head in [[0x04, 0xFF, 0xFF, 0xFF], [0x20, 0x17, 0, 0], [0x30, 0, 0, 0]] {
            let mut bytes = vec![0; 64];
            bytes[..4].copy_from_slice(&head);
            assert!(check_head(&bytes, 64, 1024).is_err(), "{head:?}");
        }
    }
}
