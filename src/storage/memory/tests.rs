//! Each rule of the fault model, in the smallest scenario that shows it: here, what a power loss leaves of files and
//! names.

mod faults;
mod mapping;
mod protocol;

use std::collections::BTreeSet;

use super::super::conformance::region;
use super::super::{File, Storage};
use super::*;

fn p(path: &str) -> &Path {
    Path::new(path)
}

/// A file that is synced, and whose name is too.
fn synced_file(disk: &SimDisk, path: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = disk.create_new(p(path)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(p("/")).unwrap();
    file
}

/// Every content that a file has in some image, `None` where it is absent.
fn outcomes(disk: &SimDisk, path: &str, samples: u64) -> BTreeSet<Option<Vec<u8>>> {
    disk.power_loss_images(samples).map(|image| image.content(p(path)).ok()).collect()
}

fn is(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

#[test]
fn what_was_synced_survives_every_power_loss() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, "/f", b"kept");
    assert!(disk.pending().is_empty());
    assert_eq!(outcomes(&disk, "/f", 100), BTreeSet::from([is(b"kept")]));
    file.write_at(b"more", 4).unwrap();
    for image in disk.power_loss_images(200) {
        assert!(image.content(p("/f")).unwrap().starts_with(b"kept"));
        assert!(image.pending().is_empty(), "what is left is durable");
    }
}

#[test]
fn what_was_not_synced_may_be_lost_torn_or_zero() {
    let disk = SimDisk::new();
    synced_file(&disk, "/f", b"").write_at(b"abcd", 0).unwrap();
    assert_eq!(outcomes(&disk, "/f", 0), BTreeSet::from([is(b""), is(b"abcd")]));
    let seen = outcomes(&disk, "/f", 400);
    for expected in [&b""[..], b"a", b"ab", b"abc", b"abcd", b"\0\0\0\0"] {
        assert!(seen.contains(&is(expected)), "{expected:?} is never seen");
    }
    assert_eq!(disk.power_loss(PowerLoss::DropAll).content(p("/f")).unwrap(), b"");
    assert_eq!(disk.power_loss(PowerLoss::KeepAll).content(p("/f")).unwrap(), b"abcd");
    assert_eq!(disk.content(p("/f")).unwrap(), b"abcd", "the disk itself goes on");
}

#[test]
fn a_later_write_may_be_there_and_an_earlier_one_not() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, "/f", b"");
    file.write_at(b"aa", 0).unwrap();
    file.write_at(b"bb", 2).unwrap();
    let expected = [is(b""), is(b"aa"), is(b"aabb"), is(b"\0\0bb")];
    assert_eq!(outcomes(&disk, "/f", 0), BTreeSet::from(expected));
}

#[test]
fn parts_of_one_long_write_may_be_missing_in_its_middle() {
    let disk = SimDisk::new();
    synced_file(&disk, "/f", b"").write_at(&[1; 8192], 0).unwrap();
    let holed = |bytes: &[u8]| {
        let sectors: Vec<bool> = bytes.chunks(512).map(|sector| sector.iter().all(|byte| *byte == 1)).collect();
        sectors.windows(2).any(|pair| !pair[0] && pair[1])
    };
    let contents = outcomes(&disk, "/f", 200);
    assert!(contents.iter().flatten().any(|bytes| holed(bytes)));
    let torn: Vec<usize> = contents.iter().flatten().map(Vec::len).collect();
    assert!(torn.iter().all(|len| len % 512 == 0), "beyond a page, writes are torn at sectors: {torn:?}");
}

#[test]
fn a_name_that_was_not_synced_may_vanish_though_the_file_was() {
    let disk = SimDisk::new();
    let file = disk.create_new(p("/f")).unwrap();
    file.write_at(b"x", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, "/f", 50), BTreeSet::from([None, is(b"x")]));
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(outcomes(&disk, "/f", 50), BTreeSet::from([is(b"x")]));
}

#[test]
fn a_file_whose_name_survived_may_be_empty() {
    let disk = SimDisk::new();
    disk.create_new(p("/f")).unwrap().write_at(b"x", 0).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(outcomes(&disk, "/f", 0), BTreeSet::from([is(b""), is(b"x")]));
}

#[test]
fn a_folder_takes_what_is_in_it_along() {
    let disk = SimDisk::new();
    disk.create_dir(p("/d")).unwrap();
    let file = disk.create_new(p("/d/f")).unwrap();
    file.sync().unwrap();
    disk.sync_dir(p("/d")).unwrap();
    assert_eq!(outcomes(&disk, "/d/f", 0), BTreeSet::from([None, is(b"")]));
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(outcomes(&disk, "/d/f", 0), BTreeSet::from([is(b"")]));
}

#[test]
fn a_rename_may_come_before_the_content_and_is_never_half() {
    let disk = SimDisk::new();
    synced_file(&disk, "/f", b"old");
    disk.create_new(p("/t")).unwrap().write_at(b"new", 0).unwrap();
    disk.rename(p("/t"), p("/f")).unwrap();
    assert_eq!(outcomes(&disk, "/f", 0), BTreeSet::from([is(b"old"), is(b""), is(b"new")]));
    let synced = SimDisk::new();
    synced_file(&synced, "/f", b"old");
    let file = synced.create_new(p("/t")).unwrap();
    file.write_at(b"new", 0).unwrap();
    file.sync().unwrap();
    synced.rename(p("/t"), p("/f")).unwrap();
    assert_eq!(outcomes(&synced, "/f", 50), BTreeSet::from([is(b"old"), is(b"new")]));
    for image in synced.power_loss_images(50) {
        let renamed = image.content(p("/f")).unwrap() == b"new";
        assert!(!(renamed && image.content(p("/t")).is_ok()), "the old name went with the rename");
    }
}

#[test]
fn syncing_one_folder_of_a_move_makes_both_names_durable() {
    for synced in ["/a", "/b"] {
        let disk = SimDisk::new();
        disk.create_dir(p("/a")).unwrap();
        disk.create_dir(p("/b")).unwrap();
        disk.sync_dir(p("/")).unwrap();
        disk.create_new(p("/a/f")).unwrap();
        disk.rename(p("/a/f"), p("/b/f")).unwrap();
        disk.sync_dir(p(synced)).unwrap();
        for image in disk.power_loss_images(20) {
            assert!(image.content(p("/a/f")).is_err() && image.content(p("/b/f")).is_ok(), "synced {synced}");
        }
    }
}

#[test]
fn a_removed_file_may_come_back_until_its_folder_is_synced() {
    let disk = SimDisk::new();
    drop(synced_file(&disk, "/f", b"x"));
    disk.remove_file(p("/f")).unwrap();
    assert_eq!(outcomes(&disk, "/f", 0), BTreeSet::from([None, is(b"x")]));
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(outcomes(&disk, "/f", 0), BTreeSet::from([None]));
    assert_eq!(disk.state.lock().nodes.len(), 1, "nothing is kept of it");
}

#[test]
fn names_and_nodes_are_counted_through_any_sequence() {
    // Names come, go and are synced at random; afterwards exactly what is reachable is left.
    for seed in 0..50 {
        let mut random = fate::Random::new(seed);
        let disk = SimDisk::new();
        disk.create_dir(p("/d")).unwrap();
        let name = |number: u64| format!("{}/{}", if number & 4 == 0 { "" } else { "/d" }, number & 3);
        for _ in 0..200 {
            let (a, b) = (name(random.below(8)), name(random.below(8)));
            let _ = match random.below(6) {
                0 | 1 => disk.create_new(p(&a)).map(drop),
                2 => disk.link(p(&a), p(&b)),
                3 => disk.rename(p(&a), p(&b)),
                4 => disk.remove_file(p(&a)),
                _ => disk.sync_dir(p(if random.below(2) == 0 { "/" } else { "/d" })),
            };
        }
        let before = disk.power_loss(PowerLoss::KeepAll);
        disk.sync_dir(p("/")).unwrap();
        disk.sync_dir(p("/d")).unwrap();
        let after = disk.power_loss(PowerLoss::DropAll);
        for number in 0..8 {
            let path = name(number);
            let open = |disk: &SimDisk| disk.open_read(p(&path)).is_ok();
            assert!(open(&disk) == open(&before) && open(&disk) == open(&after), "seed {seed}: {path}");
        }
        assert_eq!(disk.state.lock().nodes.len(), after.state.lock().nodes.len(), "seed {seed}");
        assert!(disk.pending().is_empty());
    }
}

#[test]
fn many_pending_changes_are_sampled_by_prefixes_omissions_and_pairs() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, "/f", b"");
    for index in 0..12u8 {
        file.write_at(&[index + 1], u64::from(index)).unwrap();
    }
    assert_eq!(disk.power_loss_images(0).count(), 13 + 12 + 66);
    assert_eq!(disk.power_loss_images(9).count(), 13 + 12 + 66 + 9);
    let seen = outcomes(&disk, "/f", 0);
    assert!(seen.contains(&is(&[1, 2, 3])) && seen.contains(&is(&[1, 2, 3, 0, 5, 6, 7, 8, 9, 10, 11, 12])));
    file.sync().unwrap();
    assert_eq!(disk.power_loss_images(0).count(), 1);
}

#[test]
fn the_same_seed_gives_the_same_image() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, "/f", b"");
    file.allocate(65_536).unwrap();
    let map = file.map(65_536).unwrap();
    region::store(&*map, 0, &[9; 65_536]);
    file.write_at(&[3; 10_000], 100_000).unwrap();
    let image = |seed| disk.power_loss(PowerLoss::Seeded(seed)).content(p("/f")).unwrap();
    assert!((0..40).all(|seed| image(seed) == image(seed)));
    assert!((0..40).map(image).collect::<BTreeSet<_>>().len() > 20);
}

#[test]
fn fates_are_chosen_for_each_change_in_order() {
    let disk = SimDisk::new();
    let file = disk.create_new(p("/f")).unwrap();
    file.write_at(b"abcdef", 0).unwrap();
    file.set_len(10).unwrap();
    let mut asked = Vec::new();
    let image = disk.power_loss_with(&mut |pending| {
        asked.push((pending.kind, pending.len));
        if pending.kind == PendingKind::Write { Fate::Torn(2) } else { Fate::Keep }
    });
    let create = PendingKind::Name(OpKind::Create);
    assert_eq!(asked, [(create, 0), (PendingKind::Write, 6), (PendingKind::SetLen, 10)]);
    assert_eq!(image.content(p("/f")).unwrap(), b"ab\0\0\0\0\0\0\0\0");
}
