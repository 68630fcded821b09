//! Pages of row groups, for `verify`: checks that each decodes, and describes the cost of losing it.

use std::collections::BTreeMap;

use crate::base::control;
use crate::codec;
use crate::run::state::RunState;
use crate::segment::footer::Footer;
use crate::segment::layout::{BUCKETS_PER_PAGE, PAGE_POINTS, TIMESTAMPS_NONE};
use crate::segment::pyramid::{bucket_pages, decode_buckets, levels, pages};
use crate::segment::reader::RowGroup;

/// The run ids of a pack's row group, as far as they can be read.
pub(crate) fn group_names(group: &RowGroup) -> Vec<String> {
    let records = group.run_records().unwrap_or_default();
    let states = records.iter().map(|record| control::decode::<RunState>(record));
    states.map(|state| state.map_or_else(|_| "?".to_owned(), |state| state.id.to_string())).collect()
}

/// For each page, the cost of losing it.
pub(crate) fn costs(footer: &Footer, runs: &[String]) -> BTreeMap<usize, String> {
    let mut users: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    let pool = footer.pool().bounds().map(|bound| footer.pool_base + bound);
    let mut note = |page: usize, series: usize, points: usize| users.entry(page).or_default().push((series, points));
    for (index, series) in footer.series.iter().enumerate() {
        let axis = footer.axes[series.axis as usize];
        if axis.pooled() {
            let of =
                |base: usize, first: usize| first + base / PAGE_POINTS..=first + (base + axis.count - 1) / PAGE_POINTS;
            of(series.base, pool[3]).for_each(|page| note(page, index, axis.count));
            let columns = [(pool[0], pool[1]), (pool[1], pool[2]), (pool[2], pool[3])];
            for (first, _) in columns.into_iter().filter(|(first, end)| first < end) {
                of(axis.base, first).for_each(|page| note(page, index, axis.count));
            }
            continue;
        }
        for page in 0..pages(axis.count) {
            let points = (axis.count - page * PAGE_POINTS).min(PAGE_POINTS);
            note(series.base + page, index, points);
            (0..axis.stride()).for_each(|column| note(axis.base + page * axis.stride() + column, index, points));
        }
        (0..bucket_pages(axis.count, footer.fine))
            .for_each(|page| note(series.base + pages(axis.count) + page, index, 0));
    }
    let name = |series: usize| {
        let series = footer.series[series];
        let run = runs.get(series.run as usize).map_or("?", String::as_str);
        format!("{:?} of run {run}", footer.key_of(&series))
    };
    let tell = |users: &Vec<(usize, usize)>| {
        let points: usize = users.iter().map(|(_, points)| points).sum();
        let series = users.len();
        match users.first() {
            Some(&(first, 0)) => format!("plots of metric {}", name(first)),
            Some(&(first, _)) if series == 1 => format!("{points} points of metric {}", name(first)),
            Some(&(first, _)) => format!("{points} points of {series} series, metric {} among them", name(first)),
            None => String::new(),
        }
    };
    let mut costs: BTreeMap<usize, String> = users.iter().map(|(&page, users)| (page, tell(users))).collect();
    let cost = "names, params and tags of runs, whose points are read again after a repair";
    (pool[4]..footer.pages.len()).for_each(|page| _ = costs.insert(page, cost.to_owned()));
    costs
}

/// Checks a page's bytes against the footer.
pub(crate) fn decode_page(footer: &Footer, index: usize, bytes: &[u8]) -> Result<(), String> {
    let page = footer.pages[index];
    let message = |error: codec::CodecError| error.to_string();
    let ints = |count: usize| codec::decode_ints(page.codec, bytes, &mut vec![0; count]).map_err(message);
    let floats = |count: usize| codec::decode_floats(page.codec, bytes, &mut vec![0.0; count]).map_err(message);
    let in_page = |total: usize, page: usize| (total - page * PAGE_POINTS).min(PAGE_POINTS);
    if index >= footer.pool_base {
        let (pool, at) = (footer.pool(), index - footer.pool_base);
        let bounds = pool.bounds();
        if at < bounds[3] {
            return ints(in_page(pool.axis_points, at % pages(pool.axis_points)));
        }
        // Run records are decoded when their runs are named.
        return if at < bounds[4] { floats(in_page(pool.values, at - bounds[3])) } else { Ok(()) };
    }
    for axis in footer.axes.iter().filter(|axis| !axis.pooled()) {
        if let Some(at) = index.checked_sub(axis.base).filter(|&at| at < pages(axis.count) * axis.stride()) {
            debug_assert!(axis.stride() == 1 || axis.timestamps != TIMESTAMPS_NONE);
            return ints(in_page(axis.count, at / axis.stride()));
        }
    }
    for series in footer.long_series() {
        let count = footer.axes[series.axis as usize].count;
        let Some(at) =
            index.checked_sub(series.base).filter(|&at| at < pages(count) + bucket_pages(count, footer.fine))
        else {
            continue;
        };
        let Some(mut at) = at.checked_sub(pages(count)) else { return floats(in_page(count, at)) };
        for buckets in levels(count, footer.fine) {
            let level_pages = buckets.div_ceil(BUCKETS_PER_PAGE);
            if at < level_pages {
                let in_page = (buckets - at * BUCKETS_PER_PAGE).min(BUCKETS_PER_PAGE);
                return decode_buckets(bytes, in_page).map(|_| ()).map_err(|malformed| malformed.to_string());
            }
            at -= level_pages;
        }
    }
    Ok(())
}
