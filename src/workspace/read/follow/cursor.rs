//! A follower's position as bytes: a version (u8), the CRC-32 of the rest (u32), and a control record.
//!
//! The bytes are not part of the workspace format: a build rejects versions that it does not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::crc32;
use crate::base::control;
use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::error::{Error, Result};
use crate::journal::manifest::Manifest;
use crate::workspace::read::follow::Follower;
use crate::workspace::read::follow::look::Known;
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::shared::Shared;

const VERSION: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Saved {
    /// The workspace's number.
    workspace: u128,
    chosen: Vec<RunId>,
    keys: Vec<String>,
    all_kinds: bool,
    first: Option<u64>,
    whole: Vec<WriterId>,
    runs: Vec<Known>,
    /// The entries about followed runs.
    manifest: Manifest,
    experiments: BTreeMap<ExperimentId, u64>,
}

impl Follower {
    /// The follower's position after the last result. [`Workspace::follow_from`](crate::Workspace::follow_from)
    /// continues there, in this process or another. Its size grows by about 100 bytes per open run and 30 per metric
    /// and writer, and 17 bytes per log that had ended when the follower began.
    #[must_use]
    pub fn cursor(&self) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        if !self.chosen.is_empty() {
            manifest.packs.clear();
            manifest.tombstones.retain(|key, _| self.chosen.contains_key(key));
            manifest.metrics.retain(|key, _| self.chosen.contains_key(key));
        }
        let saved = Saved {
            workspace: self.workspace.id(),
            chosen: self.chosen.values().cloned().collect(),
            keys: self.keys.iter().cloned().collect(),
            all_kinds: self.all_kinds,
            first: self.first.map(|points| points as u64),
            whole: self.whole.iter().copied().collect(),
            runs: self.runs.values().cloned().collect(),
            manifest,
            experiments: self.experiments.clone(),
        };
        let mut record = Vec::new();
        control::encode(&saved, &mut record);
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&crc32(0, &record).to_le_bytes());
        bytes.extend(record);
        bytes
    }
}

impl Shared {
    /// See [`Workspace::follow_from`](crate::Workspace::follow_from).
    pub(crate) fn follow_from(&self, cursor: &[u8]) -> Result<Follower> {
        let saved = decode(cursor)?;
        if saved.workspace != self.id() {
            return Err(Error::invalid("cursor", "it is of another workspace"));
        }
        let mut follower = Follower::new(self, saved.chosen.into_iter(), saved.keys.into_iter());
        follower.all_kinds = saved.all_kinds;
        self.refresh()?;
        let live = self.manifest()?;
        let mut packs = PackSet::default();
        // No read of the manifest has the number 0, so the first scan compares.
        packs.update(&*self.inner.storage, &self.inner.root, &saved.manifest, 0);
        packs.check()?;
        if let Some((_, error)) = packs.broken().iter().find(|(id, _)| !live.packs.contains_key(*id)) {
            let why = format!("a pack that it counts on was merged into another and is gone, follow anew: {error}");
            return Err(Error::invalid("cursor", why));
        }
        follower.first = saved.first.map(|points| usize::try_from(points).unwrap_or(usize::MAX));
        follower.whole = saved.whole.into_iter().collect();
        follower.runs = saved.runs.into_iter().map(|known| (known.id.key(), known)).collect();
        follower.resumed = true;
        (follower.packs, follower.manifest) = (packs, saved.manifest);
        follower.experiments = saved.experiments;
        Ok(follower)
    }
}

fn decode(cursor: &[u8]) -> Result<Saved> {
    let malformed = |Malformed(what): Malformed| Error::invalid("cursor", what);
    let mut reader = Reader::new(cursor);
    let version = reader.u8().map_err(malformed)?;
    if version != VERSION {
        return Err(Error::invalid("cursor", format!("it has version {version}, and this Stepwell reads {VERSION}")));
    }
    let crc = reader.u32().map_err(malformed)?;
    let record = reader.slice(reader.remaining()).map_err(malformed)?;
    if crc32(0, record) != crc {
        return Err(Error::invalid("cursor", "its checksum does not fit"));
    }
    let saved: Saved = control::decode(record).map_err(malformed)?;
    let ids = saved.chosen.iter().chain(saved.runs.iter().map(|known| &known.id));
    for id in ids {
        RunId::new(id.as_str())?;
    }
    Ok(saved)
}
