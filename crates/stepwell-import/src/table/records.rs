//! RFC 4180 records of a text: where each begins, whether it ended, and its fields. A record may span lines within
//! quotes.

use std::io::{BufRead, Result};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::lines::LINE_BYTES_MAX;

/// Records with more fields are not kept.
const FIELDS_MAX: usize = 1 << 20;

/// Reads records one after the other.
pub(crate) struct Records<R> {
    text: R,
    core: Reader,
    delimiter: u8,
    place: Place,
    offset: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    record: Shape,
    /// Gives the last record once more.
    again: bool,
    /// How many records were no UTF-8.
    recoded: u64,
}

/// What is known of a record beside its fields.
#[derive(Clone, Copy, Default)]
struct Shape {
    offset: u64,
    fields: usize,
    ended: bool,
    too_long: bool,
    malformed: bool,
    lines: u64,
}

/// Where in a field a byte stands.
#[derive(Clone, Copy)]
enum Place {
    /// At its start.
    Start,
    /// In a field without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes: the closing one, or the first of two that stand for one.
    Behind,
}

/// Follows the quotes of some bytes; says whether text stands behind a closing quote, where it cannot be.
fn scan(place: &mut Place, bytes: &[u8], delimiter: u8) -> bool {
    let mut malformed = false;
    for &byte in bytes {
        *place = match (*place, byte) {
            (Place::Quoted, b'"') => Place::Behind,
            (Place::Quoted, _) | (Place::Start | Place::Behind, b'"') => Place::Quoted,
            (_, b'\n' | b'\r') => Place::Start,
            (_, byte) if byte == delimiter => Place::Start,
            (Place::Behind, b' ' | b'\t') => Place::Behind,
            (Place::Behind, _) => {
                malformed = true;
                Place::Plain
            }
            (Place::Start | Place::Plain, _) => Place::Plain,
        };
    }
    malformed
}

/// One record.
#[derive(Clone, Copy)]
pub(crate) struct Record<'r> {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Whether a line break ends it. The last record of a file that is being written may be cut.
    pub(crate) ended: bool,
    /// Whether it has more bytes or fields than are kept; it has no fields then.
    pub(crate) too_long: bool,
    /// Whether text stands behind a closing quote: a quote is missing, and the fields may not be what they seem.
    pub(crate) malformed: bool,
    /// How many lines it spans.
    pub(crate) lines: u64,
    bytes: &'r [u8],
    ends: &'r [usize],
}

impl<'r> Record<'r> {
    /// How many fields it has.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field without its quotes; empty past the last.
    pub(crate) fn get(&self, at: usize) -> &'r [u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or_default());
        self.ends.get(at).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }

    /// A field's text without blanks around it.
    pub(crate) fn text(&self, at: usize) -> &'r str {
        self.untrimmed(at).trim()
    }

    /// A field's text.
    pub(crate) fn untrimmed(&self, at: usize) -> &'r str {
        // A record that is no UTF-8 was recoded when it was read.
        std::str::from_utf8(self.get(at)).unwrap_or("\u{fffd}")
    }

    /// All fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'r str> + '_ {
        (0..self.len()).map(|at| self.text(at))
    }
}

impl<R: BufRead> Records<R> {
    /// Records from the text's present position, which is `offset`.
    pub(crate) fn new(text: R, delimiter: u8, offset: u64) -> Self {
        Self {
            text,
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            place: Place::Start,
            offset,
            bytes: vec![0; 1 << 10],
            ends: vec![0; 64],
            record: Shape::default(),
            again: false,
            recoded: 0,
        }
    }

    /// Gives the last record once more at the next call of [`Self::next`].
    pub(crate) fn unread(&mut self) {
        self.again = true;
    }

    /// How many records were no UTF-8, and so were read as Windows-1252, which has Latin-1 in it.
    pub(crate) fn recoded(&self) -> u64 {
        self.recoded
    }

    /// Makes UTF-8 of the record that was read.
    fn recode(&mut self) {
        let (ends, mut from) = (&mut self.ends[..self.record.fields], 0);
        let mut text = String::new();
        for end in ends {
            text.extend(self.bytes[from..*end].iter().map(|byte| windows_1252(*byte)));
            from = std::mem::replace(end, text.len());
        }
        self.bytes.truncate(0);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.resize(self.bytes.capacity().max(1 << 10), 0);
        self.recoded += 1;
    }

    /// The next record as the names of columns; none at the end.
    pub(crate) fn header(&mut self) -> Result<Vec<String>> {
        Ok(self.next()?.map(|record| record.iter().map(str::to_owned).collect()).unwrap_or_default())
    }

    /// The next record that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>> {
        if !std::mem::take(&mut self.again) {
            loop {
                if !self.read()? {
                    return Ok(None);
                }
                let blank = self.record.fields == 1 && self.bytes[..self.ends[0]].trim_ascii().is_empty();
                if !blank || self.record.too_long {
                    break;
                }
            }
        }
        let Shape { offset, fields, ended, too_long, malformed, lines } = self.record;
        let ends = &self.ends[..if too_long { 0 } else { fields }];
        Ok(Some(Record { offset, ended, too_long, malformed, lines, bytes: &self.bytes, ends }))
    }

    /// Reads a record; says whether there was one.
    fn read(&mut self) -> Result<bool> {
        // Line breaks before a record are not part of it.
        loop {
            let buffer = self.text.fill_buf()?;
            let breaks = buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            if breaks == 0 {
                break;
            }
            self.text.consume(breaks);
            self.offset += breaks as u64;
        }
        self.record = Shape { offset: self.offset, ..Shape::default() };
        self.place = Place::Start;
        let mut written = 0;
        loop {
            let buffer = self.text.fill_buf()?;
            let at_end = buffer.is_empty();
            let (result, read, bytes, fields) =
                self.core.read_record(buffer, &mut self.bytes[written..], &mut self.ends[self.record.fields..]);
            self.record.lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.record.malformed |= scan(&mut self.place, &buffer[..read], self.delimiter);
            self.text.consume(read);
            self.offset += read as u64;
            written += bytes;
            self.record.fields += fields;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.bytes.len() < LINE_BYTES_MAX => {
                    self.bytes.resize(self.bytes.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < FIELDS_MAX => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                // Its rest is read over what is there.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.record.too_long = true;
                    (written, self.record.fields) = (0, 0);
                }
                ReadRecordResult::Record => {
                    self.record.ended = !at_end;
                    if !self.record.too_long && std::str::from_utf8(&self.bytes[..written]).is_err() {
                        self.recode();
                    }
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }
}

/// A byte of the encoding that most programs mean by Latin-1 and ANSI: ISO 8859-1 but for 27 places.
fn windows_1252(byte: u8) -> char {
    const PLACES: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    byte.checked_sub(0x80).and_then(|at| PLACES.get(usize::from(at)).copied()).unwrap_or(char::from(byte))
}

/// How many fields a line has with each delimiter; the delimiter that gives the most, the first of equal ones.
pub(crate) fn delimiter_of(line: &[u8]) -> u8 {
    let fields = |delimiter: u8| {
        let mut records = Records::new(line, delimiter, 0);
        records.next().ok().flatten().map_or(0, |record| record.len())
    };
    let mut best = (b',', fields(b','));
    for delimiter in [b'\t', b';', b'|'] {
        let count = fields(delimiter);
        if count > best.1 {
            best = (delimiter, count);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(u64, Vec<String>, bool)> {
        // A reader that gives a byte at a time finds every seam.
        let mut records = Records::new(std::io::BufReader::with_capacity(1, text.as_bytes()), b',', 0);
        let mut seen = Vec::new();
        while let Some(record) = records.next().unwrap() {
            seen.push((record.offset, record.iter().map(str::to_owned).collect(), record.ended));
        }
        seen
    }

    #[test]
    fn records_span_lines_within_quotes() {
        let text = "a,b\r\n\r\n1,\"x\n\"\"y\"\"\"\n  \n2,z";
        let fields = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            all(text),
            [(0, fields(&["a", "b"]), true), (7, fields(&["1", "x\n\"y\""]), true), (22, fields(&["2", "z"]), false)]
        );
        assert_eq!(all("a,\"open\nb,c\n"), [(0, fields(&["a", "open\nb,c"]), false)]);
        assert_eq!(all("a\rb\r"), [(0, fields(&["a"]), true), (2, fields(&["b"]), true)]);
        assert_eq!(all(""), []);
    }

    #[test]
    fn a_record_in_an_older_encoding_is_recoded() {
        let text = b"step,L\xe4nge,\x80\n1,\"\xfc\n\",3\n2,\xc3\xa4,5\n".as_slice();
        let mut records = Records::new(text, b',', 0);
        for (expected, recoded) in [(["step", "Länge", "€"], 1), (["1", "ü", "3"], 2), (["2", "ä", "5"], 2)] {
            let record = records.next().unwrap().unwrap();
            assert_eq!(record.iter().collect::<Vec<_>>(), expected);
            assert_eq!(records.recoded(), recoded);
        }
    }

    #[test]
    fn a_record_too_long_is_passed_over() {
        let text = format!("{}\nnext,1\n", "x,".repeat(FIELDS_MAX + 5));
        let mut records = Records::new(text.as_bytes(), b',', 0);
        let long = records.next().unwrap().unwrap();
        assert!(long.too_long && long.len() == 0);
        records.unread();
        assert!(records.next().unwrap().unwrap().too_long, "the same once more");
        let next = records.next().unwrap().unwrap();
        assert_eq!((next.text(0), next.text(1), next.text(2), next.lines), ("next", "1", "", 1));
    }

    #[test]
    fn the_delimiter_is_the_one_that_divides_most() {
        for (line, delimiter) in [("a,b;c,d", b','), ("a;b;c,d", b';'), ("a\tb", b'\t'), ("a|b|c", b'|'), ("a", b',')] {
            assert_eq!(delimiter_of(line.as_bytes()), delimiter, "{line}");
        }
        assert_eq!(delimiter_of(b"\"a,b,c\";d\n"), b';');
    }
}
