//! Mapped files: torn pages, killed processes, failed syncs.

use std::io::ErrorKind;

use super::super::super::Region;
use super::*;

/// A file of four mapped pages, all synced.
fn mapped(disk: &SimDisk) -> (Box<dyn File>, Box<dyn Region>) {
    let file = synced_file(disk, "/m", b"");
    file.allocate(16_384).unwrap();
    file.sync().unwrap();
    let map = file.map(16_384).unwrap();
    (file, map)
}

#[test]
fn mapped_pages_are_kept_dropped_or_mixed_each_for_itself() {
    let disk = SimDisk::new();
    let (file, map) = mapped(&disk);
    region::store(&*map, 0, &[1; 4096]);
    region::store(&*map, 8192, &[2; 4096]);
    let kinds: Vec<_> = disk.pending().into_iter().map(|pending| (pending.kind, pending.offset)).collect();
    assert_eq!(kinds, [(PendingKind::Page, 0), (PendingKind::Page, 8192)]);
    let pages = |bytes: &[u8]| (bytes[0], bytes[4096], bytes[8192], bytes[12_288]);
    let seen: BTreeSet<_> = outcomes(&disk, "/m", 0).iter().flatten().map(|bytes| pages(bytes)).collect();
    assert_eq!(seen, BTreeSet::from([(0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 2, 0), (1, 0, 2, 0)]));
    let mut units = BTreeSet::new();
    for bytes in outcomes(&disk, "/m", 300).iter().flatten() {
        assert_eq!(bytes.len(), 16_384);
        assert!(bytes[4096..8192].iter().all(|byte| *byte == 0), "a page without stores is as it was");
        for unit in [512, 32, 8] {
            let whole = bytes[..4096].chunks(unit).all(|part| part.iter().all(|byte| *byte == part[0]));
            if whole && bytes[..4096].windows(2).any(|pair| pair[0] != pair[1]) {
                units.insert(unit);
                break;
            }
        }
    }
    assert_eq!(units, BTreeSet::from([512, 32, 8]), "torn at sectors, slots and words");
    file.sync().unwrap();
    assert!(disk.pending().is_empty());
    assert_eq!(disk.power_loss(PowerLoss::DropAll).content(p("/m")).unwrap()[0], 1);
}

#[test]
fn a_mapped_page_beyond_the_durable_length_is_lost() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, "/m", b"");
    file.allocate(8192).unwrap();
    let map = file.map(8192).unwrap();
    region::store(&*map, 5000, b"x");
    let lengths: BTreeSet<_> = outcomes(&disk, "/m", 0).into_iter().flatten().map(|bytes| bytes.len()).collect();
    assert_eq!(lengths, BTreeSet::from([0, 8192]));
}

#[test]
fn a_killed_process_leaves_its_stores_and_frees_its_locks() {
    let disk = SimDisk::new();
    let (file, map) = mapped(&disk);
    assert!(file.try_lock().unwrap());
    region::store(&*map, 100, b"stored");
    file.write_at(b"written", 16_384).unwrap();
    let image = disk.process_crash();
    region::store(&*map, 100, b"LATER!");
    let bytes = image.content(p("/m")).unwrap();
    assert_eq!((&bytes[100..106], &bytes[16_384..]), (&b"stored"[..], &b"written"[..]));
    let next = image.open_write(p("/m")).unwrap();
    assert!(next.try_lock().unwrap(), "the lock went with the process");
    assert!(file.try_lock().unwrap(), "and is another disk's");
    let lost = image.power_loss(PowerLoss::DropAll).content(p("/m")).unwrap();
    assert_eq!((lost.len(), lost[100]), (16_384, 0), "after a kill, the machine may still stop");
    next.sync().unwrap();
    let bytes = image.power_loss(PowerLoss::DropAll).content(p("/m")).unwrap();
    assert_eq!(&bytes[100..106], b"stored", "the next process's sync covers them");
}

#[test]
fn a_crash_ends_every_call_and_every_store() {
    let disk = SimDisk::new();
    let (file, map) = mapped(&disk);
    disk.crash_at(disk.operations() + 1);
    file.write_at(b"whole", 0).unwrap();
    let error = file.write_at(b"torn", 10).unwrap_err();
    assert!(is_crash(&error) && is_crash(&std::io::Error::other(error)), "also when wrapped");
    region::store(&*map, 20, b"by the dead");
    for error in [file.sync(), disk.sync_dir(p("/")), disk.create_new(p("/g")).map(drop), file.len().map(drop)] {
        assert!(is_crash(&error.unwrap_err()));
    }
    assert!(!is_crash(&std::io::Error::other("else")));
    let image = disk.process_crash();
    assert_eq!(&image.content(p("/m")).unwrap()[..32], b"whole\0\0\0\0\0to\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert!(image.create_new(p("/g")).is_ok(), "the next process works");
}

#[test]
fn a_failed_sync_is_never_made_good_by_a_later_one() {
    let disk = SimDisk::new();
    let (file, map) = mapped(&disk);
    region::store(&*map, 0, b"first");
    file.write_at(b"tail", 16_384).unwrap();
    disk.fail_at(disk.operations(), libc::EIO, Times::Once);
    assert!(file.sync().is_err());
    region::store(&*map, 4096, b"second");
    file.sync().unwrap();
    let live = disk.content(p("/m")).unwrap();
    assert_eq!((&live[..5], &live[16_384..]), (&b"first"[..], &b"tail"[..]), "readers still see it");
    for image in disk.power_loss_images(20) {
        let bytes = image.content(p("/m")).unwrap();
        assert_eq!(&bytes[..5], &[0; 5]);
        assert_eq!(&bytes[4096..4102], b"second");
        assert_eq!(&bytes[16_384..], &[0; 4], "the length came, the bytes did not");
    }
    file.write_at(b"tail", 16_384).unwrap();
    region::store(&*map, 0, b"FIRST");
    file.sync().unwrap();
    let bytes = disk.power_loss(PowerLoss::DropAll).content(p("/m")).unwrap();
    assert_eq!((&bytes[..5], &bytes[16_384..]), (&b"FIRST"[..], &b"tail"[..]), "written anew, it is synced anew");
}

#[test]
fn a_mapped_file_is_not_shortened_and_grows_in_place() {
    let disk = SimDisk::new();
    let (file, map) = mapped(&disk);
    assert_eq!(file.set_len(100).unwrap_err().kind(), ErrorKind::InvalidInput);
    file.allocate(1 << 20).unwrap();
    let longer = file.map(1 << 20).unwrap();
    assert_eq!(map.as_ptr(), longer.as_ptr());
    region::store(&*longer, 5, b"five");
    let image = disk.process_crash();
    let next = image.open_write(p("/m")).unwrap();
    let taken_over = next.map(1 << 20).unwrap();
    assert_eq!(region::load(&*taken_over, 5, 4), b"five");
    next.allocate(2 << 20).unwrap();
    let grown = next.map(2 << 20).unwrap();
    assert_eq!(taken_over.as_ptr(), grown.as_ptr(), "the next process's mapping grows in place too");
    drop((map, longer));
    file.set_len(7).unwrap();
    assert_eq!(disk.content(p("/m")).unwrap(), b"\0\0\0\0\0fi");
    let seen = outcomes(&disk, "/m", 0);
    assert!(seen.contains(&is(b"\0\0\0\0\0fi")) && seen.contains(&is(b"\0\0\0\0\0\0\0")), "stores may still be lost");
}
