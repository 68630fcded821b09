//! The last page's codec is tried first for the next page of the same column: choosing costs more than encoding.

use super::id::ints::{NESTS, RAW};
use super::id::views::{FLOATS, INTS};
use super::views::View;
use super::{CodecId, Effort, Scratch, choose_floats, choose_ints, ints, nests};
use crate::base::bytes::Reader;

/// Pages that reuse a choice before it is made again, since another codec may have come to fit better.
const PAGES_MAX: u32 = 16;
/// Bits that exceptions of a view may cost a value, at 9 bytes each.
const EXCEPTIONS_ONE_IN: usize = 72;

/// How the last page of a column was encoded; only [`Effort::Fast`] uses it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    codec: CodecId,
    view: View,
    /// Bytes and values of the page for which the choice was made.
    bytes: usize,
    count: usize,
    pages: u32,
}

impl Last {
    /// Whether a page of `count` values in `bytes` bytes came out as short as the one for which the choice was made.
    fn fits(&self, bytes: usize, count: usize) -> bool {
        bytes * self.count <= (self.bytes + self.bytes / 16 + 8) * count
    }
}

impl Hint {
    pub(super) fn ints(&mut self, values: &[i64], effort: Effort, scratch: &mut Scratch, out: &mut Vec<u8>) -> CodecId {
        let start = out.len();
        if let Some(last) = self.take(effort) {
            if again(last.codec.ints(), values, scratch, out).is_some() && last.fits(out.len() - start, values.len()) {
                return last.codec;
            }
            out.truncate(start);
        }
        let codec = CodecId::new(INTS, choose_ints::encode(values, effort, &mut scratch.ints, out));
        self.note(codec, View::plain(0), out.len() - start, values.len());
        codec
    }

    /// The caller has set the default floating-point mode.
    pub(super) fn floats(
        &mut self,
        values: &[f64],
        effort: Effort,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> CodecId {
        let start = out.len();
        if let Some(last) = self.take(effort) {
            if see_again(&last, values, scratch, out).is_some() && last.fits(out.len() - start, values.len()) {
                return last.codec;
            }
            out.truncate(start);
        }
        let codec = choose_floats::encode(values, effort, &mut scratch.seen, &mut scratch.ints, out);
        self.last = None;
        if FLOATS.contains(&codec.view())
            && let Ok((view, _)) = View::read_head(codec.view(), &mut Reader::new(&out[start..]), values.len())
        {
            self.note(codec, view, out.len() - start, values.len());
        }
        codec
    }

    /// The codec to try, unless it is time to choose again.
    fn take(&mut self, effort: Effort) -> Option<Last> {
        let last = self.last.as_mut().filter(|last| effort == Effort::Fast && last.pages < PAGES_MAX)?;
        last.pages += 1;
        Some(*last)
    }

    fn note(&mut self, codec: CodecId, view: View, bytes: usize, count: usize) {
        self.last = Some(Last { codec, view, bytes, count, pages: 1 });
    }
}

/// Encodes integers by this codec; `None` if it cannot hold them or gains nothing.
fn again(codec: u8, values: &[i64], scratch: &mut Scratch, out: &mut Vec<u8>) -> Option<()> {
    if codec == RAW {
        None
    } else if NESTS.contains(&codec) {
        nests::encode(codec, values, Effort::Fast, &mut scratch.ints, out)
    } else {
        ints::encode(codec, values, &mut scratch.ints, out)
    }
}

fn see_again(last: &Last, values: &[f64], scratch: &mut Scratch, out: &mut Vec<u8>) -> Option<()> {
    let mut seen = std::mem::take(&mut scratch.seen);
    last.view.see(values, &mut seen);
    let done = (seen.exceptions.len() * EXCEPTIONS_ONE_IN <= values.len()).then(|| {
        last.view.put_head(&seen.exceptions, out);
        again(last.codec.ints(), &seen.ints, scratch, out)
    });
    scratch.seen = seen;
    done.flatten()
}
