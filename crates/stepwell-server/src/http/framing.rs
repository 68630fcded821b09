//! Refuses requests whose end a proxy and this server might find at different places.
//!
//! The HTTP library serves a request that has both a `Content-Length` and a `Transfer-Encoding`, as RFC 9112 allows,
//! and hides the former. This module reads the bytes before the library does. It follows heads and bodies. If a head
//! can be read in two ways, it replaces the head's last byte with an invalid one. The library then answers 400 and
//! closes the connection. A head is ambiguous unless:
//!
//! 1. Each of its lines ends with CR LF, never with LF alone.
//! 2. It has at most one `Transfer-Encoding`, which says `chunked` and nothing else, and only in HTTP/1.1.
//! 3. Each `Content-Length` is digits; if there are two, they are equal; there is none beside a `Transfer-Encoding`.
//!
//! The library refuses everything else that is wrong with a request. Once it must have done so, this module stops
//! looking.

/// Bytes of a line that are examined. No line that matters here is longer.
const LINE_BYTES_MAX: usize = 256;
/// Replaces a head's last byte; no valid head can have it there.
const SPOILT: u8 = 0;

/// How a request's body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In the lines of a head.
    #[default]
    Head,
    /// In a body, or in a chunk with the line break behind it: so many bytes are to come, and whether chunks follow.
    Bytes(u64, bool),
    /// In the line that says how long a chunk is.
    Size,
    /// Behind the last chunk.
    Trailer,
    /// Behind what the library refuses: it closes the connection.
    Lost,
}

/// What a head says of its body so far.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// Whether the request line is over.
    begun: bool,
    is_1_1: bool,
    length: Option<u64>,
    chunked: bool,
    /// Whether it can be read in two ways.
    unclear: bool,
}

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    said: Said,
    /// The beginning of the line, without its break.
    line: Vec<u8>,
    /// How long the line is.
    len: usize,
    /// Its last byte.
    last: u8,
}

impl Framing {
    /// Examines the next bytes, and invalidates heads that can be read in two ways.
    pub(crate) fn look(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let done = match self.state {
                State::Lost => return,
                State::Bytes(left, chunks) => {
                    let done = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - done as u64;
                    self.state = match (left, chunks) {
                        (0, false) => State::Head,
                        (0, true) => State::Size,
                        (left, chunks) => State::Bytes(left, chunks),
                    };
                    done
                }
                State::Head | State::Size | State::Trailer => self.line(bytes),
            };
            bytes = bytes.get_mut(done..).unwrap_or_default();
        }
    }

    /// Takes bytes up to the end of a line; gives how many.
    fn line(&mut self, bytes: &mut [u8]) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let text = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&text[..text.len().min(room)]);
        self.len += text.len();
        self.last = text.last().copied().unwrap_or(self.last);
        let Some(end) = end else { return bytes.len() };
        let has_cr = self.len > 0 && self.last == b'\r';
        if self.line.len() == self.len && has_cr {
            self.line.pop();
        }
        let line = std::mem::take(&mut self.line);
        let is_empty = self.len == usize::from(has_cr);
        (self.len, self.last) = (0, 0);
        match self.state {
            State::Head => {
                self.said.unclear |= !has_cr && (self.said.begun || !is_empty);
                self.head_line(&line, is_empty);
                if self.state == State::Lost || !has_cr && self.said.unclear {
                    self.state = State::Lost;
                    bytes[end] = SPOILT;
                }
            }
            State::Size => self.state = chunk(&line).filter(|_| has_cr).unwrap_or(State::Lost),
            State::Trailer if is_empty => self.state = State::Head,
            _ => {}
        }
        self.line = line;
        self.line.clear();
        end + 1
    }

    /// Takes a line of a head.
    fn head_line(&mut self, line: &[u8], is_empty: bool) {
        if !self.said.begun {
            // Line breaks before a request are passed over.
            self.said.begun = !is_empty;
            // An address may be longer than what is looked at; the library knows its version then.
            self.said.is_1_1 = line.len() == LINE_BYTES_MAX || line.ends_with(b" HTTP/1.1");
            return;
        }
        if is_empty {
            let said = std::mem::take(&mut self.said);
            self.state = match (said.length, said.chunked) {
                _ if said.unclear => State::Lost,
                (Some(_), true) => State::Lost,
                (None, true) if !said.is_1_1 => State::Lost,
                (None, true) => State::Size,
                (Some(0) | None, false) => State::Head,
                (Some(length), false) => State::Bytes(length, false),
            };
            return;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.said.unclear |= self.said.chunked || !value.eq_ignore_ascii_case(b"chunked");
            self.said.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = digits(value);
            self.said.unclear |= length.is_none() || self.said.length.is_some_and(|known| Some(known) != length);
            self.said.length = Some(length.unwrap_or_default());
        }
    }
}

fn digits(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What follows the line before a chunk.
fn chunk(line: &[u8]) -> Option<State> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
    Some(if size == 0 { State::Trailer } else { State::Bytes(size.saturating_add(2), true) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection with these bytes is spoilt, the same wherever it is cut.
    fn spoils(bytes: &str) -> bool {
        let all = |cut: usize| {
            let mut framing = Framing::default();
            let mut bytes = bytes.as_bytes().to_vec();
            for part in bytes.chunks_mut(cut) {
                framing.look(part);
            }
            bytes.contains(&SPOILT)
        };
        let whole = all(bytes.len());
        assert!((1..9).all(|cut| all(cut) == whole), "{bytes:?}");
        whole
    }

    #[test]
    fn heads_that_may_be_read_in_two_ways_are_spoilt() {
        let long = format!("x: {}\r\n", "a".repeat(1000));
        for head in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length : 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\nx: 1\r\n",
            "x: 1\n",
        ] {
            assert!(spoils(&format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n")), "{head:?}");
            assert!(spoils(&format!("POST / HTTP/1.1\r\n{long}{head}{long}\r\n")), "{head:?}");
        }
        assert!(spoils("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(spoils("GET / HTTP/1.1\n\n"));
    }

    #[test]
    fn bodies_are_passed_over_and_what_follows_is_looked_at() {
        let both = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        let of_length = |body: &str| format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let in_chunks = |body: &str| {
            format!(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{body}\r\n1 \r\nx\r\n0\r\nT: \
                 1\r\n\r\n",
                body.len()
            )
        };
        let plain = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for before in [plain.to_owned(), of_length(both), in_chunks(both), of_length("")] {
            assert!(!spoils(&before), "{before:?}");
            assert!(!spoils(&format!("{before}{before}{plain}")), "{before:?}");
            assert!(spoils(&format!("{before}{plain}{both}")), "{before:?}");
        }
    }
}
