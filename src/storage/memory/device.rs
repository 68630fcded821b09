//! The simulated disk as a [`Storage`]: each call is counted, recorded, perhaps failed, then done.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::{Entry, File, Region, Storage};
use super::SimDisk;
use super::buffer::Buffer;
use super::content::Content;
use super::plan::{Effect, Op, OpKind, Stop};
use super::state::{Kind, Naming, ROOT, State, errno};

fn op(kind: OpKind, path: &Path) -> Op {
    Op { number: 0, kind, path: path.into(), to: None, file: None, offset: 0, len: 0, ok: false }
}

impl SimDisk {
    /// Counts and records an operation, and does it unless a fault stops it.
    fn run<T>(&self, op: Op, act: impl FnOnce(&mut State, &Op) -> io::Result<T>) -> io::Result<T> {
        self.run_or_stop(op, |state, op, stop| match stop {
            None => act(state, op),
            Some(Stop { effect: Effect::Whole, .. }) => act(state, op),
            Some(_) => Err(errno(libc::EIO)),
        })
    }

    /// The same for operations that do something even when stopped; what they then return is replaced by the fault's
    /// error.
    fn run_or_stop<T>(
        &self,
        op: Op,
        act: impl FnOnce(&mut State, &Op, Option<&Stop>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let stop = state.plan.admit(op.clone());
        state.sequence += 1;
        state.clock_ms += 1;
        if stop.as_ref().is_some_and(|stop| stop.crash) {
            state.crash();
        }
        let result = act(state, &op, stop.as_ref());
        let result = match stop {
            Some(stop) => Err(stop.error),
            None => result,
        };
        if let Some(op) = state.plan.trace.last_mut() {
            op.ok = result.is_ok();
        }
        result
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn File>> {
        let (file, id, path) = self.run(op(OpKind::Open, path), |state, op| {
            let file = state.find(&op.path)?;
            state.file(file)?;
            Ok((file, state.open_handle(file), op.path.clone()))
        })?;
        Ok(Box::new(Handle { disk: self.clone(), file, id, writable, path }))
    }
}

impl State {
    fn open_handle(&mut self, file: u64) -> u64 {
        self.retain(file);
        if let Some(node) = self.nodes.get_mut(&file) {
            node.handles += 1;
        }
        self.new_id()
    }

    fn create(&mut self, op: &Op, kind: Kind) -> io::Result<u64> {
        let (dir, name) = self.place(&op.path)?;
        if self.child(dir, &name)?.is_some() {
            return Err(errno(libc::EEXIST));
        }
        let node = self.add(&op.path, kind);
        self.enter(op.kind, &op.path, vec![Naming { dir, name, node: Some(node) }]);
        Ok(node)
    }

    fn link(&mut self, op: &Op, to: &Path) -> io::Result<()> {
        let node = self.find(&op.path)?;
        if self.dir(node).is_ok() {
            return Err(errno(libc::EPERM));
        }
        let (dir, name) = self.place(to)?;
        if self.child(dir, &name)?.is_some() {
            return Err(errno(libc::EEXIST));
        }
        self.enter(op.kind, &op.path, vec![Naming { dir, name, node: Some(node) }]);
        Ok(())
    }

    fn rename(&mut self, op: &Op, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = self.place(&op.path)?;
        let node = self.child(from_dir, &from_name)?.ok_or_else(|| errno(libc::ENOENT))?;
        let (dir, name) = self.place(to)?;
        let is_dir = self.dir(node).is_ok();
        if is_dir && to.starts_with(&op.path) && to != &*op.path {
            return Err(errno(libc::EINVAL));
        }
        if let Some(replaced) = self.child(dir, &name)? {
            if replaced == node {
                return Ok(());
            }
            match (is_dir, self.dir(replaced)) {
                (true, Err(_)) => return Err(errno(libc::ENOTDIR)),
                (false, Ok(_)) => return Err(errno(libc::EISDIR)),
                (true, Ok(names)) if !names.is_empty() => return Err(errno(libc::ENOTEMPTY)),
                _ => {}
            }
        }
        let given = Naming { dir, name, node: Some(node) };
        let taken = Naming { dir: from_dir, name: from_name, node: None };
        self.enter(op.kind, &op.path, vec![given, taken]);
        Ok(())
    }

    fn remove(&mut self, op: &Op) -> io::Result<()> {
        let node = self.find(&op.path)?;
        match (op.kind, self.dir(node)) {
            (OpKind::RemoveDir, Err(_)) => return Err(errno(libc::ENOTDIR)),
            (OpKind::RemoveDir, Ok(_)) if node == ROOT => return Err(errno(libc::EBUSY)),
            (OpKind::RemoveDir, Ok(names)) if !names.is_empty() => {
                return Err(errno(libc::ENOTEMPTY));
            }
            (OpKind::RemoveFile, Ok(_)) => return Err(errno(libc::EISDIR)),
            _ => {}
        }
        let (dir, name) = self.place(&op.path)?;
        self.enter(op.kind, &op.path, vec![Naming { dir, name, node: None }]);
        Ok(())
    }

    fn touch(&mut self, file: u64) {
        let clock_ms = self.clock_ms;
        if let Some(node) = self.nodes.get_mut(&file) {
            node.modified_ms = clock_ms;
        }
    }

    /// Writes what there is room for, then says whether that was all.
    fn write(&mut self, file: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let free = self.free_pages();
        let number = self.sequence;
        self.touch(file);
        let content = self.file(file)?;
        let fits = content.fits(offset, bytes.len(), free)?;
        content.write(number, &bytes[..fits], offset)?;
        if fits < bytes.len() { Err(errno(libc::ENOSPC)) } else { Ok(()) }
    }
}

impl Storage for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let (file, id, path) = self.run(op(OpKind::Create, path), |state, op| {
            let file = state.create(op, Kind::File { content: Content::default(), lock: None })?;
            Ok((file, state.open_handle(file), op.path.clone()))
        })?;
        Ok(Box::new(Handle { disk: self.clone(), file, id, writable: true, path }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path, true)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.run(op(OpKind::CreateDir, path), |state, op| {
            state.create(op, Kind::Dir { live: BTreeMap::new(), durable: BTreeMap::new() }).map(drop)
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.run(op(OpKind::ReadDir, path), |state, op| {
            let names = state.dir(state.find(&op.path)?)?;
            let entry = |(name, id): (&String, &u64)| Entry { name: name.clone(), is_dir: state.dir(*id).is_ok() };
            Ok(names.iter().map(entry).collect())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let op = Op { to: Some(to.into()), ..op(OpKind::Link, from) };
        self.run(op, |state, op| state.link(op, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let op = Op { to: Some(to.into()), ..op(OpKind::Rename, from) };
        self.run(op, |state, op| state.rename(op, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.run(op(OpKind::RemoveFile, path), |state, op| state.remove(op))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.run(op(OpKind::RemoveDir, path), |state, op| state.remove(op))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.run(op(OpKind::SyncDir, path), |state, op| {
            let dir = state.find(&op.path)?;
            state.dir(dir)?;
            if !state.lying {
                state.sync_names(dir);
            }
            Ok(())
        })
    }

    fn mapping_is_safe(&self, path: &Path) -> bool {
        let state = self.state.lock();
        state.mapping_is_safe && state.find(path).and_then(|id| state.dir(id)).is_ok()
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.run(op(OpKind::Stat, path), |state, op| {
            let id = state.find(&op.path)?;
            state.nodes.get(&id).map(|node| node.modified_ms).ok_or_else(|| errno(libc::ENOENT))
        })
    }
}

/// An open file of a simulated disk.
struct Handle {
    disk: SimDisk,
    file: u64,
    /// Tells this handle from others of the same file, for locks.
    id: u64,
    writable: bool,
    path: Arc<Path>,
}

impl Handle {
    fn op(&self, kind: OpKind, offset: u64, len: u64) -> Op {
        Op { file: Some(self.file), offset, len, ..op(kind, &self.path) }
    }

    fn must_be_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(errno(libc::EBADF)) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if let Some(node) = state.nodes.get_mut(&self.file) {
            node.handles = node.handles.saturating_sub(1);
            if let Kind::File { lock, .. } = &mut node.kind
                && *lock == Some(self.id)
            {
                *lock = None;
            }
        }
        state.release(self.file);
    }
}

impl File for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let op = self.op(OpKind::Read, offset, buf.len() as u64);
        self.disk.run(op, |state, _| Ok(state.file(self.file)?.read(buf, offset)))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.disk.run_or_stop(self.op(OpKind::Write, offset, buf.len() as u64), |state, _, stop| {
            self.must_be_writable()?;
            let count = match stop.map(|stop| stop.effect) {
                None | Some(Effect::Whole) => buf.len(),
                Some(Effect::Nothing) => return Ok(()),
                Some(Effect::Half) => buf.len() / 2,
                Some(Effect::Bytes(count)) => usize::try_from(count).map_or(buf.len(), |count| count.min(buf.len())),
            };
            state.write(self.file, &buf[..count], offset)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.run(self.op(OpKind::Stat, 0, 0), |state, _| Ok(state.file(self.file)?.len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.run(self.op(OpKind::SetLen, 0, len), |state, _| {
            self.must_be_writable()?;
            let number = state.sequence;
            state.touch(self.file);
            state.file(self.file)?.set_len(number, len)
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.run(self.op(OpKind::Allocate, 0, len), |state, _| {
            self.must_be_writable()?;
            let (free, number) = (state.free_pages(), state.sequence);
            state.touch(self.file);
            let content = state.file(self.file)?;
            let want = usize::try_from(len).map_err(|_| super::content::too_long())?;
            if content.fits(0, want, free)? < want {
                return Err(errno(libc::ENOSPC));
            }
            content.allocate(number, len)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.run_or_stop(self.op(OpKind::Sync, 0, 0), |state, _, stop| {
            let (number, lying) = (state.sequence, state.lying);
            let content = state.file(self.file)?;
            match stop {
                None if lying => {}
                None => content.sync(),
                // The process died before the disk was asked.
                Some(stop) if stop.crash => {}
                Some(_) => content.lose(number),
            }
            Ok(())
        })
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.disk.run(self.op(OpKind::Lock, 0, 0), |state, _| {
            self.must_be_writable()?;
            match state.nodes.get_mut(&self.file).map(|node| &mut node.kind) {
                Some(Kind::File { lock, .. }) => Ok(*lock.get_or_insert(self.id) == self.id),
                _ => Err(errno(libc::ENOENT)),
            }
        })
    }

    fn life(&self) -> io::Result<u64> {
        let lives = self.disk.state.lock().lives;
        // No two are alike in more than a byte by chance.
        Ok(xxhash_rust::xxh3::xxh3_64(&[lives.to_le_bytes(), self.file.to_le_bytes()].concat()).max(1))
    }

    fn is_linked(&self) -> io::Result<bool> {
        self.disk.run(self.op(OpKind::Stat, 0, 0), |state, _| {
            Ok(state.nodes.get(&self.file).is_some_and(|node| node.links > 0))
        })
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Region>> {
        self.disk.run(self.op(OpKind::Map, 0, len as u64), |state, _| {
            self.must_be_writable().map_err(|_| errno(libc::EACCES))?;
            let buffer = state.file(self.file)?.map(len)?;
            Ok(Box::new(SimRegion { buffer, len }) as Box<dyn Region>)
        })
    }
}

/// A mapping of a simulated file.
struct SimRegion {
    buffer: Arc<Buffer>,
    len: usize,
}

impl Region for SimRegion {
    fn as_ptr(&self) -> *mut u8 {
        self.buffer.as_ptr()
    }

    fn len(&self) -> usize {
        self.len
    }
}
