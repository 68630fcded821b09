//! The indexes of packs as last read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ids::RunKey;
use crate::index::part::IndexPart;

/// The indexes as last read.
#[derive(Default)]
pub struct Indexes {
    pub(crate) of_packs: BTreeMap<u128, Arc<PackIndex>>,
    /// Runs in several places of one set of packs.
    pub(crate) scattered: Option<(Vec<u128>, Arc<BTreeSet<RunKey>>)>,
}

/// The index of a pack, and its rows of unreadable runs.
pub(crate) struct PackIndex {
    pub(crate) part: Arc<IndexPart>,
    pub(crate) unreadable: Vec<u32>,
    /// Messages about points missing from the statistics.
    pub(crate) missing: Vec<String>,
    /// Whether it is read from its file column by column, so that damage may be found later.
    pub(crate) from_file: bool,
}
