//! Planned faults, full and lying disks, the trace, damage, odd paths.

use std::io::ErrorKind;

use super::*;

#[test]
fn a_planned_fault_strikes_once_or_for_ever() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, "/f", b"");
    disk.fail_at(disk.operations() + 1, libc::EIO, Times::Once);
    file.write_at(b"abcd", 0).unwrap();
    assert_eq!(file.write_at(b"efgh", 4).unwrap_err().raw_os_error(), Some(libc::EIO));
    assert_eq!(disk.content(p("/f")).unwrap(), b"abcdef", "half a failed write is there");
    file.write_at(b"efgh", 4).unwrap();
    disk.fail_at(disk.operations(), ErrorKind::StorageFull, Times::Forever);
    for _ in 0..3 {
        assert_eq!(file.len().unwrap_err().kind(), ErrorKind::StorageFull);
    }
    disk.clear_faults();
    assert_eq!(file.len().unwrap(), 8);
}

#[test]
fn a_fault_may_count_one_kind_and_lose_only_the_answer() {
    let disk = SimDisk::new();
    let fault = |only, at, effect| Fault { at, only: Some(only), error: libc::EIO.into(), times: Times::Once, effect };
    disk.add_fault(fault(OpKind::Create, 1, Effect::Whole));
    disk.add_fault(fault(OpKind::Write, 0, Effect::Bytes(1)));
    disk.add_fault(fault(OpKind::Write, 1, Effect::Nothing));
    let file = disk.create_new(p("/a")).unwrap();
    assert!(disk.create_new(p("/b")).is_err());
    assert!(disk.open_read(p("/b")).is_ok(), "it happened, only the answer was lost");
    assert!(file.write_at(b"xyz", 0).is_err());
    assert_eq!(disk.content(p("/a")).unwrap(), b"x");
    assert!(file.write_at(b"xyz", 0).is_err());
    assert_eq!(disk.content(p("/a")).unwrap(), b"x");
    file.write_at(b"xyz", 0).unwrap();
    assert_eq!(disk.content(p("/a")).unwrap(), b"xyz");
}

#[test]
fn a_lying_disk_answers_ok_and_keeps_nothing() {
    let disk = SimDisk::new();
    disk.set_lying(true);
    synced_file(&disk, "/f", b"x");
    assert!(disk.power_loss(PowerLoss::DropAll).read_dir(p("/")).unwrap().is_empty());
    assert_eq!(disk.power_loss(PowerLoss::KeepAll).content(p("/f")).unwrap(), b"x");
}

#[test]
fn a_full_disk_takes_what_fits_and_frees_what_is_removed() {
    let disk = SimDisk::new();
    disk.set_capacity(3 * 4096);
    let file = disk.create_new(p("/f")).unwrap();
    assert_eq!(file.allocate(16_384).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 0, "an allocation is whole or not at all");
    file.allocate(8192).unwrap();
    file.write_at(&[1; 8192], 0).unwrap();
    let error = file.write_at(&[2; 8192], 4096 + 1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 12_288, "what fits was written");
    let other = disk.create_new(p("/g")).unwrap();
    assert_eq!(other.write_at(b"x", 0).unwrap_err().kind(), ErrorKind::StorageFull);
    other.set_len(1 << 20).unwrap();
    assert!(other.map(4096).is_err(), "a hole cannot be mapped");
    disk.remove_file(p("/f")).unwrap();
    assert!(other.write_at(b"x", 0).is_err(), "an open file keeps its room");
    drop(file);
    other.write_at(b"x", 0).unwrap();
    other.allocate(12_288).unwrap();
    let image = disk.process_crash();
    assert!(image.create_new(p("/h")).unwrap().allocate(1).is_err(), "an image has the same room");
}

#[test]
fn the_trace_tells_order_and_identity() {
    let disk = SimDisk::new();
    let file = disk.create_new(p("/t")).unwrap();
    file.write_at(b"abc", 5).unwrap();
    file.sync().unwrap();
    disk.rename(p("/t"), p("/f")).unwrap();
    assert!(disk.remove_file(p("/t")).is_err());
    let reader = disk.open_read(p("/f")).unwrap();
    reader.read_at(&mut [0; 2], 1).unwrap();
    let trace = disk.trace();
    let kinds: Vec<_> = trace.iter().map(|op| op.kind).collect();
    use OpKind::{Create, Open, Read, RemoveFile, Rename, Sync, Write};
    assert_eq!(kinds, [Create, Write, Sync, Rename, RemoveFile, Open, Read]);
    assert!(trace.iter().enumerate().all(|(index, op)| op.number == index as u64));
    assert!(trace.iter().all(|op| op.ok == (op.kind != RemoveFile)));
    assert_eq!((trace[1].offset, trace[1].len, &*trace[1].path), (5, 3, p("/t")));
    assert_eq!(trace[3].to.as_deref(), Some(p("/f")));
    assert!(trace[1].file.is_some() && trace[1].file == trace[6].file, "renames keep the identity");
}

#[test]
fn damage_is_seen_at_once_and_stays() {
    let disk = SimDisk::new();
    synced_file(&disk, "/f", b"abc");
    disk.damage(p("/f"), |bytes| bytes[1] ^= 1).unwrap();
    assert_eq!(disk.content(p("/f")).unwrap(), b"acc");
    assert_eq!(outcomes(&disk, "/f", 10), BTreeSet::from([is(b"acc")]));
}

#[test]
fn odd_paths_are_errors() {
    let disk = SimDisk::new();
    assert_eq!(disk.create_dir(p("/")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(disk.remove_dir(p("/")).is_err());
    assert_eq!(disk.create_dir(p("a/../b")).unwrap_err().kind(), ErrorKind::InvalidInput);
    disk.create_dir(p("a")).unwrap();
    assert!(disk.mapping_is_safe(p("/a")) && !disk.mapping_is_safe(p("/absent")));
    assert_eq!(disk.rename(p("/a"), p("/a/b")).unwrap_err().kind(), ErrorKind::InvalidInput);
    let file = disk.create_new(p("./a/f")).unwrap();
    assert_eq!(file.set_len(u64::MAX).unwrap_err().raw_os_error(), Some(libc::EFBIG));
    assert_eq!(disk.link(p("/a"), p("/l")).unwrap_err().kind(), ErrorKind::PermissionDenied);
}
