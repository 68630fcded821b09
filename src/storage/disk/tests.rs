//! What only the real disk can show: odd files, modes, blocks, limits.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn modes_keep_other_users_out() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file) = (dir.path().join("d"), dir.path().join("d/f"));
    Disk.create_dir(&folder).unwrap();
    Disk.create_new(&file).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_no_regular_file_is_refused_without_blocking() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    Disk.create_new(&at("file")).unwrap();
    symlink(at("file"), at("link")).unwrap();
    symlink(at("absent"), at("dangling")).unwrap();
    Disk.create_dir(&at("folder")).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    let fifo = CString::new(at("fifo").as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is a terminated string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for name in ["link", "dangling", "fifo", "socket"] {
        for result in [Disk.open_read(&at(name)), Disk.open_write(&at(name))] {
            let error = result.err().unwrap_or_else(|| panic!("{name} was opened"));
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
            assert!(error.to_string().contains("regular file"), "{name}: {error}");
        }
        assert_eq!(Disk.create_new(&at(name)).err().unwrap().kind(), ErrorKind::AlreadyExists, "{name}");
    }
    assert_eq!(Disk.open_read(&at("folder")).err().unwrap().kind(), ErrorKind::IsADirectory);
    assert_eq!(Disk.open_write(&at("folder")).err().unwrap().kind(), ErrorKind::IsADirectory);
    assert!(!at("absent").exists(), "nothing was created through the link");
    assert!(Disk.open_read(Path::new("/dev/null")).is_err());
}

#[test]
fn allocation_by_writing_keeps_what_is_there_and_fills_holes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    drop(Disk.create_new(&path).unwrap());
    let file = DiskFile::new(options(true).open(&path).unwrap()).unwrap();
    file.set_len(300_000).unwrap();
    file.write_at(b"kept", 200_000).unwrap();
    file.allocate_by_writing(400_001).unwrap();
    assert_eq!(file.len().unwrap(), 400_001);
    let mut bytes = vec![1u8; 500_000];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 400_001);
    assert_eq!(&bytes[200_000..200_004], b"kept");
    assert_eq!(bytes[..400_001].iter().filter(|byte| **byte != 0).count(), 4);
    assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 400_001, "no hole is left");
}

#[test]
fn allocated_blocks_exist() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file = Disk.create_new(&path).unwrap();
    file.allocate(1 << 20).unwrap();
    assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 1 << 20);
}

#[test]
fn the_file_size_limit_is_an_error_and_no_signal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    drop(Disk.create_new(&path).unwrap());
    let file = DiskFile { file: options(true).open(&path).unwrap(), max_len: 4096 };
    file.write_at(&[1; 4096], 0).unwrap();
    for result in [file.write_at(&[1], 4096), file.write_at(&[1], u64::MAX), file.set_len(4097), file.allocate(4097)] {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EFBIG));
    }
    assert_eq!(file.len().unwrap(), 4096);
}

#[test]
fn mapping_is_judged_by_the_file_system() {
    assert!(!Disk.mapping_is_safe(Path::new("/proc")), "proc is no place for files");
    assert!(!Disk.mapping_is_safe(Path::new("/does/not/exist")));
    if Path::new("/dev/shm").is_dir() && cfg!(target_os = "linux") {
        assert!(Disk.mapping_is_safe(Path::new("/dev/shm")), "tmpfs keeps mapped stores");
    }
}

#[test]
fn names_that_are_not_utf8_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff")), b"").unwrap();
    fs::write(dir.path().join("good"), b"").unwrap();
    let entries = Disk.read_dir(dir.path()).unwrap();
    assert_eq!(entries, [Entry { name: "good".into(), is_dir: false }]);
}

#[test]
fn beneath_a_folder_no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("w"), dir.path().join("home"));
    for folder in [&root, &outside, &root.join("logs")] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(outside.join("thesis"), b"kept").unwrap();
    symlink(&outside, root.join("tmp")).unwrap();
    symlink("../../home", root.join("logs/ab")).unwrap();
    symlink(outside.join("thesis"), root.join("logs/link")).unwrap();
    // The folder itself may be reached by a link.
    symlink(&root, dir.path().join("by_link")).unwrap();
    let root = dir.path().join("by_link");
    let disk = Disk.beneath(&root).unwrap().unwrap();
    disk.create_new(&root.join("logs/own")).unwrap().write_at(b"x", 0).unwrap();
    let bad = ["tmp/thesis", "logs/ab/thesis", "logs/link", "../home/thesis", "logs/../../home/thesis"];
    for path in bad.map(|path| root.join(path)) {
        let name = path.display();
        for opened in [disk.open_read(&path), disk.open_write(&path)] {
            let error = opened.err().unwrap_or_else(|| panic!("{name} was opened"));
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        }
        let new = path.with_file_name("new");
        if !path.ends_with("logs/link") {
            assert!(disk.create_new(&new).is_err() && disk.create_dir(&new).is_err(), "{name}");
            assert!(disk.remove_file(&path).is_err(), "{name}");
            assert!(disk.rename(&path, &root.join("logs/stolen")).is_err(), "{name}");
            assert!(disk.rename(&root.join("logs/own"), &new).is_err(), "{name}");
            assert!(disk.link(&path, &root.join("logs/stolen")).is_err(), "{name}");
            assert!(disk.modified_ms(&path).is_err(), "{name}");
        }
    }
    for folder in ["tmp", "logs/ab"].map(|folder| root.join(folder)) {
        assert!(disk.read_dir(&folder).is_err() && disk.sync_dir(&folder).is_err(), "{}", folder.display());
        assert!(!disk.mapping_is_safe(&folder));
    }
    let mut entries = disk.read_dir(&root.join("logs")).unwrap();
    entries.sort();
    let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_dir)).collect();
    assert_eq!(names, [("ab", false), ("link", false), ("own", false)]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("thesis")).unwrap(), b"kept");
    // A link itself can be moved and removed.
    disk.rename(&root.join("logs/link"), &root.join("logs/moved")).unwrap();
    disk.remove_file(&root.join("logs/moved")).unwrap();
    assert!(outside.join("thesis").exists());
}

#[test]
fn the_life_of_a_file_is_that_of_no_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (own, copy) = (dir.path().join("own"), dir.path().join("copy"));
    let file = Disk.create_new(&own).unwrap();
    fs::copy(&own, &copy).unwrap();
    let Ok(life) = file.life() else { return };
    assert_eq!(Disk.open_read(&own).unwrap().life().unwrap(), life);
    assert_ne!(Disk.open_read(&copy).unwrap().life().unwrap(), life);
}
