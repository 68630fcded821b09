//! Opens text files as UTF-8: gzip is unpacked, UTF-16 and byte order marks are recognised by the first bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;

/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 18;

/// A text's bytes in UTF-8, as far as it is text. Offsets in it are those of the unpacked and decoded text.
pub(crate) type Text = BufReader<Box<dyn Read>>;

/// The next bytes of a file. What comes before the place where a gzip file was cut, or where the disk failed, is
/// intact. Then no more bytes follow, and `cut` has the error.
pub(crate) fn or_cut<T>(next: Result<Option<T>>, cut: &mut Option<std::io::Error>) -> Option<T> {
    next.unwrap_or_else(|error| {
        *cut = Some(error);
        None
    })
}

/// Opens a text.
///
/// # Errors
/// Those of the file system.
pub(crate) fn open(path: &Path) -> Result<Text> {
    let mut file = File::open(path)?;
    let mut head = Vec::with_capacity(GZIP.len());
    (&mut file).take(GZIP.len() as u64).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let bytes: Box<dyn Read> = if head == GZIP { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    // The decoder passes everything on as it is unless a mark at the start says otherwise.
    let decoder = DecodeReaderBytesBuilder::new().bom_override(true).strip_bom(true).utf8_passthru(true).build(bytes);
    Ok(BufReader::with_capacity(BUFFER_BYTES, Box::new(decoder)))
}

/// The first bytes of a text, at most so many; fewer where it cannot be read further.
///
/// # Errors
/// Those of the file system, and of gzip that is damaged from the start.
pub(crate) fn head(path: &Path, bytes_max: usize) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    match open(path)?.take(bytes_max as u64).read_to_end(&mut head) {
        Err(error) if head.is_empty() => Err(error),
        _ => Ok(head),
    }
}

/// Reads a line into `line`, its line break included, unless it is longer than `bytes_max`. Says how many bytes it
/// read.
///
/// # Errors
/// Those of the source.
pub(crate) fn read_line(text: &mut impl BufRead, line: &mut Vec<u8>, bytes_max: usize) -> Result<usize> {
    line.clear();
    text.take(bytes_max as u64).read_until(b'\n', line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn texts_are_read_in_every_dress() {
        let dir = tempfile::tempdir().unwrap();
        let plain = "step,löss\n1,2\n";
        let utf16 = |big: bool| -> Vec<u8> {
            let units = std::iter::once(0xfeff).chain(plain.encode_utf16());
            units.flat_map(|unit| if big { unit.swap_bytes() } else { unit }.to_le_bytes()).collect()
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(plain.as_bytes()).unwrap();
        let with_mark = [b"\xef\xbb\xbf", plain.as_bytes()].concat();
        for bytes in [plain.as_bytes().to_vec(), with_mark, utf16(false), utf16(true), gzip.finish().unwrap()] {
            let path = dir.path().join("a.csv");
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(head(&path, 1 << 10).unwrap(), plain.as_bytes());
        }
        // Bytes that are not text come as they are.
        let path = dir.path().join("b.csv");
        std::fs::write(&path, b"a\xff\x00\n").unwrap();
        assert_eq!(head(&path, 100).unwrap(), b"a\xff\x00\n");
    }
}
