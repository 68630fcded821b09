//! An open image: reads its bytes from memory or a file, verifies and decodes sections, and caches the results.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::crc32;
use crate::base::texts::Texts;
use crate::error::{Error, Result};
use crate::index::bitmap::Bitmap;
use crate::index::ints::Ints;
use crate::index::layout::{Directory, HEADER_LEN, Header, VERSION, form, run};
#[cfg(any(test, feature = "internals"))]
use crate::index::section::Section;
use crate::index::section::unpack;
use crate::storage::File;

/// An image and those of its sections that were decoded so far.
pub(crate) struct Image {
    source: Source,
    pub(crate) origin: PathBuf,
    pub(crate) directory: Directory,
    columns: Box<[OnceLock<Box<Column>>]>,
}

/// Where the bytes are.
pub(crate) enum Source {
    Memory(Vec<u8>),
    File(Box<dyn File>),
}

enum Column {
    Ints(Ints),
    Floats(Vec<f64>),
    /// `None` where the section is empty and so says nothing.
    Bits(Option<Bitmap>),
    Texts(Texts),
    Ids(Vec<u128>),
}

impl Image {
    /// Verifies header and directory. `pack` is the id and number of runs of the pack that the image must belong to;
    /// without it, the image must stand alone. Errors name `origin`.
    pub(crate) fn open(source: Source, origin: &Path, pack: Option<(u128, usize)>) -> Result<Self> {
        let image = Self::open_any(source, origin)?;
        let (number, rows) = pack.unwrap_or((0, image.directory.rows));
        if (image.directory.pack, image.directory.rows) != (number, rows) {
            return Err(image.damaged(0, Malformed("the index of another pack")));
        }
        // Keys are 16 bytes per run, here or in the pack, which bounds what a false count of runs can allocate.
        let keys = if pack.is_some() { 0 } else { image.directory.rows * 16 };
        if image.directory.sections[run::IDS].raw_len != keys {
            return Err(image.bad(run::IDS, "run keys of another count"));
        }
        Ok(image)
    }

    /// Verifies every byte of an image in a file, without its pack.
    pub(crate) fn verify_bytes(source: Source, origin: &Path) -> Result<()> {
        let image = Self::open_any(source, origin)?;
        (0..image.directory.sections.len()).try_for_each(|section| image.raw(section).map(|_| ()))
    }

    fn open_any(source: Source, origin: &Path) -> Result<Self> {
        let mut image =
            Self { source, origin: origin.to_owned(), directory: Directory::default(), columns: Box::default() };
        let len = image.image_len()?;
        let header = image.read(0, HEADER_LEN.min(usize::try_from(len).unwrap_or(HEADER_LEN)))?;
        let header = Header::read(&header, len).map_err(|why| image.damaged(0, why))?;
        if header.version > VERSION {
            return Err(Error::NewerFormat { path: origin.to_owned(), found: header.version, supported: VERSION });
        }
        if header.version != VERSION {
            return Err(image.damaged(8, Malformed("a version that is no longer read")));
        }
        let directory = image.read(header.offset, header.len)?;
        if crc32(0, &directory) != header.crc {
            return Err(image.damaged(header.offset, Malformed("a directory whose checksum does not match")));
        }
        image.directory =
            Directory::read(&directory, header.offset).map_err(|why| image.damaged(header.offset, why))?;
        image.directory.pack = header.pack;
        image.columns = image.directory.sections.iter().map(|_| OnceLock::new()).collect();
        Ok(image)
    }

    /// The runs' keys; empty in the image of a pack.
    pub(crate) fn ids(&self) -> Result<&[u128]> {
        let column = self.column(run::IDS, |image| {
            let raw = image.raw(run::IDS)?;
            Ok(Column::Ids(raw.as_chunks().0.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect()))
        })?;
        match column {
            Column::Ids(ids) => Ok(ids),
            _ => Err(self.bad(run::IDS, "a column of another kind")),
        }
    }

    /// A list of texts.
    pub(crate) fn strings(&self, section: usize) -> Result<&Texts> {
        let column = self.column(section, |image| {
            let raw = image.raw(section)?;
            let mut reader = Reader::new(&raw);
            let strings = Texts::read(&mut reader).and_then(|strings| reader.end().map(|()| strings));
            strings.map(Column::Texts).map_err(|why| image.bad(section, why.0))
        })?;
        match column {
            Column::Texts(strings) => Ok(strings),
            _ => Err(self.bad(section, "a column of another kind")),
        }
    }

    /// A column of `len` integers, which may be stored relative to the section `reference`.
    pub(crate) fn ints(&self, section: usize, len: usize, reference: Option<usize>) -> Result<&Ints> {
        self.ints_on(section, len, None, |stored, values| match (stored, reference) {
            (form::RELATIVE, Some(reference)) => {
                let base = self.ints(reference, len, None)?;
                values.iter_mut().enumerate().for_each(|(at, value)| *value = value.wrapping_add(base.get(at)));
                Ok(true)
            }
            _ => Ok(false),
        })
    }

    /// Integers that must each be at least 0 and below `bound`, if given. Only checked ones are cached. `add_base`
    /// converts relative values, or returns that it does not know the form.
    pub(crate) fn ints_on(
        &self,
        section: usize,
        len: usize,
        bound: Option<usize>,
        add_base: impl Fn(u8, &mut [i64]) -> Result<bool>,
    ) -> Result<&Ints> {
        let column = self.column(section, |image| {
            let raw = image.raw(section)?;
            let (stored, mut ints) = read_ints(&raw, len).map_err(|why| image.bad(section, why.0))?;
            if stored != form::PLAIN {
                let mut values = ints.to_vec();
                if !add_base(stored, &mut values)? {
                    return Err(image.bad(section, "a column relative to nothing"));
                }
                ints = Ints::new(&values);
            }
            if let (Some(bound), Some((least, greatest))) = (bound, ints.range())
                && (least < 0 || greatest >= bound as i64)
            {
                return Err(image.bad(section, "a number that points past the end"));
            }
            Ok(Column::Ints(ints))
        })?;
        match column {
            Column::Ints(ints) if ints.len() == len => Ok(ints),
            _ => Err(self.bad(section, "a column of another kind")),
        }
    }

    /// Integers that must each be at least 0 and below `bound`.
    pub(crate) fn bounded(&self, section: usize, len: usize, bound: Option<usize>) -> Result<&Ints> {
        self.ints_on(section, len, bound, |_, _| Ok(false))
    }

    /// Integers that are not cached, because what is derived from them is.
    pub(crate) fn uncached_ints(&self, section: usize, len: usize) -> Result<Vec<i64>> {
        let raw = self.raw(section)?;
        match read_ints(&raw, len).map_err(|why| self.bad(section, why.0))? {
            (form::PLAIN, ints) => Ok(ints.to_vec()),
            _ => Err(self.bad(section, "a column relative to nothing")),
        }
    }

    /// A column of `len` values, which may be stored relative to the section `reference`.
    pub(crate) fn floats(&self, section: usize, len: usize, reference: Option<usize>) -> Result<&[f64]> {
        self.floats_on(section, len, |stored, bytes| match (stored, reference) {
            (form::RELATIVE, Some(reference)) => {
                let base = self.floats(reference, len, None)?;
                let mut values = plain_floats(bytes);
                for (value, base) in values.iter_mut().zip(base) {
                    *value = f64::from_bits(value.to_bits() ^ base.to_bits());
                }
                Ok(Some(values))
            }
            _ => Ok(None),
        })
    }

    /// A column of `len` values; `decode` handles forms other than [`form::PLAIN`], or returns that it does not know
    /// the form.
    pub(crate) fn floats_on(
        &self,
        section: usize,
        len: usize,
        decode: impl Fn(u8, &[u8]) -> Result<Option<Vec<f64>>>,
    ) -> Result<&[f64]> {
        let column = self.column(section, |image| {
            let raw = image.raw(section)?;
            let (&stored, bytes) =
                raw.split_first().ok_or_else(|| image.bad(section, "a column without a first byte"))?;
            if matches!(stored, form::PLAIN | form::RELATIVE) && bytes.len() != len * 8 {
                return Err(image.bad(section, "values of another count"));
            }
            let values = match stored {
                form::PLAIN => plain_floats(bytes),
                _ => decode(stored, bytes)?.ok_or_else(|| image.bad(section, "a column relative to nothing"))?,
            };
            Ok(Column::Floats(values))
        })?;
        match column {
            Column::Floats(values) if values.len() == len => Ok(values),
            _ => Err(self.bad(section, "a column of another kind")),
        }
    }

    /// A set of runs; `None` where the section is empty, which means what its place in the layout says.
    pub(crate) fn bits(&self, section: usize) -> Result<Option<&Bitmap>> {
        let column = self.column(section, |image| {
            let raw = image.raw(section)?;
            if raw.is_empty() {
                return Ok(Column::Bits(None));
            }
            Bitmap::read(&raw, image.directory.rows)
                .map(|bits| Column::Bits(Some(bits)))
                .map_err(|why| image.bad(section, why.0))
        })?;
        match column {
            Column::Bits(bits) => Ok(bits.as_ref()),
            _ => Err(self.bad(section, "a column of another kind")),
        }
    }

    /// The column, decoded on first use. Two threads may decode at once; one result is kept.
    fn column(&self, section: usize, decode: impl FnOnce(&Self) -> Result<Column>) -> Result<&Column> {
        let slot = &self.columns[section];
        if let Some(column) = slot.get() {
            return Ok(column);
        }
        let column = Box::new(decode(self)?);
        Ok(slot.get_or_init(|| column))
    }

    /// A section's bytes, verified and unpacked, not cached.
    pub(crate) fn raw(&self, section: usize) -> Result<Vec<u8>> {
        let entry = &self.directory.sections[section];
        let stored = self.read(entry.offset, entry.stored_len)?;
        unpack(entry, section, stored).map_err(|why| self.damaged(entry.offset, why))
    }

    #[cfg(any(test, feature = "internals"))]
    /// Every byte.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        match &self.source {
            Source::Memory(bytes) => Ok(bytes.clone()),
            Source::File(_) => self.read(0, self.image_len()? as usize),
        }
    }

    #[cfg(any(test, feature = "internals"))]
    /// Heap memory in bytes: the directory, decoded columns, and the image if it is in memory.
    pub(crate) fn heap_bytes(&self) -> usize {
        let columns = self.columns.iter().filter_map(OnceLock::get).map(|column| match &**column {
            Column::Ints(ints) => ints.heap_bytes(),
            Column::Floats(floats) => floats.len() * 8,
            Column::Bits(bits) => bits.as_ref().map_or(0, Bitmap::heap_bytes),
            Column::Texts(strings) => strings.heap_bytes(),
            Column::Ids(ids) => ids.len() * 16,
        });
        let image = match &self.source {
            Source::Memory(bytes) => bytes.len(),
            Source::File(_) => 0,
        };
        let entry = size_of::<Section>() + size_of::<OnceLock<Box<Column>>>();
        columns.sum::<usize>() + self.directory.sections.len() * entry + image
    }

    fn image_len(&self) -> Result<u64> {
        match &self.source {
            Source::Memory(bytes) => Ok(bytes.len() as u64),
            Source::File(file) => file.len().map_err(Error::io("measure", &self.origin)),
        }
    }

    /// Bytes of the image; lengths were checked against its length, so a short read is damage.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        match &self.source {
            Source::Memory(bytes) => usize::try_from(offset)
                .ok()
                .and_then(|start| bytes.get(start..start.checked_add(len)?))
                .map(<[u8]>::to_vec)
                .ok_or_else(|| self.damaged(offset, Malformed("bytes end early"))),
            Source::File(file) => {
                let mut buffer = vec![0; len];
                let read = file.read_at(&mut buffer, offset).map_err(Error::io("read", &self.origin))?;
                if read == len { Ok(buffer) } else { Err(self.damaged(offset, Malformed("bytes end early"))) }
            }
        }
    }

    /// The error that a section is damaged.
    pub(crate) fn bad(&self, section: usize, why: &'static str) -> Error {
        self.damaged(self.directory.sections[section].offset, Malformed(why))
    }

    fn damaged(&self, offset: u64, why: Malformed) -> Error {
        Error::corrupt(&self.origin, offset, why)
    }
}

/// Integers as stored, with their form; integers relative to the previous value are made plain.
fn read_ints(raw: &[u8], len: usize) -> std::result::Result<(u8, Ints), Malformed> {
    let mut reader = Reader::new(raw);
    let stored = reader.u8()?;
    if stored != form::TO_PREVIOUS {
        return Ok((stored, Ints::read(reader, len)?));
    }
    let mut before = reader.u64()? as i64;
    let mut values = Ints::read(reader, len)?.to_vec();
    values.iter_mut().for_each(|value| {
        before = before.wrapping_add(*value);
        *value = before;
    });
    Ok((form::PLAIN, Ints::new(&values)))
}

/// Values as stored; the caller rejects leftover bytes.
pub(crate) fn plain_floats(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|bits| f64::from_bits(u64::from_le_bytes(*bits))).collect()
}
