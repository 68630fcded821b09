//! Packs: files of row groups with finished runs, and a directory to find a run by its key.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::crc32;
use crate::base::ids::RunKey;
use crate::codec::{Effort, Scratch};
use crate::error::{Error, Result};
use crate::segment::layout::{ColumnReader, ColumnWriter, ENTRIES_MAX};
use crate::segment::pack_scan::find_row_groups;
use crate::segment::reader::{RowGroup, Source};
use crate::segment::writer::{PageSink, RowGroupWriter};
use crate::storage::File;

/// The first bytes of a pack: magic (u64), version (u32), pack id (u128), CRC-32 of these (u32).
pub const HEADER_LEN: usize = 32;
const PACK_MAGIC: u64 = u64::from_le_bytes(*b"SWpack\r\n");
/// The last bytes of a pack: directory length (u32), its CRC-32 (u32), magic (u64).
const TRAILER_LEN: usize = 16;
const DIRECTORY_MAGIC: u64 = u64::from_le_bytes(*b"SWdirect");
/// The format version that this build writes, and the greatest it reads.
pub const PACK_VERSION: u32 = 1;
/// Bytes buffered before they are written.
const BUFFER_LEN: usize = 1 << 20;

/// The location of a run in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPlace {
    /// The number of the row group.
    pub group: u32,
    /// The number of the run within its row group.
    pub run: u32,
}

/// A file written sequentially.
pub struct FileSink {
    file: Arc<dyn File>,
    path: Arc<Path>,
    offset: u64,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for FileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileSink({}, {} bytes)", self.path.display(), self.position())
    }
}

impl FileSink {
    fn position(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(&self.buffer, self.offset).map_err(Error::io("write", &self.path))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl PageSink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_LEN { self.flush() } else { Ok(()) }
    }
}

/// Writes one pack. An unfinished pack is useless: remove the file.
#[derive(Debug)]
pub struct PackWriter {
    sink: Option<FileSink>,
    groups: Vec<(u64, u64)>,
    runs: Vec<(RunKey, RunPlace)>,
    effort: Effort,
}

impl PackWriter {
    /// Starts a pack in a new, empty file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(file: impl Into<Arc<dyn File>>, path: &Path, id: u128, effort: Effort) -> Result<Self> {
        let mut sink =
            FileSink { file: file.into(), path: path.into(), offset: 0, buffer: Vec::with_capacity(BUFFER_LEN) };
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&PACK_MAGIC.to_le_bytes());
        header.extend_from_slice(&PACK_VERSION.to_le_bytes());
        header.extend_from_slice(&id.to_le_bytes());
        header.extend_from_slice(&crc32(0, &header).to_le_bytes());
        sink.write(&header)?;
        Ok(Self { sink: Some(sink), groups: Vec::new(), runs: Vec::new(), effort })
    }

    /// Writes one row group by `fill`, which returns the key of each run in the order it added them.
    ///
    /// # Errors
    /// Those of `fill` and of the file; then the pack is useless.
    pub fn group(&mut self, fill: impl FnOnce(&mut RowGroupWriter<FileSink>) -> Result<Vec<RunKey>>) -> Result<()> {
        let sink = self.sink.take().ok_or_else(|| Error::invalid("pack", "an earlier row group failed"))?;
        let start = sink.position();
        let mut writer = RowGroupWriter::new(sink, self.effort);
        let keys = fill(&mut writer)?;
        let group = self.groups.len() as u32;
        self.runs.extend(keys.into_iter().zip(0..).map(|(key, run)| (key, RunPlace { group, run })));
        let (sink, len) = writer.finish(0)?;
        self.groups.push((start, len));
        self.sink = Some(sink);
        Ok(())
    }

    /// Copies a row group of another pack unchanged; row groups do not depend on their location.
    ///
    /// # Errors
    /// Those of reading and writing; then the pack is useless.
    pub fn copy_row_group(&mut self, group: &RowGroup, keys: impl Iterator<Item = RunKey>) -> Result<()> {
        let mut sink = self.sink.take().ok_or_else(|| Error::invalid("pack", "an earlier row group failed"))?;
        let (mut at, len) = group.extent();
        let (start, end) = (sink.position(), at + len);
        while at < end {
            let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(BUFFER_LEN);
            sink.write(&group.source().read(at, step)?)?;
            at += step as u64;
        }
        let number = self.groups.len() as u32;
        self.runs.extend(keys.zip(0..).map(|(key, run)| (key, RunPlace { group: number, run })));
        self.groups.push((start, len));
        self.sink = Some(sink);
        Ok(())
    }

    /// Writes the directory and syncs the file. Returns the file's length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<u64> {
        let mut sink = self.sink.take().ok_or_else(|| Error::invalid("pack", "an earlier row group failed"))?;
        self.runs.sort_unstable_by_key(|&(key, place)| (key, place.group, place.run));
        let mut bytes = Vec::new();
        let mut scratch = Scratch::default();
        let mut columns = ColumnWriter::new(&mut bytes, Effort::Fast, &mut scratch);
        columns.number(self.groups.len() as u64);
        columns.ints(&self.groups.iter().map(|&(_, len)| len as i64).collect::<Vec<_>>());
        columns.number(self.runs.len() as u64);
        columns.ints(&self.runs.iter().map(|(_, place)| i64::from(place.group)).collect::<Vec<_>>());
        columns.ints(&self.runs.iter().map(|(_, place)| i64::from(place.run)).collect::<Vec<_>>());
        bytes.extend(self.runs.iter().flat_map(|(key, _)| key.0.to_le_bytes()));
        let len = u32::try_from(bytes.len()).map_err(|_| Error::invalid("pack", "its directory exceeds 4 GiB"))?;
        let crc = crc32(0, &bytes);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&DIRECTORY_MAGIC.to_le_bytes());
        sink.write(&bytes)?;
        sink.flush()?;
        sink.file.sync().map_err(Error::io("sync", &sink.path))?;
        Ok(sink.position())
    }
}

/// An open pack. The directory is in memory; footers are read on demand.
///
/// Its runs also have **rows**: their numbers in file order, over all row groups.
#[derive(Debug)]
pub struct Pack {
    source: Source,
    id: u128,
    groups: Vec<(u64, u64)>,
    directory: Directory,
    /// The directory position of each row; computed on first use.
    by_row: OnceLock<Vec<u32>>,
    damage: Vec<Error>,
    lost: Option<Error>,
}

/// The runs of a pack: 20 bytes each.
#[derive(Debug)]
struct Directory {
    /// Sorted.
    keys: Vec<RunKey>,
    /// Their rows.
    rows: Vec<u32>,
    /// The first row of each row group, and the number of rows.
    starts: Vec<u32>,
}

impl Pack {
    /// Reads and verifies header and directory: one read of 16 bytes and a few bytes per run.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn open(source: Source) -> Result<Self> {
        let id = read_header(&source)?;
        let (groups, directory) = read_directory(&source)?;
        Ok(Self { source, id, groups, directory, by_row: OnceLock::new(), damage: Vec::new(), lost: None })
    }

    /// The same for the pack with this id, also if its header or directory does not verify: then its row groups are
    /// found by their trailers, which reads the whole file, and its runs by their records. `key_of` is the key in a
    /// run's record; `runs` says how many runs there must be, 0 if that is unknown.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Error::Corrupt`] if no row group is found either.
    pub fn open_around(source: Source, id: u128, runs: u64, key_of: impl Fn(&[u8]) -> Option<RunKey>) -> Result<Self> {
        let mut damage = Vec::new();
        match read_header(&source) {
            Ok(own) if own == id => {}
            Ok(_) => return Err(source.corrupt(0, "the pack's own number is another; was the file renamed?")),
            Err(error @ Error::Corrupt { .. }) => damage.push(error),
            Err(error) => return Err(error),
        }
        let mut lost = None;
        let (groups, directory) = match read_directory(&source) {
            Ok(read) => read,
            Err(error @ Error::Corrupt { .. }) => {
                let found = find_runs(&source, &key_of)?;
                if found.runs.is_empty() {
                    return Err(damage.into_iter().next().unwrap_or(error));
                }
                damage.push(error);
                lost = found.lost(&source, runs);
                (found.groups, directory_of(found.runs))
            }
            Err(error) => return Err(error),
        };
        Ok(Self { source, id, groups, directory, by_row: OnceLock::new(), damage, lost })
    }

    /// What does not verify of header and directory; the pack is read around it.
    #[must_use]
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// The row groups that could not be found without the directory, if any: nobody knows which runs they have.
    #[must_use]
    pub fn lost(&self) -> Option<&Error> {
        self.lost.as_ref()
    }

    /// Its random id.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.id
    }

    /// The number of row groups.
    #[must_use]
    pub fn row_group_count(&self) -> usize {
        self.groups.len()
    }

    /// The extent of a row group: first byte and length.
    #[must_use]
    pub fn row_group_extent(&self, group: usize) -> (u64, u64) {
        self.groups[group]
    }

    /// Reads the footer of a row group.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn group(&self, group: usize) -> Result<RowGroup> {
        let (offset, len) = self.groups[group];
        RowGroup::open(self.source.clone(), offset, len)
    }

    /// The run keys, sorted; a run in several row groups appears several times.
    #[must_use]
    pub fn keys(&self) -> &[RunKey] {
        &self.directory.keys
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.directory.rows.len()
    }

    #[cfg(any(test, feature = "internals"))]
    /// Whether it has no runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of a row group.
    #[must_use]
    pub fn rows(&self, group: usize) -> std::ops::Range<u32> {
        self.directory.starts[group]..self.directory.starts[group + 1]
    }

    /// The location of a row. O(log row groups).
    #[must_use]
    pub fn place(&self, row: u32) -> RunPlace {
        let group = self.directory.starts.partition_point(|&start| start <= row) - 1;
        RunPlace { group: group as u32, run: row - self.directory.starts[group] }
    }

    /// The key of a row. The first call costs O(runs) and keeps 4 bytes per run.
    #[must_use]
    pub fn key(&self, row: u32) -> RunKey {
        let by_row = self.by_row.get_or_init(|| {
            let mut by_row = vec![0; self.len()];
            self.directory.rows.iter().zip(0..).for_each(|(&row, at)| by_row[row as usize] = at);
            by_row
        });
        self.directory.keys[by_row[row as usize] as usize]
    }

    /// The rows of a run, by binary search.
    #[must_use]
    pub fn rows_of(&self, key: RunKey) -> &[u32] {
        let keys = self.keys();
        let start = keys.partition_point(|&own| own < key);
        let end = start + keys[start..].iter().take_while(|&&own| own == key).count();
        &self.directory.rows[start..end]
    }

    /// The locations of a run, by binary search.
    pub fn find(&self, key: RunKey) -> impl Iterator<Item = RunPlace> {
        self.rows_of(key).iter().map(|&row| self.place(row))
    }

    /// The file.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// Verifies the header; returns the pack's id.
fn read_header(source: &Source) -> Result<u128> {
    let header = source.read(0, HEADER_LEN)?;
    let mut reader = Reader::new(&header);
    let malformed = |Malformed(what)| source.corrupt(0, what);
    let magic = reader.u64().map_err(malformed)?;
    let version = reader.u32().map_err(malformed)?;
    let id = reader.u128().map_err(malformed)?;
    if magic != PACK_MAGIC || reader.u32().map_err(malformed)? != crc32(0, &header[..HEADER_LEN - 4]) {
        return Err(source.corrupt(0, "a pack's header"));
    }
    if version > PACK_VERSION {
        return Err(Error::NewerFormat { path: source.path.to_path_buf(), found: version, supported: PACK_VERSION });
    }
    Ok(id)
}

/// The extents of row groups, and the runs in them.
type Contents = (Vec<(u64, u64)>, Directory);

fn read_directory(source: &Source) -> Result<Contents> {
    let len = source.file.len().map_err(Error::io("read", &source.path))?;
    let trailer_at = len.saturating_sub(TRAILER_LEN as u64).max(HEADER_LEN as u64);
    let trailer = source.read(trailer_at, TRAILER_LEN)?;
    let mut reader = Reader::new(&trailer);
    let malformed = |Malformed(what)| source.corrupt(trailer_at, what);
    let directory_len = u64::from(reader.u32().map_err(malformed)?);
    let crc = reader.u32().map_err(malformed)?;
    let directory_at = trailer_at.checked_sub(directory_len).filter(|&at| at >= HEADER_LEN as u64);
    let (Ok(DIRECTORY_MAGIC), Some(directory_at)) = (reader.u64(), directory_at) else {
        return Err(source.corrupt(trailer_at, "the magic at the end of a pack"));
    };
    let bytes = source.read(directory_at, directory_len as usize)?;
    if crc32(0, &bytes) != crc {
        return Err(source.corrupt(directory_at, "the checksum of a pack's directory"));
    }
    decode_directory(&bytes, directory_at)
        .map_err(|Malformed(what)| source.corrupt(directory_at, format!("in a pack's directory: {what}")))
}

/// What a pack has, found without its directory.
#[derive(Default)]
struct FoundRuns {
    groups: Vec<(u64, u64)>,
    runs: Vec<(RunKey, RunPlace)>,
    /// Bytes between row groups where none was found.
    gap: Option<(u64, u64)>,
}

/// Finds row groups by their trailers, and their runs by their records. A row group whose records do not verify is
/// lost, and so is what lies between two that were found.
fn find_runs(source: &Source, key_of: &impl Fn(&[u8]) -> Option<RunKey>) -> Result<FoundRuns> {
    let mut found = FoundRuns::default();
    let mut end = HEADER_LEN as u64;
    for group in find_row_groups(source, end)? {
        let (offset, len) = group.extent();
        let keys = match group.run_records() {
            Ok(records) => records.iter().map(|record| key_of(record)).collect::<Option<Vec<RunKey>>>(),
            Err(Error::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let Some(keys) = keys.filter(|keys| keys.len() == group.footer().runs) else { continue };
        if offset > end {
            found.gap.get_or_insert((end, offset));
        }
        let number = found.groups.len() as u32;
        found.groups.push((offset, len));
        found.runs.extend(keys.into_iter().zip(0..).map(|(key, run)| (key, RunPlace { group: number, run })));
        end = offset + len;
    }
    Ok(found)
}

impl FoundRuns {
    /// What is not there of a pack with `runs` runs.
    fn lost(&self, source: &Source, runs: u64) -> Option<Error> {
        let found = self.runs.len() as u64;
        let what = match (runs.checked_sub(found), self.gap) {
            (Some(1..), _) => format!("{} of its {runs} runs cannot be found", runs - found),
            (_, Some((from, to))) => format!("no row group can be read between bytes {from} and {to}"),
            _ => return None,
        };
        let offset = self.gap.map_or(HEADER_LEN as u64, |(from, _)| from);
        Some(source.corrupt(offset, format!("the pack's directory is damaged, and {what}")))
    }
}

fn directory_of(mut runs: Vec<(RunKey, RunPlace)>) -> Directory {
    let mut starts = vec![0; runs.last().map_or(0, |(_, place)| place.group as usize + 1) + 1];
    runs.iter().for_each(|(_, place)| starts[place.group as usize + 1] += 1);
    (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
    runs.sort_unstable_by_key(|&(key, place)| (key, place.group, place.run));
    let rows = runs.iter().map(|(_, place)| starts[place.group as usize] + place.run).collect();
    Directory { keys: runs.into_iter().map(|(key, _)| key).collect(), rows, starts }
}

fn decode_directory(bytes: &[u8], directory_at: u64) -> Result<Contents, Malformed> {
    // The keys end the directory, not as a column: random numbers do not compress.
    let mut columns = ColumnReader::new(bytes);
    let row_group_count = columns.count()?;
    let mut at = HEADER_LEN as u64;
    let mut groups = Vec::new();
    for len in columns.ints(row_group_count)? {
        let len = u64::try_from(len).map_err(|_| Malformed("the length of a row group"))?;
        groups.push((at, len));
        at = at.checked_add(len).ok_or(Malformed("the length of a row group"))?;
    }
    if at != directory_at {
        return Err(Malformed("row groups that do not fill the pack"));
    }
    let run_count = columns.count()?;
    let in_group = columns.indexes(run_count, row_group_count)?;
    let runs = columns.indexes(run_count, ENTRIES_MAX)?;
    let keys = columns.rest();
    let (keys, rest) = keys.as_chunks::<16>();
    if keys.len() != run_count || !rest.is_empty() {
        return Err(Malformed("the keys of runs"));
    }
    let keys: Vec<RunKey> = keys.iter().map(|&bytes| RunKey(u128::from_le_bytes(bytes))).collect();
    if !keys.is_sorted() {
        return Err(Malformed("keys of runs out of order"));
    }
    Ok((groups, Directory { keys, ..rows(row_group_count, &in_group, runs)? }))
}

/// Computes rows from locations, which must cover each run of each row group once.
fn rows(row_group_count: usize, in_group: &[u32], runs: Vec<u32>) -> Result<Directory, Malformed> {
    let mut starts = vec![0; row_group_count + 1];
    in_group.iter().for_each(|&group| starts[group as usize + 1] += 1);
    for group in 0..row_group_count {
        starts[group + 1] += starts[group];
    }
    let (mut rows, mut taken) = (runs, vec![false; in_group.len()]);
    for (row, &group) in rows.iter_mut().zip(in_group) {
        *row = row.saturating_add(starts[group as usize]);
        let taken = taken.get_mut(*row as usize).filter(|_| *row < starts[group as usize + 1]);
        if std::mem::replace(taken.ok_or(Malformed("a run's number beyond its row group"))?, true) {
            return Err(Malformed("a run's number twice"));
        }
    }
    Ok(Directory { keys: Vec::new(), rows, starts })
}
