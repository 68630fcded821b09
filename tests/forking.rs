//! Tests that fork: apart from the others, because a child holds every file, and so every lock, that its parent has
//! open.
#![cfg(unix)]
#![allow(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use stepwell::Point;

use stepwell::internals::storage::fork::generation;
use stepwell::maintenance::CompactOptions;
use stepwell::testing::{Disk, Storage};
use stepwell::{ExperimentId, NewRun, Options, RunStatus, TailMode, Workspace};

/// One test forks at a time: the children of another would keep its locks.
fn alone() -> MutexGuard<'static, ()> {
    static FORKING: Mutex<()> = Mutex::new(());
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forks; the child runs `child` and exits by `_exit` with its answer. Returns the child's id.
fn fork(child: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child does what it is given, which waits for no other thread, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        let code = child();
        // SAFETY: ends the child without running what the parent registered for its own end.
        unsafe { libc::_exit(code) };
    }
    pid
}

/// Waits for a child and returns its exit code.
fn exit_code(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the process is our child, and the status outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child ended by a signal");
    libc::WEXITSTATUS(status)
}

#[test]
fn a_child_has_another_generation_and_the_parent_keeps_its_own() {
    let _alone = alone();
    let before = generation();
    assert_ne!(before, 0);
    assert_eq!(generation(), before);
    let child = fork(|| if generation() == before { 1 } else { 42 });
    assert_eq!(exit_code(child), 42);
    assert_eq!(generation(), before);
}

#[test]
fn a_grandchild_differs_from_both() {
    let _alone = alone();
    let before = generation();
    let child = fork(|| {
        let of_child = generation();
        let grandchild = fork(|| {
            let own = generation();
            if own != of_child && own != before { 7 } else { 1 }
        });
        if of_child == before { 1 } else { exit_code(grandchild) }
    });
    assert_eq!(exit_code(child), 7);
}

#[test]
fn descriptors_stay_above_the_standard_streams() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let child = fork(|| {
        // SAFETY: the child's own copies of the streams; it does not use them any more.
        unsafe {
            libc::close(0);
            libc::close(1);
            libc::close(2);
        }
        let Ok(created) = Disk.create_new(&path) else {
            return 1;
        };
        let Ok(opened) = Disk.open_read(&path) else {
            return 2;
        };
        // SAFETY: asks for a descriptor's flags; one that is not open answers with an error.
        let taken = (0..3).any(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0);
        let usable = created.write_at(b"text", 0).is_ok() && opened.len().ok() == Some(4);
        if taken || !usable { 3 } else { 42 }
    });
    assert_eq!(exit_code(child), 42);
}

#[test]
fn a_child_shares_its_parents_lock() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file = Disk.create_new(&path).unwrap();
    assert!(file.try_lock().unwrap());
    let child = fork(|| {
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    });
    drop(file);
    let other = Disk.open_write(&path).unwrap();
    let while_child_lives = other.try_lock().unwrap();
    // SAFETY: the process is our child; its status is not asked for.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    assert!(!while_child_lives, "the child has the same open file, and so its lock");
    assert!(other.try_lock().unwrap(), "the lock ends with the last process that has the file open");
}

#[test]
fn a_child_logs_through_its_parents_writer_into_a_log_of_its_own() {
    let _alone = alone();
    for tail in [TailMode::Mapped, TailMode::Written] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { tail, ..Options::default() };
        let workspace = Workspace::open_or_create_with(dir.path().join("w"), options).unwrap();
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        let id = writer.run_id().clone();
        let loss = writer.metric("loss").unwrap();
        (0..5).for_each(|step| writer.log_point(loss, Point { step, timestamp_ms: Some(step), value: 1.0 }).unwrap());
        // One child logs and ends well, one logs and is gone at once, one does nothing with what it inherited.
        let mut children = Vec::new();
        for kind in 0..3 {
            children.push(fork(|| {
                if kind < 2 {
                    for step in 0..100 {
                        if writer
                            .log_point(loss, Point { step, timestamp_ms: Some(step), value: f64::from(10 + kind) })
                            .is_err()
                        {
                            return 1;
                        }
                    }
                    if writer
                        .metric("of the child")
                        .and_then(|own| writer.log_point(own, Point { step: 0, timestamp_ms: Some(0), value: 0.0 }))
                        .is_err()
                    {
                        return 2;
                    }
                    if writer.points() != 101 || writer.set_tag("child", "was here").is_err() {
                        return 3;
                    }
                }
                if kind == 0 && writer.sync().is_err() {
                    return 4;
                }
                if kind == 2 {
                    // As the child's own end would do.
                    // SAFETY: the value is never used again in this process, which ends by `_exit`.
                    unsafe { std::ptr::drop_in_place(&raw mut writer) };
                }
                42
            }));
            (0..50)
                .for_each(|step| writer.log_point(loss, Point { step, timestamp_ms: Some(step), value: 2.0 }).unwrap());
        }
        children.into_iter().for_each(|child| assert_eq!(exit_code(child), 42));
        let check = || {
            let run = workspace.run(&id).unwrap();
            let values = run.arrivals("loss").unwrap().values;
            let count = |value: f64| values.iter().filter(|own| **own == value).count();
            assert_eq!([1.0, 2.0, 10.0, 11.0].map(count), [5, 150, 100, 100]);
            assert_eq!(run.count("of the child").unwrap(), 2);
            assert_eq!(run.state().coverage.len(), 3);
        };
        check();
        // The children's logs are nobody's now, the parent's is still its own.
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        check();
        writer.finish(RunStatus::Finished).unwrap();
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        check();
    }
}
