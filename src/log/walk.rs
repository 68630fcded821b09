//! Walks the bytes of a log from frame to frame, and tells bytes that were torn from bytes that were changed.

use std::path::Path;
use std::sync::Arc;

use crate::base::bytes::Malformed;
use crate::base::checksum::{changed_bytes, crc32};
use crate::base::control;
use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::frame::{self, HEADER_LEN, Header, Kind, MAGIC, NoHeader, SECTOR};
use crate::log::record::{Batch, LOG_VERSION, NoStart, Record, Start};
use crate::storage::File;

/// Bytes read at once: sequentially, and after skipping a row group.
const WINDOW: usize = 64 << 10;
const WINDOW_AFTER_JUMP: usize = 1 << 10;

/// Longest contents that are tested for a one-byte change; such frames are written at once.
const ONE_BYTE_OF: u32 = 64 << 10;
/// The end of every row group, followed by one byte for its version.
const ROW_GROUP_END: [u8; 7] = *b"SWgroup";

/// A range of bytes that do not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSpan {
    /// First byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// What should be there.
    pub what: &'static str,
    /// Whether the bytes were changed after they were written: no power loss leaves such bytes.
    pub changed: bool,
}

/// One frame of the walk.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it begins in the log.
    pub offset: u64,
    /// Its header.
    pub header: Header,
    /// What it holds.
    pub payload: Payload,
}

impl Frame {
    /// Where its payload begins, and its length.
    #[must_use]
    pub fn extent(&self) -> (u64, u64) {
        (self.offset + HEADER_LEN as u64, u64::from(self.header.len))
    }

    /// One past its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        let (at, len) = self.extent();
        at + len
    }

    /// One past the sequence number of its last point.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.header.sequence + u64::from(self.header.count)
    }

    /// Whether it has points.
    #[must_use]
    pub fn has_points(&self) -> bool {
        self.header.count > 0
    }

    /// Its records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        if let Payload::Records(batch) = &self.payload { &batch.records } else { &[] }
    }

    /// The number of points that must precede it, if it only counts them.
    pub(super) fn mentions(&self) -> Option<u64> {
        let counts = matches!(self.payload, Payload::Records(_)) && !self.has_points();
        (counts || matches!(self.payload, Payload::End)).then_some(self.header.sequence)
    }
}

/// What a frame holds.
#[derive(Clone, Debug)]
pub enum Payload {
    /// See [`Kind::Start`].
    Start(Start),
    /// See [`Kind::Records`].
    Records(Arc<Batch>),
    /// See [`Kind::RowGroup`]; the row group is read from its place.
    RowGroup,
    /// See [`Kind::End`].
    End,
    /// Damaged, but the header verifies: what is missing is known.
    Lost,
}

/// A walk through the file of a log, up to the length that it had at the beginning.
pub(super) struct Walk<'a> {
    file: &'a dyn File,
    path: &'a Path,
    pub(super) len: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a dyn File, path: &'a Path) -> Result<Self> {
        let len = file.len().map_err(Error::io("read", path))?;
        Ok(Self { file, path, len, window: Vec::new(), window_at: 0 })
    }

    /// Up to `len` bytes at `offset`; fewer at the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let within = offset.checked_sub(self.window_at).is_some_and(|at| at + len as u64 <= self.window.len() as u64);
        if !within {
            let goes_on = offset.checked_sub(self.window_at).is_some_and(|at| at <= self.window.len() as u64);
            let ahead = if goes_on { WINDOW } else { WINDOW_AFTER_JUMP };
            self.window.resize(len.max(ahead.min(left)), 0);
            let got = self.file.read_at(&mut self.window, offset).map_err(Error::io("read", self.path))?;
            self.window.truncate(got);
            self.window_at = offset;
        }
        let at = (offset - self.window_at) as usize;
        Ok(&self.window[at..(at + len).min(self.window.len())])
    }

    pub(super) fn start(&mut self) -> Result<(Start, u64)> {
        let path = self.path;
        let corrupt = |what: &str| Error::corrupt(path, 0, what);
        let header = self.header(WriterId(0), 0)?.map_err(|_| corrupt("a log's first frame"))?;
        if header.kind != Kind::Start {
            return Err(corrupt("a log's first frame has another kind"));
        }
        match self.payload(WriterId(0), 0, header)? {
            Some(Payload::Start(start)) => Ok((start, (HEADER_LEN as u64) + u64::from(header.len))),
            _ => Err(corrupt("a log's first frame")),
        }
    }

    /// All frames after the first, and the ranges between them that do not verify.
    ///
    /// A power loss may leave of unsynced data nothing, a part, zeros or, on some file systems, older bytes. It never
    /// leaves all but one byte, except the last byte of a part. So a range was *changed* if its header is valid except
    /// for one byte, or if its header is valid and its contents are valid except for one byte, and that byte does not
    /// start a run of zeros that may be a lost part. Long contents have too many candidates for that byte; they were
    /// changed if the whole frame lies within the file, none of its sectors is missing, and they still look like such
    /// contents.
    pub(super) fn frames(&mut self, writer: WriterId, from: u64) -> Result<(Vec<Frame>, Vec<BadSpan>)> {
        let (mut frames, mut bad) = (Vec::new(), Vec::new());
        let mut offset = from;
        while offset < self.len {
            let header = match self.header(writer, offset)? {
                Ok(header) => header,
                Err(why) => {
                    let next = self.resync(writer, offset + 1)?;
                    let what = match why {
                        NoHeader::Zero => "zeros in place of a frame",
                        NoHeader::Short => "a frame cut short",
                        NoHeader::Changed | NoHeader::Foreign => "the header of a frame",
                    };
                    bad.push(BadSpan { offset, len: next - offset, what, changed: why == NoHeader::Changed });
                    offset = next;
                    continue;
                }
            };
            let len = HEADER_LEN as u64 + u64::from(header.len);
            let payload = self.payload(writer, offset, header)?;
            if payload.is_none() {
                let (len, what) = (len.min(self.len - offset), "the contents of a frame");
                bad.push(BadSpan { offset, len, what, changed: self.is_changed(writer, offset, header)? });
            }
            frames.push(Frame { offset, header, payload: payload.unwrap_or(Payload::Lost) });
            offset += len;
        }
        Ok((frames, bad))
    }

    /// Whether bad contents of a frame were changed after they were written.
    pub(super) fn is_changed(&mut self, writer: WriterId, offset: u64, header: Header) -> Result<bool> {
        let from = offset + HEADER_LEN as u64;
        let end = from + u64::from(header.len);
        if end > self.len {
            return Ok(false);
        }
        // A sector that never reached the disk.
        let mut at = from;
        while at < end {
            let to = (at + 1).next_multiple_of(SECTOR).min(end);
            if self.bytes(at, (to - at) as usize)?.iter().all(|&byte| byte == 0) {
                return Ok(false);
            }
            at = to;
        }
        let seed = frame::seed(writer, offset);
        if header.len <= ONE_BYTE_OF {
            let computed = self.crc(seed, from, end)?;
            let contents = self.bytes(from, header.len as usize)?;
            let mut changed = changed_bytes(header.payload_crc, computed, contents.len());
            return Ok(changed.any(|at| contents.get(at).is_some() && !frame::may_be_lost(contents, from, at)));
        }
        // There are too many candidate bytes. Test instead whether these look like complete contents, not like older
        // data.
        Ok(match header.kind {
            Kind::RowGroup => {
                let trailer = self.bytes(end - ROW_GROUP_END.len() as u64 - 1, ROW_GROUP_END.len())?;
                trailer.iter().zip(ROW_GROUP_END).filter(|(byte, expected)| **byte != *expected).count() <= 1
            }
            Kind::Records => {
                let contents = self.bytes(from, header.len as usize)?;
                let batch = control::decode::<Batch>(contents);
                batch.is_ok_and(|batch| batch.rows.len() == header.count as usize)
                    && contents.last().is_some_and(|&byte| byte != 0)
            }
            Kind::Start | Kind::End => false,
        })
    }

    /// The header at this offset.
    pub(super) fn header(&mut self, writer: WriterId, offset: u64) -> Result<std::result::Result<Header, NoHeader>> {
        Ok(frame::decode(self.bytes(offset, HEADER_LEN)?, writer, offset))
    }

    /// Whether a killed writer may have left this incomplete frame, which does not verify up to `end`.
    pub(super) fn may_be_unfinished(&mut self, writer: WriterId, offset: u64, end: u64) -> Result<bool> {
        Ok(match self.header(writer, offset)? {
            Ok(header) => offset + HEADER_LEN as u64 + u64::from(header.len) > self.len,
            // Of long frames the header is written last.
            Err(NoHeader::Zero) => end >= self.len,
            Err(NoHeader::Short) => true,
            Err(NoHeader::Changed | NoHeader::Foreign) => false,
        })
    }

    /// The next offset from `from` on at which a header verifies, or the end of the file.
    fn resync(&mut self, writer: WriterId, from: u64) -> Result<u64> {
        let mut offset = from;
        while offset < self.len {
            let bytes = self.bytes(offset, WINDOW)?;
            let Some(at) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
                // Keep what may be the beginning of a magic.
                let step = bytes.len().saturating_sub(MAGIC.len() - 1).max(1);
                offset += step as u64;
                continue;
            };
            offset += at as u64;
            if self.header(writer, offset)?.is_ok() {
                return Ok(offset);
            }
            offset += 1;
        }
        Ok(self.len)
    }

    /// The verified payload; of a row group only its kind. `None` if it does not verify.
    fn payload(&mut self, writer: WriterId, offset: u64, header: Header) -> Result<Option<Payload>> {
        let at = offset + HEADER_LEN as u64;
        let len = header.len as usize;
        if at + u64::from(header.len) > self.len {
            return Ok(None);
        }
        if header.kind == Kind::RowGroup {
            return Ok(Some(Payload::RowGroup));
        }
        let bytes = self.bytes(at, len)?;
        if bytes.len() < len || crc32(frame::seed(writer, offset), bytes) != header.payload_crc {
            return Ok(None);
        }
        let payload = match header.kind {
            Kind::Start => match Start::decode(bytes) {
                Err(NoStart::Newer(found)) => {
                    let (path, supported) = (self.path.to_owned(), LOG_VERSION);
                    return Err(Error::NewerFormat { path, found, supported });
                }
                Err(NoStart::Malformed(malformed)) => Err(malformed),
                Ok(start) => Ok(Payload::Start(start)),
            },
            Kind::Records => control::decode::<Batch>(bytes)
                .and_then(
                    |batch| if batch.rows.len() == header.count as usize { Ok(batch) } else { Err(Malformed("rows")) },
                )
                .map(|batch| Payload::Records(Arc::new(batch))),
            Kind::End | Kind::RowGroup if bytes.is_empty() => Ok(Payload::End),
            Kind::End | Kind::RowGroup => Err(Malformed("an end with contents")),
        };
        Ok(payload.ok())
    }

    /// Verifies all bytes of row groups after `from`, which a crash may have torn. Earlier ones were durable, and their
    /// pages are verified when read.
    pub(super) fn check_row_groups(
        &mut self,
        writer: WriterId,
        from: u64,
        frames: &[Frame],
        bad: &mut Vec<BadSpan>,
    ) -> Result<()> {
        for frame in frames.iter().filter(|frame| matches!(frame.payload, Payload::RowGroup)) {
            let ((start, _), end) = (frame.extent(), frame.end());
            if end > from && self.crc(frame::seed(writer, frame.offset), start, end)? != frame.header.payload_crc {
                let (len, what) = (end - frame.offset, "the contents of a row group");
                let changed = self.is_changed(writer, frame.offset, frame.header)?;
                bad.push(BadSpan { offset: frame.offset, len, what, changed });
            }
        }
        bad.sort_by_key(|span| span.offset);
        Ok(())
    }

    fn crc(&mut self, seed: u32, mut from: u64, end: u64) -> Result<u32> {
        let mut crc = seed;
        while from < end {
            let want = usize::try_from(end - from).map_or(WINDOW, |left| left.min(WINDOW));
            let bytes = self.bytes(from, want)?;
            if bytes.is_empty() {
                break;
            }
            crc = crc32(crc, bytes);
            from += bytes.len() as u64;
        }
        Ok(crc)
    }
}
