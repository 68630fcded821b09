//! Pages that follow the code: the format's hashes and examples, the README's example, links.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use stepwell::internals::base::bytes::put_varint;
use stepwell::internals::base::checksum::crc32;
use stepwell::internals::base::control;
use stepwell::internals::log::frame;
use stepwell::internals::log::frame::Kind;
use stepwell::internals::log::record::{Attribute, Batch, Record, Row};
use stepwell::internals::log::slot::{Check, Slot};
use stepwell::{ExperimentId, Point, RunId, RunStatus, WriterId};

use crate::tidy::{files, none, read, root};

/// Files whose bytes `docs/format.md` spells out.
const FORMAT: [&str; 12] = [
    "src/log/frame.rs",
    "src/log/record.rs",
    "src/log/slot.rs",
    "src/log/ledger.rs",
    "src/segment/layout.rs",
    "src/segment/footer.rs",
    "src/segment/pack.rs",
    "src/journal/entry.rs",
    "src/journal/chain.rs",
    "src/journal/publish.rs",
    "src/journal/fold.rs",
    "src/journal/manifest.rs",
];

#[test]
fn the_format_page_follows_the_code() {
    let page = read("docs/format.md");
    let hashes = page.split("## 19. Hashes").nth(1).expect("the page ends with the section of hashes");
    let listed: BTreeMap<&str, &str> =
        hashes.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |")?.split_once("` | `")).collect();
    let mut found = Vec::new();
    for path in FORMAT {
        let hash = format!("{:08x}", crc32(0, read(path).as_bytes()));
        match listed.get(path) {
            Some(known) if *known == hash => {}
            _ => found.push(format!("| `{path}` | `{hash}` |")),
        }
    }
    none(&found, "compare docs/format.md with what changed in these files, then put their hashes there");
    assert_eq!(listed.len(), FORMAT.len(), "files on the page that no test knows");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{}{byte:02x}", if hex.is_empty() { "" } else { " " });
        hex
    })
}

#[test]
fn the_format_pages_examples_are_what_the_code_writes() {
    let mut examples: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut tuple = Vec::new();
    control::encode(&(1_u8, 300_u32, -1_i64, "ab", Some(2_u64), 1.0_f64), &mut tuple);
    examples.push(("a control record", tuple));
    let mut framed = Vec::new();
    let label = frame::Label { kind: Kind::Records, count: 3, sequence: 5, durable: 64 };
    frame::encode(label, WriterId(7), 100, b"payload", &mut framed);
    examples.push(("a frame", framed));
    let (run, lr) = (0, || "lr".to_owned());
    let records = vec![
        Record::Run {
            run,
            id: RunId::new("r1").unwrap(),
            experiment: ExperimentId::DEFAULT,
            experiment_name: "Default".into(),
        },
        Record::Series { series: 0, run, key: "loss".into() },
        Record::Param { run, key: lr(), value: "0.1".into(), order: 1 },
        Record::ParamRetracted { run, key: lr() },
        Record::Tag { run, key: "a".into(), value: None, order: 2 },
        Record::Attribute { run, attribute: Attribute::Status(RunStatus::Finished), order: 3 },
    ];
    let rows = vec![Row::new(0, Point { step: -1, timestamp_ms: Some(2), value: 1.0 })];
    let mut batch = Vec::new();
    Batch { records, rows }.encode(&mut batch);
    examples.push(("a batch", batch));
    let check = Check::new(WriterId(0x0123_4567_89AB_CDEF_0011_2233_4455_6677));
    examples.push(("a slot", Slot::new(9, -5, Some(17), f64::NAN).sealed(check, 3).to_bytes().to_vec()));
    let page = read("docs/format.md").replace('\n', " ");
    for (what, bytes) in examples {
        assert!(page.contains(&format!("`{}`", hex(&bytes))), "{what} is {}", hex(&bytes));
    }
    assert!(page.contains(&format!("`0x{:08X}`", crc32(7, b"abc"))));
    let mut varint = Vec::new();
    put_varint(&mut varint, 300);
    assert_eq!(varint, [0xAC, 0x02]);
}

#[test]
fn the_readme_shows_the_example_that_is_compiled() {
    let library = read("src/lib.rs");
    let example: Vec<&str> = library
        .lines()
        .skip_while(|line| *line != "//! ```")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.strip_prefix("//!").map_or(line, |line| line.strip_prefix(' ').unwrap_or(line)))
        .filter(|line| !line.starts_with("# "))
        .collect();
    assert!(example.len() > 20, "src/lib.rs has the example");
    let shown = format!("```rust\n{}\n```", example.join("\n"));
    assert!(read("README.md").contains(&shown), "README.md must show the example of src/lib.rs:\n{shown}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut found = Vec::new();
    for (path, text) in files(".md") {
        let dir = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or("");
            if !file.is_empty() && !file.contains("://") && !root().join(&dir).join(file).exists() {
                found.push(format!("{path}: {target}"));
            }
        }
    }
    none(&found, "links between pages lead somewhere");
}
