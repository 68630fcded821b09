//! Lines of a text file with their byte offsets, each of bounded length.

use std::io::{BufRead, BufReader, Read, Result};

/// Longer lines are not kept.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 20;

/// One line, without its line break.
pub(crate) struct Line<'a> {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its bytes; empty when it is too long.
    pub(crate) bytes: &'a [u8],
    /// Whether a line break ends it. A machine's log without one was cut.
    pub(crate) ended: bool,
    /// Whether it has more than [`LINE_BYTES_MAX`] bytes.
    pub(crate) too_long: bool,
}

/// Reads lines one after the other.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    offset: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Lines<R> {
    /// Lines from the source's present position, which counts as offset 0.
    pub(crate) fn new(source: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 18, source), offset: 0, buffer: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>> {
        let offset = self.offset;
        self.buffer.clear();
        let read = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.offset += read as u64;
        let mut ended = self.buffer.last() == Some(&b'\n');
        let too_long = !ended && self.buffer.len() > LINE_BYTES_MAX;
        if too_long {
            ended = self.skip_line()?;
            self.buffer = Vec::new();
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        }
        if self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        Ok(Some(Line { offset, bytes: &self.buffer, ended, too_long }))
    }

    /// Goes behind the next line break; says whether there was one.
    fn skip_line(&mut self) -> Result<bool> {
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let found = bytes.iter().position(|b| *b == b'\n');
            let used = found.map_or(bytes.len(), |at| at + 1);
            self.reader.consume(used);
            self.offset += used as u64;
            if found.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn lines_know_their_offset_and_whether_they_ended() {
        let mut lines = Lines::new(Cursor::new(b"ab\r\n\nc".to_vec()));
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((line.offset, line.bytes.to_vec(), line.ended));
        }
        assert_eq!(seen, [(0, b"ab".to_vec(), true), (4, vec![], true), (5, b"c".to_vec(), false)]);
    }

    #[test]
    fn a_line_too_long_is_passed_over() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX + 10];
        bytes.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(Cursor::new(bytes));
        assert!(lines.next().unwrap().unwrap().too_long);
        let line = lines.next().unwrap().unwrap();
        assert_eq!((line.offset, line.bytes), (LINE_BYTES_MAX as u64 + 11, &b"next"[..]));
    }
}
