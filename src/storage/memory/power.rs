//! Images of a simulated disk after the machine or the process stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::SimDisk;
use super::content::{Change, Content, PAGE};
use super::fate::{Fate, Random};
use super::plan::OpKind;
use super::state::{Kind, State};

/// Up to this many pending changes, every subset of them is tried.
const EXHAUSTIVE_MAX: usize = 10;
/// Up to this many, every pair is omitted.
const PAIRS_MAX: usize = 48;

/// What a change that was not synced consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingKind {
    /// A name given or taken, by this operation.
    Name(OpKind),
    /// Bytes written.
    Write,
    /// A new length.
    SetLen,
    /// Room reserved, and perhaps a new length.
    Allocate,
    /// Stores through a mapping to one page of 4 KiB.
    Page,
}

/// A change that was not synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What it is.
    pub kind: PendingKind,
    /// The path of the operation; for bytes, the one under which the file was created.
    pub path: Arc<Path>,
    /// Where in the file, in bytes; 0 for names and lengths.
    pub offset: u64,
    /// How many bytes, or the length; 0 for names.
    pub len: u64,
}

/// How a power loss treats what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerLoss {
    /// Only what was synced is left.
    DropAll,
    /// Everything reached the disk just in time.
    KeepAll,
    /// Fates chosen by this seed. By turns: each change for itself, an earliest part of the changes, all changes but a
    /// few.
    Seeded(u64),
}

/// Where a pending change is kept: a change of names by its index, one of a file by the file, a page by its index.
#[derive(Clone, Copy)]
enum Place {
    Name(usize),
    Change(u64),
    Page(u64, usize),
}

impl SimDisk {
    /// What a power loss could lose now: in the order of the operations, then mapped pages.
    pub fn pending(&self) -> Vec<Pending> {
        list(&self.state.lock()).into_iter().map(|(_, pending)| pending).collect()
    }

    /// The disk as the next process finds it when this one was killed: all that was written or stored is there, also
    /// what a power loss would still take; locks are free. This disk goes on as it was.
    pub fn process_crash(&self) -> SimDisk {
        let state = self.state.lock();
        let nodes = state.nodes.iter().map(|(id, node)| {
            let kind = match &node.kind {
                Kind::File { content, .. } => Kind::File { content: content.fork(), lock: None },
                Kind::Dir { live, durable } => Kind::Dir { live: live.clone(), durable: durable.clone() },
            };
            (*id, node.with_kind(kind))
        });
        SimDisk::from_state(state.with_nodes(nodes.collect(), state.pending.clone()))
    }

    /// The disk after a power loss, as the next process finds it: everything on it is durable. This disk goes on as it
    /// was.
    pub fn power_loss(&self, how: PowerLoss) -> SimDisk {
        let state = self.state.lock();
        let list = list(&state);
        let fates = match how {
            PowerLoss::DropAll => vec![Fate::Drop; list.len()],
            PowerLoss::KeepAll => vec![Fate::Keep; list.len()],
            PowerLoss::Seeded(seed) => seeded(seed, &list),
        };
        image(&state, &list, &fates)
    }

    /// The same, with a fate chosen for each pending change in turn.
    pub fn power_loss_with(&self, choose: &mut dyn FnMut(&Pending) -> Fate) -> SimDisk {
        // The choice is made without the lock, so that it may ask the disk.
        let copy = self.process_crash();
        let state = copy.state.lock();
        let list = list(&state);
        let fates: Vec<Fate> = list.iter().map(|(_, pending)| choose(pending)).collect();
        image(&state, &list, &fates)
    }

    /// Every image that a test should look at. With at most 10 pending changes, those of all subsets; with more, those
    /// of all earliest parts, all single omissions and, up to 48 changes, all pairs of omissions. After that, `samples`
    /// seeded ones, which also tear. The images are of now, and made one at a time.
    pub fn power_loss_images(&self, samples: u64) -> impl Iterator<Item = SimDisk> + use<> {
        let copy = self.process_crash();
        let count = copy.pending().len();
        let systematic: Box<dyn Iterator<Item = Vec<Fate>>> = if count <= EXHAUSTIVE_MAX {
            Box::new((0u32..1 << count).map(move |set| fates(count, |index| set >> index & 1 == 1)))
        } else {
            let prefixes = (0..=count).map(move |kept| fates(count, |index| index < kept));
            let omissions = (0..count).map(move |one| fates(count, |index| index != one));
            let pairs = if count <= PAIRS_MAX { count } else { 0 };
            let pairs = (0..pairs)
                .flat_map(move |one| (0..one).map(move |other| fates(count, |index| index != one && index != other)));
            Box::new(prefixes.chain(omissions).chain(pairs))
        };
        let first = copy.clone();
        let systematic = systematic.map(move |fates| {
            let state = first.state.lock();
            image(&state, &list(&state), &fates)
        });
        systematic.chain((0..samples).map(move |seed| copy.power_loss(PowerLoss::Seeded(seed))))
    }
}

fn fates(count: usize, kept: impl Fn(usize) -> bool) -> Vec<Fate> {
    (0..count).map(|index| if kept(index) { Fate::Keep } else { Fate::Drop }).collect()
}

fn list(state: &State) -> Vec<(Place, Pending)> {
    let mut list = Vec::new();
    let mut pages = Vec::new();
    for (index, change) in state.pending.iter().enumerate() {
        let kind = PendingKind::Name(change.kind);
        let pending = Pending { kind, path: change.path.clone(), offset: 0, len: 0 };
        list.push((change.number, Place::Name(index), pending));
    }
    for (id, node) in &state.nodes {
        let Kind::File { content, .. } = &node.kind else {
            continue;
        };
        for (number, change) in &content.pending {
            let (kind, offset, len) = match change {
                Change::Write { offset, bytes } => (PendingKind::Write, *offset, bytes.len()),
                Change::SetLen(len) => (PendingKind::SetLen, 0, *len),
                Change::Allocate(len) => (PendingKind::Allocate, 0, *len),
            };
            let pending = Pending { kind, path: node.path.clone(), offset: offset as u64, len: len as u64 };
            list.push((*number, Place::Change(*id), pending));
        }
        for page in content.changed_pages() {
            let (path, offset) = (node.path.clone(), (page * PAGE) as u64);
            let pending = Pending { kind: PendingKind::Page, path, offset, len: PAGE as u64 };
            pages.push((Place::Page(*id, page), pending));
        }
    }
    list.sort_by_key(|(number, _, _)| *number);
    list.into_iter().map(|(_, place, pending)| (place, pending)).chain(pages).collect()
}

/// Fates by a seed. A page knows no order of its stores, so it is always chosen for itself.
fn seeded(seed: u64, list: &[(Place, Pending)]) -> Vec<Fate> {
    let mut random = Random::new(seed);
    let pages = list.iter().filter(|(_, pending)| pending.kind == PendingKind::Page).count();
    let ordered = list.len() - pages;
    let cut = random.below(ordered as u64 + 1) as usize;
    let style = random.below(4);
    let mut fates = Vec::with_capacity(list.len());
    for (index, (_, pending)) in list.iter().enumerate() {
        let own = any_fate(&mut random, pending);
        let omitted = random.below(list.len() as u64) < 2;
        fates.push(match style {
            0 if index < cut => Fate::Keep,
            0 if index > cut && index < ordered => Fate::Drop,
            1 if !omitted => Fate::Keep,
            _ => own,
        });
    }
    fates
}

fn any_fate(random: &mut Random, pending: &Pending) -> Fate {
    // Within 4 KiB a write is torn at any byte, beyond at a sector: the file system asks the disk by pages.
    let torn = random.below(pending.len + 1);
    let torn = if pending.len <= PAGE as u64 { torn } else { torn / 512 * 512 };
    let seed = random.next();
    match random.below(20) {
        0..=7 => Fate::Keep,
        8..=12 => Fate::Drop,
        13..=14 => Fate::Torn(torn as usize),
        15..=17 => Fate::Mixed(seed),
        18 => Fate::Zeros,
        _ => Fate::Garbage(seed),
    }
}

/// The disk that these fates leave.
fn image(state: &State, list: &[(Place, Pending)], fates: &[Fate]) -> SimDisk {
    let mut changes: BTreeMap<u64, Vec<Fate>> = BTreeMap::new();
    let mut pages: BTreeMap<u64, Vec<(usize, Fate)>> = BTreeMap::new();
    let mut names = vec![Fate::Drop; state.pending.len()];
    for ((place, _), fate) in list.iter().zip(fates) {
        match place {
            Place::Name(index) => names[*index] = *fate,
            // Within a file the list is in the file's own order.
            Place::Change(id) => changes.entry(*id).or_default().push(*fate),
            Place::Page(id, page) => pages.entry(*id).or_default().push((*page, *fate)),
        }
    }
    let mut folders: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
    for (id, node) in &state.nodes {
        if let Kind::Dir { durable, .. } = &node.kind {
            folders.insert(*id, durable.clone());
        }
    }
    for (change, fate) in state.pending.iter().zip(&names) {
        for naming in change.namings.iter().filter(|_| *fate != Fate::Drop) {
            let Some(folder) = folders.get_mut(&naming.dir) else {
                continue;
            };
            match naming.node {
                Some(id) => folder.insert(naming.name.clone(), id),
                None => folder.remove(&naming.name),
            };
        }
    }
    let nodes = state.nodes.iter().map(|(id, node)| {
        let kind = match &node.kind {
            Kind::File { content, .. } => {
                let changes = changes.get(id).map_or(&[][..], Vec::as_slice);
                let pages = pages.get(id).map_or(&[][..], Vec::as_slice);
                Kind::File { content: Content::durable(content.after_power_loss(changes, pages)), lock: None }
            }
            Kind::Dir { .. } => {
                let names = folders.remove(id).unwrap_or_default();
                Kind::Dir { live: names.clone(), durable: names }
            }
        };
        (*id, node.with_kind(kind))
    });
    let mut after = state.with_nodes(nodes.collect(), Vec::new());
    after.lives += 1;
    SimDisk::from_state(after)
}
