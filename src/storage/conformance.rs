//! Conformance tests of [`Storage`], for the real and the simulated disk.

use std::io::ErrorKind;
use std::path::Path;

use super::disk::Disk;
use super::memory::SimDisk;
use super::{Entry, File, Storage};

#[test]
fn the_real_disk_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance(&Disk, dir.path());
}

#[test]
fn the_simulated_disk_conforms() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/w")).unwrap();
    conformance(&disk, Path::new("/w"));
}

/// A rule, tested in an empty folder.
type Rule = fn(&dyn Storage, &Path);

/// Runs every rule in a folder of its own.
fn conformance(storage: &dyn Storage, root: &Path) {
    let rules: [(&str, Rule); 12] = [
        ("create", creating_is_exclusive),
        ("bytes", bytes_come_back),
        ("length", lengths_change_with_zeros),
        ("allocate", allocating_reserves_and_keeps),
        ("names", names_are_given_and_taken),
        ("rename", renaming_replaces),
        ("folders", folders_are_made_and_removed),
        ("moved", folders_take_what_is_in_them_along),
        ("taken", folders_replace_nothing_that_holds_something),
        ("locks", locks_belong_to_handles),
        ("unlinked", unlinked_files_live_on),
        ("mapping", mappings_are_the_file),
    ];
    for (name, rule) in rules {
        let folder = root.join(name);
        storage.create_dir(&folder).unwrap();
        rule(storage, &folder);
        storage.sync_dir(&folder).unwrap();
    }
    assert_eq!(names(storage, root).len(), rules.len());
    assert_eq!(storage.sync_dir(&root.join("absent")).unwrap_err().kind(), ErrorKind::NotFound);
}

fn names(storage: &dyn Storage, folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = storage.read_dir(folder).unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

fn kind_of<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

fn all(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(file.len().unwrap()).unwrap() + 10];
    let count = file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(count as u64, file.len().unwrap(), "a read is short only at the end");
    bytes.truncate(count);
    bytes
}

fn creating_is_exclusive(storage: &dyn Storage, folder: &Path) {
    let path = folder.join("f");
    assert_eq!(kind_of(storage.open_read(&path)), ErrorKind::NotFound);
    assert_eq!(kind_of(storage.open_write(&path)), ErrorKind::NotFound);
    assert_eq!(kind_of(storage.create_new(&folder.join("absent/f"))), ErrorKind::NotFound);
    let file = storage.create_new(&path).unwrap();
    assert!(file.is_empty().unwrap());
    file.write_at(b"x", 0).unwrap();
    assert_eq!(kind_of(storage.create_new(&path)), ErrorKind::AlreadyExists);
    assert_eq!(kind_of(storage.create_new(&path.join("below"))), ErrorKind::NotADirectory);
    assert_eq!(all(&*storage.open_read(&path).unwrap()), b"x");
    assert_eq!(kind_of(storage.open_read(folder)), ErrorKind::IsADirectory);
    assert_eq!(kind_of(storage.open_write(folder)), ErrorKind::IsADirectory);
    assert!(storage.create_new(&folder.join("n".repeat(256))).is_err(), "a name of 256 bytes is too long");
    storage.create_new(&folder.join("n".repeat(255))).unwrap();
}

fn bytes_come_back(storage: &dyn Storage, folder: &Path) {
    let path = folder.join("f");
    let file = storage.create_new(&path).unwrap();
    file.write_at(b"hello world", 0).unwrap();
    file.write_at(b"W", 6).unwrap();
    file.write_at(b"", 100).unwrap();
    assert_eq!(all(&*file), b"hello World", "an empty write changes nothing");
    file.write_at(b"end", 10_000).unwrap();
    file.sync().unwrap();
    let reader = storage.open_read(&path).unwrap();
    let bytes = all(&*reader);
    assert_eq!(bytes.len(), 10_003);
    assert_eq!(&bytes[..11], b"hello World");
    assert!(bytes[11..10_000].iter().all(|byte| *byte == 0));
    let mut part = [0; 4];
    assert_eq!(reader.read_at(&mut part, 9_999).unwrap(), 4);
    assert_eq!(&part, b"\0end");
    assert_eq!(reader.read_at(&mut part, 10_001).unwrap(), 2);
    assert_eq!(reader.read_at(&mut part, 10_003).unwrap(), 0);
    assert_eq!(reader.read_at(&mut part, 1 << 40).unwrap(), 0);
    assert!(reader.write_at(b"x", 0).is_err(), "a handle for reading does not write");
    let again = storage.open_write(&path).unwrap();
    again.write_at(b"J", 0).unwrap();
    assert_eq!(&all(&*reader)[..5], b"Jello", "handles see each other's writes");
    assert!(storage.modified_ms(&path).unwrap() > 1_600_000_000_000);
    assert!(file.write_at(b"x", u64::MAX).is_err());
}

fn lengths_change_with_zeros(storage: &dyn Storage, folder: &Path) {
    let file = storage.create_new(&folder.join("f")).unwrap();
    file.write_at(&[7; 5000], 0).unwrap();
    file.set_len(4097).unwrap();
    file.set_len(6000).unwrap();
    let bytes = all(&*file);
    assert_eq!(bytes.len(), 6000);
    assert!(bytes[..4097].iter().all(|byte| *byte == 7) && bytes[4097..].iter().all(|byte| *byte == 0));
    file.set_len(0).unwrap();
    assert!(file.is_empty().unwrap());
}

fn allocating_reserves_and_keeps(storage: &dyn Storage, folder: &Path) {
    let file = storage.create_new(&folder.join("f")).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.len().unwrap(), 0);
    file.write_at(b"kept", 0).unwrap();
    file.allocate(100_000).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
    file.allocate(50).unwrap();
    assert_eq!(file.len().unwrap(), 100_000, "allocating never shortens");
    let bytes = all(&*file);
    assert_eq!(&bytes[..4], b"kept");
    assert!(bytes[4..].iter().all(|byte| *byte == 0));
}

fn names_are_given_and_taken(storage: &dyn Storage, folder: &Path) {
    let (a, b) = (folder.join("a"), folder.join("b"));
    storage.create_new(&a).unwrap().write_at(b"one", 0).unwrap();
    storage.link(&a, &b).unwrap();
    assert_eq!(kind_of(storage.link(&a, &b)), ErrorKind::AlreadyExists);
    assert_eq!(kind_of(storage.link(&folder.join("absent"), &folder.join("c"))), ErrorKind::NotFound);
    storage.open_write(&a).unwrap().write_at(b"ONE", 0).unwrap();
    assert_eq!(all(&*storage.open_read(&b).unwrap()), b"ONE", "both names are the same file");
    storage.remove_file(&a).unwrap();
    assert_eq!(kind_of(storage.remove_file(&a)), ErrorKind::NotFound);
    assert!(storage.open_read(&b).unwrap().is_linked().unwrap());
    assert_eq!(storage.read_dir(folder).unwrap(), [Entry { name: "b".into(), is_dir: false }]);
}

fn renaming_replaces(storage: &dyn Storage, folder: &Path) {
    let (a, b) = (folder.join("a"), folder.join("b"));
    storage.create_new(&a).unwrap().write_at(b"new", 0).unwrap();
    let old = storage.create_new(&b).unwrap();
    old.write_at(b"old", 0).unwrap();
    storage.rename(&a, &b).unwrap();
    assert_eq!(names(storage, folder), ["b"]);
    assert_eq!(all(&*storage.open_read(&b).unwrap()), b"new");
    assert_eq!(all(&*old), b"old", "who has the replaced file open keeps it");
    assert!(!old.is_linked().unwrap());
    assert_eq!(kind_of(storage.rename(&a, &b)), ErrorKind::NotFound);
    storage.create_dir(&folder.join("d")).unwrap();
    assert_eq!(kind_of(storage.rename(&b, &folder.join("d"))), ErrorKind::IsADirectory);
    storage.rename(&b, &folder.join("d/moved")).unwrap();
    assert_eq!(names(storage, folder), ["d"]);
    storage.link(&folder.join("d/moved"), &b).unwrap();
    storage.rename(&b, &folder.join("d/moved")).unwrap();
    assert_eq!(names(storage, folder), ["b", "d"], "two names of one file: renaming does nothing");
}

fn folders_are_made_and_removed(storage: &dyn Storage, folder: &Path) {
    let inner = folder.join("inner");
    assert_eq!(kind_of(storage.create_dir(&folder.join("x/y"))), ErrorKind::NotFound);
    assert_eq!(kind_of(storage.read_dir(&inner)), ErrorKind::NotFound);
    storage.create_dir(&inner).unwrap();
    assert_eq!(kind_of(storage.create_dir(&inner)), ErrorKind::AlreadyExists);
    assert_eq!(storage.read_dir(folder).unwrap(), [Entry { name: "inner".into(), is_dir: true }]);
    storage.create_new(&inner.join("f")).unwrap();
    assert_eq!(kind_of(storage.remove_dir(&inner)), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind_of(storage.remove_dir(&inner.join("f"))), ErrorKind::NotADirectory);
    assert_eq!(kind_of(storage.read_dir(&inner.join("f"))), ErrorKind::NotADirectory);
    assert!(storage.remove_file(&inner).is_err());
    storage.rename(&inner, &folder.join("other")).unwrap();
    assert_eq!(names(storage, &folder.join("other")), ["f"]);
    storage.remove_file(&folder.join("other/f")).unwrap();
    storage.remove_dir(&folder.join("other")).unwrap();
    assert!(names(storage, folder).is_empty());
}

/// Journals rely on it: the old path of a renamed folder finds nothing and changes nothing.
fn folders_take_what_is_in_them_along(storage: &dyn Storage, folder: &Path) {
    let (old, new) = (folder.join("0"), folder.join("5"));
    storage.create_dir(&old).unwrap();
    let file = storage.create_new(&old.join("a")).unwrap();
    file.write_at(b"a", 0).unwrap();
    assert!(file.try_lock().unwrap());
    storage.create_new(&folder.join("entry")).unwrap().write_at(b"entry", 0).unwrap();
    storage.link(&folder.join("entry"), &old.join("1")).unwrap();
    storage.rename(&old, &new).unwrap();
    assert_eq!(names(storage, folder), ["5", "entry"]);
    assert_eq!(names(storage, &new), ["1", "a"]);
    for result in [
        storage.link(&folder.join("entry"), &old.join("2")),
        storage.rename(&folder.join("entry"), &old.join("2")),
        storage.create_new(&old.join("2")).map(drop),
        storage.open_read(&old.join("a")).map(drop),
        storage.open_write(&old.join("a")).map(drop),
        storage.remove_file(&old.join("a")),
        storage.sync_dir(&old),
        storage.read_dir(&old).map(drop),
        storage.rename(&old, &folder.join("9")),
    ] {
        assert_eq!(kind_of(result), ErrorKind::NotFound);
    }
    assert_eq!(names(storage, folder), ["5", "entry"], "nothing was made under the old name");
    storage.link(&folder.join("entry"), &new.join("2")).unwrap();
    assert_eq!(kind_of(storage.link(&folder.join("entry"), &new.join("2"))), ErrorKind::AlreadyExists);
    assert_eq!(all(&*storage.open_read(&new.join("2")).unwrap()), b"entry");
    // Handles, and locks, are the file's and not the name's.
    file.write_at(b"b", 1).unwrap();
    assert_eq!(all(&*storage.open_read(&new.join("a")).unwrap()), b"ab");
    assert!(file.is_linked().unwrap());
    assert!(!storage.open_write(&new.join("a")).unwrap().try_lock().unwrap());
    storage.sync_dir(&new).unwrap();
    // The old name is free for another folder.
    storage.create_dir(&old).unwrap();
    assert_eq!(names(storage, &old), Vec::<String>::new());
}

fn folders_replace_nothing_that_holds_something(storage: &dyn Storage, folder: &Path) {
    let paths = ["from", "empty", "full", "file"].map(|name| folder.join(name));
    let [from, empty, full, file] = &paths;
    [from, empty, full].iter().for_each(|path| storage.create_dir(path).unwrap());
    storage.create_new(&from.join("f")).unwrap().write_at(b"from", 0).unwrap();
    storage.create_new(&full.join("f")).unwrap().write_at(b"full", 0).unwrap();
    storage.create_new(file).unwrap();
    assert_eq!(kind_of(storage.rename(from, full)), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind_of(storage.rename(from, file)), ErrorKind::NotADirectory);
    assert_eq!(kind_of(storage.rename(file, from)), ErrorKind::IsADirectory);
    assert_eq!(kind_of(storage.rename(from, &from.join("within"))), ErrorKind::InvalidInput);
    assert!(storage.link(from, &folder.join("link")).is_err(), "a folder has one name");
    assert_eq!(kind_of(storage.link(file, full)), ErrorKind::AlreadyExists);
    assert_eq!(all(&*storage.open_read(&full.join("f")).unwrap()), b"full");
    storage.rename(from, from).unwrap();
    storage.rename(from, empty).unwrap();
    assert_eq!(names(storage, folder), ["empty", "file", "full"]);
    assert_eq!(all(&*storage.open_read(&empty.join("f")).unwrap()), b"from");
}

fn locks_belong_to_handles(storage: &dyn Storage, folder: &Path) {
    let path = folder.join("f");
    let first = storage.create_new(&path).unwrap();
    let second = storage.open_write(&path).unwrap();
    assert!(first.try_lock().unwrap());
    assert!(first.try_lock().unwrap(), "who has it has it");
    assert!(!second.try_lock().unwrap(), "another handle of the same process does not get it");
    drop(storage.open_write(&path).unwrap());
    assert!(!second.try_lock().unwrap(), "closing a third handle frees nothing");
    drop(first);
    assert!(second.try_lock().unwrap(), "the lock ends with its handle");
}

fn unlinked_files_live_on(storage: &dyn Storage, folder: &Path) {
    let path = folder.join("f");
    let file = storage.create_new(&path).unwrap();
    assert!(file.is_linked().unwrap());
    storage.remove_file(&path).unwrap();
    assert!(!file.is_linked().unwrap());
    file.write_at(b"still here", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(all(&*file), b"still here");
    let other = storage.create_new(&path).unwrap();
    assert!(other.is_empty().unwrap() && other.is_linked().unwrap());
}

/// Reads and writes the bytes of a region.
#[allow(unsafe_code)]
pub(super) mod region {
    use super::super::Region;

    pub(in super::super) fn store(region: &dyn Region, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= region.len());
        // SAFETY: the range is within the region, which lives, and no other thread has it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), region.as_ptr().add(offset), bytes.len()) };
    }

    pub(in super::super) fn load(region: &dyn Region, offset: usize, len: usize) -> Vec<u8> {
        assert!(offset + len <= region.len());
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(region.as_ptr().add(offset), len) }.to_vec()
    }
}

fn mappings_are_the_file(storage: &dyn Storage, folder: &Path) {
    let path = folder.join("f");
    let file = storage.create_new(&path).unwrap();
    assert!(file.map(1).is_err(), "an empty file has nothing to map");
    file.write_at(b"before", 0).unwrap();
    file.allocate(16_384).unwrap();
    assert!(file.map(0).is_err());
    let first = file.map(8192).unwrap();
    assert_eq!(first.len(), 8192);
    assert!(!first.is_empty());
    assert_eq!(first.as_ptr().align_offset(4096), 0);
    assert_eq!(region::load(&*first, 0, 6), b"before");
    region::store(&*first, 8190, b"ab");
    file.write_at(b"c", 8189).unwrap();
    file.write_at(b"tail", 16_384).unwrap();
    assert_eq!(region::load(&*first, 8189, 3), b"cab", "writes are seen in the mapping");
    let reader = storage.open_read(&path).unwrap();
    assert!(reader.map(4096).is_err(), "a handle for reading does not map for writing");
    let mut across = [0; 5];
    assert_eq!(reader.read_at(&mut across, 8188).unwrap(), 5);
    assert_eq!(&across, b"\0cab\0", "stores are seen by readers");
    let second = file.map(16_384).unwrap();
    region::store(&*second, 0, b"B");
    assert_eq!(region::load(&*first, 0, 6), b"Before", "mappings of one file share its bytes");
    let longer = file.map(65_536).unwrap();
    assert_eq!((longer.len(), region::load(&*longer, 8189, 3)), (65_536, b"cab".to_vec()));
    assert_eq!(file.len().unwrap(), 16_388, "a mapping makes no file longer");
    file.allocate(40_000).unwrap();
    region::store(&*longer, 30_000, b"late");
    assert_eq!(region::load(&*longer, 16_384, 4), b"tail");
    let mut late = [0; 6];
    assert_eq!(reader.read_at(&mut late, 29_999).unwrap(), 6);
    assert_eq!(&late, b"\0late\0", "what was allocated later is in a longer mapping");
    drop((first, second, longer));
    file.set_len(16_388).unwrap();
    file.sync().unwrap();
    let bytes = all(&*reader);
    assert_eq!((bytes.len(), &bytes[16_384..], &bytes[..6]), (16_388, &b"tail"[..], &b"Before"[..]));
    file.set_len(4096).unwrap();
    assert_eq!(all(&*reader).len(), 4096);
}
