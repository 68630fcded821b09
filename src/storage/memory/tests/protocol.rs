//! The simulated disk as a judge: a right way to publish a file passes at every operation, and wrong ways are caught.

use super::*;

/// The steps of replacing a file, of which a wrong way leaves some out or changes their order.
#[derive(Clone, Copy)]
enum Step {
    Write,
    SyncFile,
    Rename,
    SyncFolder,
    /// The caller is told that the new content is durable.
    Acknowledge,
}
use Step::{Acknowledge, Rename, SyncFile, SyncFolder, Write};

/// Takes the steps; returns whether it came to the acknowledgement.
fn publish(disk: &SimDisk, steps: &[Step]) -> std::io::Result<bool> {
    let temporary = disk.create_new(p("/t"))?;
    for step in steps {
        match step {
            Write => {
                temporary.write_at(&[1; 3000], 0)?;
                temporary.write_at(&[2; 3000], 3000)?;
            }
            SyncFile => temporary.sync()?,
            Rename => disk.rename(p("/t"), p("/f"))?,
            SyncFolder => disk.sync_dir(p("/"))?,
            Acknowledge => return Ok(true),
        }
    }
    Ok(false)
}

/// Stops the process or the machine before each operation, and returns how many images broke a promise: the name leads
/// to the old or the new content, wholly, and to the new one once it was acknowledged.
fn broken_views(steps: &[Step]) -> usize {
    let new = [[1; 3000], [2; 3000]].concat();
    let mut broken = 0;
    for stop in 0.. {
        let disk = SimDisk::new();
        synced_file(&disk, "/f", b"old");
        let first = disk.operations();
        disk.crash_at(first + stop);
        let acknowledged = match publish(&disk, steps) {
            Ok(acknowledged) => acknowledged,
            Err(error) => {
                assert!(is_crash(&error), "{error}");
                false
            }
        };
        let judge = |image: &SimDisk| match image.content(p("/f")) {
            Ok(content) if content == new => true,
            Ok(content) => content == b"old" && !acknowledged,
            Err(_) => false,
        };
        assert!(judge(&disk.process_crash()), "a killed process harms nobody");
        broken += disk.power_loss_images(50).filter(|image| !judge(image)).count();
        if disk.operations() < first + stop {
            return broken;
        }
    }
    unreachable!("the steps end")
}

#[test]
fn the_right_order_survives_everything() {
    assert_eq!(broken_views(&[Write, SyncFile, Rename, SyncFolder, Acknowledge]), 0);
}

#[test]
fn each_wrong_order_is_caught() {
    let wrong: [&[Step]; 4] = [
        &[Write, Rename, SyncFolder, Acknowledge],
        &[Write, Rename, SyncFile, SyncFolder, Acknowledge],
        &[Write, SyncFile, Rename, Acknowledge],
        &[Write, SyncFile, SyncFolder, Rename, Acknowledge],
    ];
    for (index, steps) in wrong.into_iter().enumerate() {
        assert!(broken_views(steps) > 0, "wrong order {index} passes");
    }
}

#[test]
fn the_trace_shows_the_order_too() {
    let disk = SimDisk::new();
    publish(&disk, &[Write, SyncFile, Rename, SyncFolder]).unwrap();
    let trace = disk.trace();
    let last = |kind| trace.iter().rposition(|op| op.kind == kind).unwrap();
    assert!(last(OpKind::Write) < last(OpKind::Sync) && last(OpKind::Sync) < last(OpKind::Rename));
    assert!(last(OpKind::Rename) < last(OpKind::SyncDir));
}
