//! Parcels and bundles: what a server takes from anybody with a token.

use stepwell::internals::base::control;
use stepwell::internals::log::frame::{self, Kind, Label};
use stepwell::internals::log::record::{Author, Batch, Record, Start};
use stepwell::internals::run::bundle::{Bundle, BundleBuilder};
use stepwell::internals::run::parcel::Parcel;
use stepwell::{ExperimentId, RunId};

use super::groups::small_group;
use super::{Input, WRITER};

/// A parcel and a bundle of any bytes.
pub fn parcel(data: &[u8]) {
    check(data.to_vec());
    if let Ok(bundle) = Bundle::open(data) {
        let _ = bundle.parcels();
    }
}

/// A parcel whose frames verify and say anything.
pub fn parcel_forged(data: &[u8]) {
    let mut input = Input(data);
    let author = Author { writer: WRITER, order: input.u64(), from: input.u64() };
    let author = (input.u8() % 16 != 0).then_some(author);
    let start = Start { writer: WRITER, order: 1, created_ms: 2, process: "p".into(), buffer_slots: 8, author };
    let (mut payload, mut bytes) = (Vec::new(), Vec::new());
    start.encode(&mut payload);
    frame::encode(Label { kind: Kind::Start, count: 0, sequence: 0, durable: 0 }, WRITER, 0, &payload, &mut bytes);
    while !input.0.is_empty() {
        let choice = input.u8();
        let len = usize::from(input.u8());
        let (kind, payload) = match choice % 8 {
            0 => (Kind::Records, input.bytes(len).to_vec()),
            1 | 2 => (Kind::Records, named(&mut input)),
            3 => (Kind::RowGroup, input.bytes(len).to_vec()),
            4 | 5 => (Kind::RowGroup, small_group().to_vec()),
            6 => (Kind::Start, payload.clone()),
            _ => (Kind::End, input.bytes(len % 2).to_vec()),
        };
        let count = if choice < 128 { u32::from(input.u8()) } else { 12 };
        let label = Label { kind, count, sequence: 0, durable: 0 };
        frame::encode(label, WRITER, bytes.len() as u64, &payload, &mut bytes);
    }
    frame::encode(
        Label { kind: Kind::End, count: 0, sequence: 0, durable: 0 },
        WRITER,
        bytes.len() as u64,
        &[],
        &mut bytes,
    );
    check(bytes);
}

/// A batch that names a run, and records of any bytes.
fn named(input: &mut Input<'_>) -> Vec<u8> {
    let (run, experiment) = (0, ExperimentId::DEFAULT);
    let id = RunId::new("r").expect("an id");
    let mut records = vec![Record::Run { run, id, experiment, experiment_name: "e".into() }];
    for number in 0..input.u8() % 4 {
        let len = usize::from(input.u8());
        match control::decode::<Record>(input.bytes(len)) {
            Ok(record) => records.push(record),
            Err(_) => records.push(Record::Series { series: u32::from(number), run, key: number.to_string() }),
        }
    }
    let mut payload = Vec::new();
    Batch { records, rows: Vec::new() }.encode(&mut payload);
    payload
}

/// What is taken comes to the same when it is sent on.
fn check(bytes: Vec<u8>) {
    let Ok(parcel) = Parcel::decode(bytes, 1 << 16) else { return };
    let mut builder = BundleBuilder::default();
    assert!(builder.add(&parcel).expect("what was taken can be sent"));
    let bundle = builder.close().expect("memory");
    let again = Bundle::open(&bundle).and_then(|bundle| bundle.parcels()).expect("what is sent is taken");
    assert!(again == [parcel], "a parcel that changes on the way");
}
