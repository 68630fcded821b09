//! Columns and row groups: any bytes, and footers with checksums that fit.

use std::sync::Arc;

use stepwell::internals::base::checksum::crc32;
use stepwell::internals::base::control;
use stepwell::internals::base::ids::RunKey;
use stepwell::internals::codec;
use stepwell::internals::codec::{CodecId, Effort, Scratch};
use stepwell::internals::run::log_view::SeriesPart;
use stepwell::internals::segment::footer::Footer;
use stepwell::internals::segment::layout::{
    FINE_FROM, PAGE_POINTS, ROW_GROUP_MAGIC, ROW_GROUP_MAGIC_FINE, TRAILER_LEN,
};
use stepwell::internals::segment::pyramid::decode_buckets;
use stepwell::internals::segment::reader::RowGroup;
use stepwell::internals::segment::writer::{RowGroupWriter, SeriesName};
use stepwell::{RunId, RunState, Timestamps};

use super::logs::read_any_part;
use super::{Input, READ_MAX, WRITER, source};

/// A page of any codec, counts up to a page and a half.
pub fn codec(data: &[u8]) {
    let mut input = Input(data);
    let codec = input.u8();
    let codec = if codec < 0x80 { CodecId::ALL[usize::from(codec) % CodecId::ALL.len()] } else { CodecId(input.u8()) };
    let count = usize::from(input.u16()) % (PAGE_POINTS * 3 / 2);
    let _ = codec::decode_ints(codec, input.0, &mut vec![0; count]);
    let _ = codec::decode_floats(codec, input.0, &mut vec![0.0; count]);
    let _ = decode_buckets(input.0, count);
    if let Ok(bytes) = codec::decode_bytes(codec, input.0, count * 64) {
        assert_eq!(bytes.len(), count * 64);
    }
}

/// A row group of any bytes, whose trailer and footer checksum are made good.
pub fn group(data: &[u8]) {
    let mut input = Input(data);
    let pages = usize::from(input.u16());
    let bytes = input.bytes(pages).to_vec();
    let marked = |mark| [&bytes[..], &with_trailer(input.0, mark)].concat();
    read_any_group(data.to_vec());
    read_any_group(marked(ROW_GROUP_MAGIC));
    read_any_group(marked(ROW_GROUP_MAGIC_FINE));
}

fn with_trailer(footer: &[u8], mark: u64) -> Vec<u8> {
    let mut bytes = footer.to_vec();
    bytes.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32(0, footer).to_le_bytes());
    bytes.extend_from_slice(&mark.to_le_bytes());
    bytes
}

/// A whole row group with some bytes changed, of its footer or of its pages, and every checksum made good.
pub fn group_forged(data: &[u8]) {
    let mut input = Input(data);
    let group = match input.u8() % 3 {
        0 => small_group(),
        1 => large_group(),
        _ => fine_group(),
    };
    let trailer = group.len() - TRAILER_LEN;
    let mark = u64::from_le_bytes(group[trailer + 8..].try_into().expect("eight bytes"));
    let footer_len = u32::from_le_bytes(group[trailer..trailer + 4].try_into().expect("four bytes")) as usize;
    let (mut pages, mut footer) =
        (group[..trailer - footer_len].to_vec(), group[trailer - footer_len..trailer].to_vec());
    let of_pages = input.u8() % 2 == 0;
    let target = if of_pages { &mut pages } else { &mut footer };
    while input.0.len() >= 3 {
        let at = usize::from(input.u16());
        let change = input.u8();
        match at % 8 {
            // Bytes are mostly changed, now and then put in or taken out.
            0 if !of_pages => target.insert((at / 8) % (target.len() + 1), change),
            1 if !of_pages && !target.is_empty() => _ = target.remove((at / 8) % target.len()),
            _ if !target.is_empty() => {
                let at = at % target.len();
                target[at] ^= change;
            }
            _ => {}
        }
    }
    if of_pages {
        let mut known = Footer::decode(&footer, pages.len() as u64, mark == ROW_GROUP_MAGIC_FINE)
            .expect("the footer is as it was written");
        for page in &mut known.pages {
            page.crc = crc32(0, &pages[page.offset as usize..][..page.len as usize]);
        }
        footer.clear();
        known.encode(Effort::Fast, &mut Scratch::default(), &mut footer);
    }
    pages.extend_from_slice(&with_trailer(&footer, mark));
    read_any_group(pages);
}

fn read_any_group(bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    let Ok(group) = RowGroup::open(source(bytes), 0, len) else { return };
    read_group(group);
}

pub(super) fn read_group(group: RowGroup) {
    let group = Arc::new(group);
    for page in 0..group.footer().pages.len().min(64) {
        let _ = group.page(page);
    }
    let _ = group.run_records();
    for key in group.footer().keys.iter() {
        assert!(group.key(key).is_some());
    }
    for index in 0..group.footer().series.len().min(64) {
        let count = group.axis_of(index).count;
        if count <= READ_MAX {
            let _ = group.stats(index);
        }
        read_any_part(&SeriesPart::Sealed(Arc::clone(&group), index));
        if !group.axis_of(index).pooled() {
            for (level, &buckets) in group.levels(index).iter().enumerate() {
                let _ = group.buckets(index, level, 0..buckets.min(READ_MAX));
            }
        }
    }
}

pub(super) fn fill_group<S: stepwell::internals::segment::writer::PageSink>(
    group: &mut RowGroupWriter<S>,
    longest: usize,
) -> Vec<RunKey> {
    let mut keys = Vec::new();
    for (run, count) in [3, 40, longest].into_iter().enumerate() {
        let state =
            RunState::new(RunId::of_key(RunKey(run as u128)), stepwell::ExperimentId::DEFAULT, "Default".into());
        let mut record = Vec::new();
        control::encode(&state, &mut record);
        let run = group.run(&record);
        keys.push(state.id.key());
        let steps: Vec<i64> = (0..count as i64).map(|index| index * 2 - index % 3).collect();
        let mut timestamps = Timestamps::default();
        steps.iter().for_each(|&step| timestamps.push((step % 5 != 0).then_some(1_000_000 + step)));
        let axis = group.axis(&steps, timestamps.view()).expect("memory");
        for (key, of) in [("loss", 0.37), ("acc", 1.0)] {
            let values: Vec<f64> = steps.iter().map(|&step| (step as f64 * of).sin()).collect();
            let name = SeriesName { run, key: group.key(key).expect("few keys"), writer: group.writer(WRITER), axis };
            group.series(name, &steps, timestamps.view(), &values).expect("memory");
        }
    }
    keys
}

/// Three runs with short series.
pub(super) fn small_group() -> &'static [u8] {
    static GROUP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    GROUP.get_or_init(|| {
        let mut group = RowGroupWriter::new(Vec::new(), Effort::Fast);
        fill_group(&mut group, 7);
        group.finish(0).expect("memory").0
    })
}

/// Three runs, one of them with pages and a pyramid of its own.
fn large_group() -> &'static [u8] {
    static GROUP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    GROUP.get_or_init(|| {
        let mut group = RowGroupWriter::new(Vec::new(), Effort::Tight);
        fill_group(&mut group, 1100);
        group.finish(0).expect("memory").0
    })
}

/// One series so long that its pyramid has a level below that of pages, and so dull that it takes few bytes.
fn fine_group() -> &'static [u8] {
    static GROUP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    GROUP.get_or_init(|| {
        let mut group = RowGroupWriter::new(Vec::new(), Effort::Tight);
        let steps: Vec<i64> = (0..FINE_FROM as i64).collect();
        let timestamps = Timestamps { ms: steps.clone(), absent: Vec::new() };
        let axis = group.axis(&steps, timestamps.view()).expect("memory");
        let (run, key) = (group.named_run(), group.key("loss").expect("one key"));
        let name = SeriesName { run, key, writer: group.writer(WRITER), axis };
        group.series(name, &steps, timestamps.view(), &vec![1.0; FINE_FROM]).expect("memory");
        group.finish(0).expect("memory").0
    })
}
