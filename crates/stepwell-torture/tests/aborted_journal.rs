//! A real ext4 that cannot write its journal any more: no sync is believed that it confirms after that.
//!
//! Needs root, loop devices, `mkfs.ext4`, `debugfs` and `xfs_io`; where they are missing the test says so and ends.

use std::path::Path;
use std::process::Command;

use stepwell::testing::{Disk, Storage};

/// Set in the environment of the process that has its own mount namespace.
const OWN_MOUNTS: &str = "STEPWELL_TORTURE_OWN_MOUNTS";

#[test]
fn a_sync_that_an_aborted_journal_confirms_is_not_believed() {
    let dir = std::env::var_os(OWN_MOUNTS);
    if let Some(dir) = dir {
        return abort_the_journal(Path::new(&dir));
    }
    let can = "unshare --mount true && losetup --find && mkfs.ext4 -V && debugfs -V && xfs_io -V";
    if !Command::new("sh").args(["-c", can]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs root, loop devices, mkfs.ext4, debugfs and xfs_io");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_sync_that_an_aborted_journal_confirms_is_not_believed", "--nocapture"])
        .env(OWN_MOUNTS, dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

/// Two files are in one transaction of the journal, which the device has no room for. The sync of the first fails; at
/// that of the second the transaction is gone, and the kernel has nothing to wait for.
fn abort_the_journal(dir: &Path) {
    let (behind, image, mount) = (dir.join("behind"), dir.join("behind/image"), dir.join("disk"));
    let at = |path: &Path| path.to_str().unwrap().to_owned();
    std::fs::create_dir(&behind).unwrap();
    std::fs::create_dir(&mount).unwrap();
    shell(&format!("mount -t tmpfs -o size=80m tmpfs {0} && fallocate -l 64M {1}", at(&behind), at(&image)));
    shell(&format!("mkfs.ext4 -q -F -b 4096 -E nodiscard {0}", at(&image)));
    shell(&format!("mount -o loop,nodiscard,errors=remount-ro,commit=600 {} {}", at(&image), at(&mount)));

    let paths = [mount.join("a"), mount.join("b")];
    let files = paths.each_ref().map(|path| Disk.create_new(path).unwrap());
    for file in &files {
        file.write_at(&[1; 8192], 0).unwrap();
        file.sync().unwrap();
    }
    for (file, path) in files.iter().zip(&paths) {
        file.write_at(&[2; 50_000], 8192).unwrap();
        // The bytes go to the device, and what says where they are into the running transaction.
        shell(&format!("xfs_io -c 'sync_range -a -w 0 0' {}", at(path)));
    }
    // The journal's blocks but the first are taken away from behind the device.
    let extents = shell(&format!("debugfs -R 'stat <8>' {} 2>/dev/null | grep -A1 EXTENTS: | tail -n 1", at(&image)));
    let (_, blocks) = extents.trim().rsplit_once(':').expect("an extent");
    let (first, last) = blocks.split_once('-').expect("first and last block");
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    shell(&format!("fallocate -p -o {} -l {} {}", (first + 1) * 4096, (last - first) * 4096, at(&image)));
    shell(&format!("mount -o remount,size=$(df -k --output=used {0} | tail -n 1 | tr -d ' ')k {0}", at(&behind)));

    let answers = files.each_ref().map(|file| file.sync().map_err(|error| error.to_string()));
    drop(files);
    shell(&format!("umount {}", at(&mount)));
    assert!(answers.iter().all(Result::is_err), "a sync was believed: {answers:?}");
}

/// Runs a command and returns what it printed.
fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
