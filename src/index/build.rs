//! Writing an index image: rows of summaries turned into columns, keys grouped into blocks.

use rustc_hash::FxHashMap;

use crate::base::stats::SeriesStats;
use crate::base::summary::RunSummary;
use crate::base::texts::Texts;
use crate::error::{Error, Result};
use crate::index::bitmap::Bitmap;
use crate::index::ints::Ints;
use crate::index::layout::{Block, Directory, Family, HEADER_LEN, form, metric, text};
use crate::index::packed::{Places, Span, put_spans};
use crate::index::section::pack;

/// With fewer runs no key is dense: a block of its own would cost more than it saves.
const DENSE_ROWS_MIN: usize = 1024;
/// A sparse block is closed at this many cells, so that a rare key decodes little.
const BLOCK_CELLS: usize = 1 << 16;

/// Least average number of adjacent values in a pack for which storing their locations pays.
const SPAN_MIN: usize = 4;

/// A cell of a metric: the series' statistics, and where in the pack its only value is.
type Metric<'a> = (&'a SeriesStats, Option<(u32, u32)>);

/// The image of `runs`, in order; with `places` that of a pack's runs, in the order of its rows.
///
/// # Errors
/// [`Error::Invalid`] if there are more runs, cells or text than an image can number.
pub(crate) fn build(runs: &[RunSummary], places: Option<&Places>) -> Result<Vec<u8>> {
    if runs.len() >= u32::MAX as usize {
        return Err(too_large());
    }
    let directory = Directory { rows: runs.len(), pack: places.map_or(0, Places::pack), ..Directory::default() };
    let mut writer = Writer { image: vec![0; HEADER_LEN], directory, starts: Vec::new() };
    writer.run_columns(runs, places)?;
    let rows = runs.len();
    let metric = |row: usize, key: &str, stats| -> Metric<'_> { (stats, places.and_then(|all| all.find(row, key))) };
    let metrics = runs
        .iter()
        .enumerate()
        .map(|(row, run)| run.metrics.iter().map(move |(key, stats)| (key, metric(row, key, stats))));
    writer.family(Family::Metrics, rows, metrics, Writer::metric_block)?;
    writer.family(Family::Params, rows, runs.iter().map(|run| run.params.iter()), Writer::text_block)?;
    writer.family(Family::Tags, rows, runs.iter().map(|run| run.tags.iter()), Writer::text_block)?;
    writer.family(Family::Items, rows, runs.iter().map(|run| run.items.iter()), Writer::text_block)?;
    writer.directory.finish(&mut writer.image);
    Ok(writer.image)
}

/// The cells of each key with their runs' ordinals, by key.
fn by_key<'a, V, R>(runs: impl Iterator<Item = R>) -> Vec<(&'a str, Vec<(u32, V)>)>
where
    R: Iterator<Item = (&'a String, V)>,
{
    let mut numbers: FxHashMap<&str, usize> = FxHashMap::default();
    let mut keys: Vec<(&str, Vec<(u32, V)>)> = Vec::new();
    for (ordinal, cells) in runs.enumerate() {
        for (key, value) in cells {
            let number = *numbers.entry(key).or_insert_with(|| {
                keys.push((key, Vec::new()));
                keys.len() - 1
            });
            keys[number].1.push((ordinal as u32, value));
        }
    }
    keys.sort_unstable_by_key(|(key, _)| *key);
    keys
}

/// Appends a text.
fn add(texts: &mut Texts, text: &str) -> Result<()> {
    if texts.push(text) { Ok(()) } else { Err(too_large()) }
}

fn too_large() -> Error {
    Error::invalid(
        "run index",
        "one part holds at most 2^32 - 2 runs and 4 GiB of texts of a kind; split the runs over several parts",
    )
}

struct Writer {
    image: Vec<u8>,
    directory: Directory,
    /// The runs' starts, as they are stored.
    starts: Vec<i64>,
}

impl Writer {
    fn section(&mut self, raw: &[u8]) {
        let section = pack(&mut self.image, self.directory.sections.len(), raw);
        self.directory.sections.push(section);
    }

    /// A column of integers in the smallest form: plain, relative to the previous value or, in a given form, relative
    /// to another column.
    fn ints(&mut self, values: &[i64], reference: Option<(u8, &[i64])>) {
        let mut best = (form::PLAIN, None, Ints::new(values));
        let mut offer = |form: u8, origin: Option<i64>, deltas: &[i64]| {
            let ints = Ints::new(deltas);
            if ints.weight() < best.2.weight() {
                best = (form, origin, ints);
            }
        };
        if let Some((form, reference)) = reference {
            let delta = |(value, of): (&i64, &i64)| value.wrapping_sub(*of);
            offer(form, None, &values.iter().zip(reference).map(delta).collect::<Vec<_>>());
        }
        if let [first, second, ..] = *values {
            let step = second.wrapping_sub(first);
            let steps = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
            let deltas: Vec<i64> = std::iter::once(step).chain(steps).collect();
            offer(form::TO_PREVIOUS, Some(first.wrapping_sub(step)), &deltas);
        }
        let (form, origin, ints) = best;
        let mut raw = vec![form];
        raw.extend(origin.iter().flat_map(|origin| origin.to_le_bytes()));
        ints.put(&mut raw);
        self.section(&raw);
    }

    /// A column of floats by their bits, XORed with `reference` where a quarter of both are equal.
    fn floats(&mut self, bits: &[u64], reference: Option<&[u64]>) {
        let mut raw = Vec::with_capacity(bits.len() * 8 + 1);
        let relative = reference.filter(|reference| mostly_equal(bits.iter().zip(*reference).map(|(a, b)| a == b)));
        raw.push(if relative.is_some() { form::RELATIVE } else { form::PLAIN });
        for (at, bits) in bits.iter().enumerate() {
            let other = relative.and_then(|reference| reference.get(at)).copied().unwrap_or(0);
            raw.extend_from_slice(&(bits ^ other).to_le_bytes());
        }
        self.section(&raw);
    }

    /// A set, left empty if `implied` by other columns.
    fn bits(&mut self, bitmap: &Bitmap, implied: bool) {
        let mut raw = Vec::new();
        if !implied {
            bitmap.put(&mut raw);
        }
        self.section(&raw);
    }

    fn strings(&mut self, strings: &Texts) {
        let mut raw = Vec::new();
        strings.put(&mut raw);
        self.section(&raw);
    }

    /// Two sections: the distinct texts, sorted, and each text's place among them. An absent cell has place 0.
    fn dictionary(&mut self, texts: &[Option<&str>]) -> Result<()> {
        let mut places: FxHashMap<&str, usize> = texts.iter().flatten().map(|text| (*text, 0)).collect();
        let mut sorted: Vec<&str> = places.keys().copied().collect();
        sorted.sort_unstable();
        let mut strings = Texts::default();
        for (place, text) in sorted.iter().enumerate() {
            add(&mut strings, text)?;
            places.insert(text, place);
        }
        let codes: Vec<i64> =
            texts.iter().map(|text| text.and_then(|text| places.get(text)).map_or(0, |&place| place as i64)).collect();
        self.strings(&strings);
        self.ints(&codes, None);
        Ok(())
    }

    fn run_columns(&mut self, runs: &[RunSummary], places: Option<&Places>) -> Result<()> {
        let of_hex = |run: &RunSummary| run.run_id.key().to_string() == run.run_id.as_str();
        let mut keys = Vec::new();
        if places.is_none() {
            runs.iter().for_each(|run| keys.extend_from_slice(&run.run_id.key().0.to_le_bytes()));
        }
        self.section(&keys);
        let mut texts = Texts::default();
        if !runs.iter().all(of_hex) {
            for run in runs {
                add(&mut texts, if of_hex(run) { "" } else { run.run_id.as_str() })?;
            }
        }
        self.strings(&texts);

        let mut experiments: Vec<i64> = runs.iter().map(|run| run.experiment_id.0 as i64).collect();
        experiments.sort_unstable();
        experiments.dedup();
        let codes: Vec<i64> = runs
            .iter()
            .map(|run| experiments.binary_search(&(run.experiment_id.0 as i64)).map_or(0, |place| place as i64))
            .collect();
        let mut raw = Vec::new();
        for experiment in &experiments {
            raw.extend_from_slice(&experiment.to_le_bytes());
        }
        self.section(&raw);
        self.ints(&codes, None);

        self.dictionary(&runs.iter().map(|run| Some(run.name.as_str())).collect::<Vec<_>>())?;
        self.dictionary(&runs.iter().map(|run| Some(run.user.as_str())).collect::<Vec<_>>())?;
        self.ints(&runs.iter().map(|run| run.status as i64).collect::<Vec<_>>(), None);
        let deleted = Bitmap::of(&runs.iter().map(|run| run.deleted).collect::<Vec<_>>(), |deleted| deleted);
        self.bits(&deleted, deleted.count() == 0);
        self.starts = self.times(runs.iter().map(|run| run.start_time_ms));
        self.times(runs.iter().map(|run| run.end_time_ms));
        self.ints(&runs.iter().map(|run| i64::from(run.kind)).collect::<Vec<_>>(), None);
        self.ints(&runs.iter().map(|run| run.deleted_generation as i64).collect::<Vec<_>>(), None);
        let mut pools = Vec::new();
        if let Some(places) = places.filter(|places| places.has_singles()) {
            places.pools.put(&mut pools);
        }
        self.section(&pools);
        Ok(())
    }

    /// Times of the runs; those after the first are relative to it where that takes less.
    fn times(&mut self, times: impl Iterator<Item = Option<i64>> + Clone) -> Vec<i64> {
        let present = Bitmap::of(&times.clone().collect::<Vec<_>>(), |time| time.is_some());
        self.bits(&present, present.count() == present.len());
        let (times, starts) = (carried(times), std::mem::take(&mut self.starts));
        self.ints(&times, (!starts.is_empty()).then_some((form::RELATIVE, &starts)));
        self.starts = starts;
        times
    }

    /// The key table of a family, then its blocks, each written by `write` from its cells.
    fn family<'a, V, R>(
        &mut self,
        family: Family,
        rows: usize,
        runs: impl Iterator<Item = R>,
        write: impl Fn(&mut Self, &[Option<V>], &[u32]) -> Result<()>,
    ) -> Result<()>
    where
        V: Copy,
        R: Iterator<Item = (&'a String, V)>,
    {
        let keys = by_key(runs);
        let mut names = Texts::default();
        let (mut block_of, mut counts) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        let mut blocks: Vec<(bool, usize)> = Vec::new();
        let mut open: Option<usize> = None;
        for (key, cells) in &keys {
            add(&mut names, key)?;
            let dense = rows >= DENSE_ROWS_MIN && cells.len() * 2 >= rows;
            let block = match open {
                Some(block) if !dense => block,
                _ => {
                    blocks.push((dense, if dense { rows } else { 0 }));
                    blocks.len() - 1
                }
            };
            if !dense {
                blocks[block].1 += cells.len();
                open = (blocks[block].1 < BLOCK_CELLS).then_some(block);
            }
            block_of.push(block as i64);
            counts.push(cells.len() as i64);
        }
        if blocks.iter().filter(|(dense, _)| !dense).map(|(_, cells)| cells).sum::<usize>() > u32::MAX as usize {
            return Err(too_large());
        }
        self.directory.keys[family as usize] = self.directory.sections.len();
        self.strings(&names);
        self.ints(&block_of, None);
        self.ints(&counts, None);

        // Keys of one sparse block need not be neighbours: dense keys may stand between them.
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); blocks.len()];
        for (key, &block) in block_of.iter().enumerate() {
            members[block as usize].push(key);
        }
        for ((dense, cells), members) in blocks.into_iter().zip(members) {
            let section = self.directory.sections.len();
            self.directory.blocks[family as usize].push(Block { dense, cells, section });
            let taken = members.iter().flat_map(|&key| keys[key].1.iter());
            self.block(dense, rows, taken, &write)?;
        }
        Ok(())
    }

    /// One block: which runs have a cell, then the cells.
    fn block<'c, V: Copy + 'c>(
        &mut self,
        dense: bool,
        rows: usize,
        taken: impl Iterator<Item = &'c (u32, V)> + Clone,
        write: impl Fn(&mut Self, &[Option<V>], &[u32]) -> Result<()>,
    ) -> Result<()> {
        if dense {
            let mut values = vec![None; rows];
            let mut present = Bitmap::none(rows);
            for &(ordinal, value) in taken {
                values[ordinal as usize] = Some(value);
                present.insert(ordinal);
            }
            self.bits(&present, present.count() == rows);
            return write(self, &values, &[]);
        }
        let ordinals: Vec<u32> = taken.clone().map(|(ordinal, _)| *ordinal).collect();
        self.ints(&ordinals.iter().map(|&ordinal| i64::from(ordinal)).collect::<Vec<_>>(), None);
        write(self, &taken.map(|(_, value)| Some(*value)).collect::<Vec<_>>(), &ordinals)
    }

    fn text_block(&mut self, cells: &[Option<&String>], _: &[u32]) -> Result<()> {
        debug_assert_eq!(text::CODES, text::DICTIONARY + 1, "the dictionary writes both");
        self.dictionary(&cells.iter().map(|cell| cell.map(String::as_str)).collect::<Vec<_>>())
    }

    /// `ordinals` are the runs of a sparse block's cells.
    fn metric_block(&mut self, cells: &[Option<Metric<'_>>], ordinals: &[u32]) -> Result<()> {
        // An absent cell repeats the one before it, which costs least.
        let stats = || cells.iter().map(|cell| cell.map(|(stats, _)| stats));
        let ints = |field: &dyn Fn(&SeriesStats) -> Option<i64>| carried(stats().map(|cell| cell.and_then(field)));
        let bits = |field: &dyn Fn(&SeriesStats) -> Option<f64>| {
            let mut before = 0;
            let carry = |cell: Option<&SeriesStats>| {
                before = cell.and_then(field).map_or(before, f64::to_bits);
                before
            };
            stats().map(carry).collect::<Vec<u64>>()
        };
        let flags = |cell: &SeriesStats| {
            i64::from(cell.latest.timestamp_ms.is_some())
                | i64::from(cell.first.timestamp_ms.is_some()) << 1
                | i64::from(cell.min.is_some()) << 2
                | i64::from(cell.max.is_some()) << 3
        };
        let latest_step = ints(&|c| Some(c.latest.step));
        let latest_time = ints(&|c| c.latest.timestamp_ms);
        let latest = bits(&|c| Some(c.latest.value));
        let starts: Vec<i64> = match ordinals {
            [] => self.starts.clone(),
            _ => ordinals.iter().map(|&ordinal| self.starts[ordinal as usize]).collect(),
        };
        let steps = Some((form::RELATIVE, &latest_step[..]));
        for column in metric::FLAGS..metric::SECTIONS {
            match column {
                metric::FLAGS => self.ints(&ints(&|c| Some(flags(c))), None),
                metric::COUNT => {
                    self.ints(&stats().map(|cell| cell.map_or(0, |c| c.count as i64)).collect::<Vec<_>>(), None);
                }
                metric::NAN_COUNT => self.ints(&ints(&|c| Some(c.nan_count as i64)), None),
                metric::INF_COUNT => self.ints(&ints(&|c| Some(c.inf_count as i64)), None),
                metric::LATEST_STEP => self.ints(&latest_step, None),
                metric::LATEST_TIME => self.ints(&latest_time, Some((form::TO_START, &starts))),
                metric::LATEST => match spans(cells) {
                    Some(spans) => self.packed(&spans, cells),
                    None => self.floats(&latest, None),
                },
                metric::FIRST_STEP => self.ints(&ints(&|c| Some(c.first.step)), steps),
                metric::FIRST_TIME => {
                    self.ints(&ints(&|c| c.first.timestamp_ms), Some((form::RELATIVE, &latest_time)));
                }
                metric::FIRST => self.floats(&bits(&|c| Some(c.first.value)), Some(&latest)),
                metric::MIN_STEP => self.ints(&ints(&|c| c.min.map(|min| min.step)), steps),
                metric::MIN => self.floats(&bits(&|c| c.min.map(|min| min.value)), Some(&latest)),
                metric::MAX_STEP => self.ints(&ints(&|c| c.max.map(|max| max.step)), steps),
                metric::MAX => self.floats(&bits(&|c| c.max.map(|max| max.value)), Some(&latest)),
                _ => self.floats(&bits(&|c| Some(c.sum)), Some(&latest)),
            }
        }
        Ok(())
    }

    /// Latest values: the locations in the pack of those of single points, and the others themselves.
    fn packed(&mut self, spans: &[Span], cells: &[Option<Metric<'_>>]) {
        let mut raw = vec![form::IN_PACK];
        put_spans(spans, &mut raw);
        let others = cells.iter().flatten().filter(|(stats, _)| stats.count > 1);
        raw.extend(others.flat_map(|(stats, _)| stats.latest.value.to_bits().to_le_bytes()));
        self.section(&raw);
    }
}

/// The locations in the pack of the values of single-point cells; `None` if some have none, or if storing them would
/// not pay.
fn spans(cells: &[Option<Metric<'_>>]) -> Option<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    let mut singles = 0;
    for (stats, place) in cells.iter().flatten() {
        match (stats.count, place) {
            // Statistics without points, which no pack has.
            (0, _) | (1, None) => return None,
            (1, &Some((group, at))) => {
                singles += 1;
                match spans.last_mut() {
                    Some(last) if last.group == group && last.first + last.len == at => last.len += 1,
                    _ => spans.push(Span { group, first: at, len: 1 }),
                }
            }
            _ => {}
        }
    }
    (singles > 0 && spans.len() * SPAN_MIN <= singles).then_some(spans)
}

/// The values, with absent ones replaced by the previous value, or by the first present one at the front.
fn carried(values: impl Iterator<Item = Option<i64>> + Clone) -> Vec<i64> {
    let mut before = values.clone().flatten().next().unwrap_or(0);
    let carry = |value: Option<i64>| {
        before = value.unwrap_or(before);
        before
    };
    values.map(carry).collect()
}

fn mostly_equal(pairs: impl ExactSizeIterator<Item = bool>) -> bool {
    let len = pairs.len();
    len > 0 && pairs.filter(|equal| *equal).count() * 4 >= len
}
