//! The crash suite's other axis: a process that stops at any step of a protocol, for ever or until others have done all they
//! do, whatever the clocks say.

use std::path::Path;
use std::sync::Arc;

use stepwell::storage::Storage;
use stepwell::storage::memory::SimDisk;

use crate::support::stop::{Actor, Stop, at_every_operation};

/// Writes a file and renames it: five operations.
fn write_and_rename(disk: Arc<dyn Storage>) -> std::io::Result<()> {
    let file = disk.create_new(Path::new("/new"))?;
    file.try_lock()?;
    file.write_at(b"text", 0)?;
    file.sync()?;
    disk.rename(Path::new("/new"), Path::new("/name"))
}

#[test]
fn an_actor_stops_where_it_should_and_keeps_its_locks() {
    let disk = SimDisk::new();
    let actor = Actor::start(Arc::new(disk.clone()), Stop::After(4), write_and_rename);
    assert_eq!(actor.stands_at().as_deref(), Some("After(4) rename to /name"));
    assert!(!disk.open_write(Path::new("/name")).unwrap().try_lock().unwrap(), "the lock is held");
    assert_eq!(actor.operations(), 5);
    actor.resume().unwrap();
    assert!(disk.open_write(Path::new("/name")).unwrap().try_lock().unwrap());

    let disk = SimDisk::new();
    let actor = Actor::start(Arc::new(disk.clone()), Stop::Before(2), write_and_rename);
    assert_eq!(disk.content(Path::new("/new")).unwrap(), b"");
    actor.kill();
    assert!(disk.open_write(Path::new("/new")).unwrap().try_lock().unwrap(), "a dead process has no locks");
    assert_eq!(disk.content(Path::new("/new")).unwrap(), b"");

    let whole = Actor::start(Arc::new(SimDisk::new()), Stop::Before(5), write_and_rename);
    assert_eq!(whole.stands_at(), None, "there is no sixth operation");
    whole.resume().unwrap();
}

#[test]
fn every_operation_is_a_place_to_stop() {
    let (mut with_name, mut ended) = (0, 0);
    let operations = at_every_operation(
        || (SimDisk::new(), ()),
        write_and_rename,
        |disk, ()| with_name += u32::from(disk.content(Path::new("/name")).is_ok()),
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
                assert!(disk.content(Path::new("/name")).is_ok());
                ended += 1;
            }
        },
    );
    // The name is there at the last of ten places, for each of three ways to go on; one of these ends, and so does the last run.
    assert_eq!((operations, with_name, ended), (5, 3, 11));
}
