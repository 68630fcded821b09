//! A simulated disk's insides: files and folders by identity, names, and changes of names that were not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use super::content::{Content, PAGE};
use super::plan::{OpKind, Plan};

/// The folder that is always there.
pub(super) const ROOT: u64 = 0;
const NAME_LEN_MAX: usize = 255;

pub(super) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// A file or folder.
pub(super) struct Node {
    /// Names (live, durable and pending) and open handles that refer to it; it goes with the last.
    refs: usize,
    /// Live names.
    pub(super) links: usize,
    pub(super) handles: usize,
    pub(super) modified_ms: i64,
    /// The path under which it was created.
    pub(super) path: Arc<Path>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    File { content: Content, lock: Option<u64> },
    Dir { live: BTreeMap<String, u64>, durable: BTreeMap<String, u64> },
}

/// One name given to a node, or taken away.
#[derive(Clone)]
pub(super) struct Naming {
    pub(super) dir: u64,
    pub(super) name: String,
    pub(super) node: Option<u64>,
}

/// One operation on names that was not synced; its parts happen together.
#[derive(Clone)]
pub(super) struct NameChange {
    pub(super) number: u64,
    pub(super) kind: OpKind,
    pub(super) path: Arc<Path>,
    pub(super) namings: Vec<Naming>,
}

pub(super) struct State {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) pending: Vec<NameChange>,
    pub(super) plan: Plan,
    /// Counts operations on, also from one image to the next, so that pending changes have an order.
    pub(super) sequence: u64,
    pub(super) capacity: Option<u64>,
    pub(super) lying: bool,
    pub(super) mapping_is_safe: bool,
    pub(super) crashed: bool,
    pub(super) clock_ms: i64,
    /// Counts the power losses.
    pub(super) lives: u64,
    next_id: u64,
}

impl State {
    pub(super) fn new() -> Self {
        let kind = Kind::Dir { live: BTreeMap::new(), durable: BTreeMap::new() };
        let root = Node { refs: 1, links: 1, handles: 0, modified_ms: 0, path: Path::new("/").into(), kind };
        State {
            nodes: BTreeMap::from([(ROOT, root)]),
            pending: Vec::new(),
            plan: Plan::default(),
            sequence: 0,
            capacity: None,
            lying: false,
            mapping_is_safe: true,
            crashed: false,
            clock_ms: 1_700_000_000_000,
            lives: 0,
            next_id: ROOT + 1,
        }
    }

    /// The same disk with other files: settings and clock stay; faults, trace, handles and locks go.
    pub(super) fn with_nodes(&self, nodes: BTreeMap<u64, Node>, pending: Vec<NameChange>) -> Self {
        let mut image = State {
            nodes,
            pending,
            plan: Plan::default(),
            sequence: self.sequence,
            capacity: self.capacity,
            lying: self.lying,
            mapping_is_safe: self.mapping_is_safe,
            crashed: false,
            clock_ms: self.clock_ms,
            lives: self.lives,
            next_id: self.next_id,
        };
        image.recount();
        image
    }

    /// Counts references anew and removes what nothing refers to, after the names were set from outside.
    fn recount(&mut self) {
        let mut refs: Vec<u64> = vec![ROOT];
        let mut links: Vec<u64> = vec![ROOT];
        for node in self.nodes.values() {
            if let Kind::Dir { live, durable } = &node.kind {
                refs.extend(live.values().chain(durable.values()));
                links.extend(live.values());
            }
        }
        for change in &self.pending {
            refs.extend(change.namings.iter().flat_map(|naming| [Some(naming.dir), naming.node]).flatten());
        }
        for node in self.nodes.values_mut() {
            (node.refs, node.links, node.handles) = (0, 0, 0);
        }
        refs.iter().for_each(|id| self.retain(*id));
        for id in links {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.links += 1;
            }
        }
        let unused: Vec<u64> = self.nodes.iter().filter(|(_, node)| node.refs == 0).map(|(id, _)| *id).collect();
        unused.into_iter().for_each(|id| self.free(id));
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub(super) fn retain(&mut self, id: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.refs += 1;
        }
    }

    pub(super) fn release(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.refs = node.refs.saturating_sub(1);
        if node.refs == 0 {
            self.free(id);
        }
    }

    fn free(&mut self, id: u64) {
        if let Some(Node { kind: Kind::Dir { live, durable }, .. }) = self.nodes.remove(&id) {
            live.into_values().chain(durable.into_values()).for_each(|child| self.release(child));
        }
    }

    /// How many pages of room are left.
    pub(super) fn free_pages(&self) -> usize {
        let Some(capacity) = self.capacity else {
            return usize::MAX;
        };
        let used: usize = self.nodes.values().filter(|node| node.links + node.handles > 0).map(Node::pages).sum();
        usize::try_from(capacity / PAGE as u64).unwrap_or(usize::MAX).saturating_sub(used)
    }

    pub(super) fn file(&mut self, id: u64) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&id) {
            Some(Node { kind: Kind::File { content, .. }, .. }) => Ok(content),
            Some(_) => Err(errno(libc::EISDIR)),
            None => Err(errno(libc::ENOENT)),
        }
    }

    pub(super) fn dir(&self, id: u64) -> io::Result<&BTreeMap<String, u64>> {
        match self.nodes.get(&id) {
            Some(Node { kind: Kind::Dir { live, .. }, .. }) => Ok(live),
            Some(_) => Err(errno(libc::ENOTDIR)),
            None => Err(errno(libc::ENOENT)),
        }
    }

    /// The node that a path names.
    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        parts(path)?.into_iter().try_fold(ROOT, |dir, name| self.child(dir, name)?.ok_or_else(|| errno(libc::ENOENT)))
    }

    pub(super) fn child(&self, dir: u64, name: &str) -> io::Result<Option<u64>> {
        Ok(self.dir(dir)?.get(name).copied())
    }

    /// The folder of a path, and the path's last name, whatever it names.
    pub(super) fn place(&self, path: &Path) -> io::Result<(u64, String)> {
        let mut names = parts(path)?;
        let Some(last) = names.pop() else {
            return Err(errno(libc::EEXIST));
        };
        let dir =
            names.into_iter().try_fold(ROOT, |dir, name| self.child(dir, name)?.ok_or_else(|| errno(libc::ENOENT)))?;
        self.dir(dir)?;
        Ok((dir, last.to_owned()))
    }

    /// Makes a node that has no name yet.
    pub(super) fn add(&mut self, path: &Arc<Path>, kind: Kind) -> u64 {
        let id = self.new_id();
        let node = Node { refs: 0, links: 0, handles: 0, modified_ms: self.clock_ms, path: path.clone(), kind };
        self.nodes.insert(id, node);
        id
    }

    /// Changes names for readers, and remembers the change until the folder is synced.
    pub(super) fn enter(&mut self, kind: OpKind, path: &Arc<Path>, namings: Vec<Naming>) {
        for naming in &namings {
            self.retain(naming.dir);
            if let Some(id) = naming.node {
                self.retain(id);
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.links += 1;
                }
            }
            let previous = self.name(naming, true);
            if let Some(node) = previous.and_then(|id| self.nodes.get_mut(&id)) {
                node.links -= 1;
            }
            previous.into_iter().for_each(|id| self.release(id));
        }
        self.pending.push(NameChange { number: self.sequence, kind, path: path.clone(), namings });
    }

    /// Gives or takes a name in the live or the durable view, and returns the node that had it, still counted.
    fn name(&mut self, naming: &Naming, in_live: bool) -> Option<u64> {
        if let Some(id) = naming.node {
            self.retain(id);
        }
        let clock_ms = self.clock_ms;
        let node = self.nodes.get_mut(&naming.dir)?;
        let Kind::Dir { live, durable } = &mut node.kind else {
            return None;
        };
        let view = if in_live {
            node.modified_ms = clock_ms;
            live
        } else {
            durable
        };
        match naming.node {
            Some(id) => view.insert(naming.name.clone(), id),
            None => view.remove(&naming.name),
        }
    }

    /// Makes a folder's names durable, and with them the other halves of moves and whatever came before on the same
    /// names.
    pub(super) fn sync_names(&mut self, dir: u64) {
        let touches = |change: &NameChange| change.namings.iter().any(|naming| naming.dir == dir);
        let mut keys = BTreeSet::new();
        let mut chosen = vec![false; self.pending.len()];
        // From the latest to the earliest, so that a chosen change finds what came before it on its names.
        for (index, change) in self.pending.iter().enumerate().rev() {
            let key = |naming: &Naming| (naming.dir, naming.name.clone());
            if touches(change) || change.namings.iter().any(|naming| keys.contains(&key(naming))) {
                chosen[index] = true;
                keys.extend(change.namings.iter().map(key));
            }
        }
        let pending = std::mem::take(&mut self.pending);
        let mut done = Vec::new();
        for (change, chosen) in pending.into_iter().zip(chosen) {
            if chosen {
                done.push(change);
            } else {
                self.pending.push(change);
            }
        }
        for naming in done.iter().flat_map(|change| &change.namings) {
            let previous = self.name(naming, false);
            previous.into_iter().for_each(|id| self.release(id));
        }
        for naming in done.iter().flat_map(|change| &change.namings) {
            naming.node.into_iter().for_each(|id| self.release(id));
            self.release(naming.dir);
        }
    }

    /// Parts every file from its mappings, which the dead process may go on storing to.
    pub(super) fn crash(&mut self) {
        if !self.crashed {
            self.crashed = true;
            for node in self.nodes.values_mut() {
                if let Kind::File { content, .. } = &mut node.kind {
                    content.freeze();
                }
            }
        }
    }
}

impl Node {
    fn pages(&self) -> usize {
        match &self.kind {
            Kind::File { content, .. } => content.pages(),
            Kind::Dir { .. } => 0,
        }
    }

    /// The same node for an image, with another kind.
    pub(super) fn with_kind(&self, kind: Kind) -> Self {
        Node { refs: 0, links: 0, handles: 0, modified_ms: self.modified_ms, path: self.path.clone(), kind }
    }
}

/// A path's names from the root; relative paths start there too.
fn parts(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| errno(libc::EILSEQ))?;
                if name.len() > NAME_LEN_MAX {
                    return Err(errno(libc::ENAMETOOLONG));
                }
                names.push(name);
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the simulated disk takes no `..` in a path"));
            }
        }
    }
    Ok(names)
}
