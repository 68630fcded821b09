//! The steps that histories of a workspace are made of.

/// One step of a history. Slots are places for open writers; what has no meaning at the moment does nothing.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Experiment(u8),
    Create {
        slot: usize,
        run: u8,
    },
    Open {
        slot: usize,
        run: u8,
    },
    Point {
        slot: usize,
        key: usize,
        shape: u8,
    },
    /// The same point once more, bit by bit.
    Repeat {
        slot: usize,
    },
    Many {
        slot: usize,
        shape: u8,
    },
    Batch {
        slot: usize,
        len: usize,
        shape: u8,
        tag: bool,
    },
    Columns {
        slot: usize,
        key: usize,
        len: usize,
        shape: u8,
    },
    Param {
        slot: usize,
        key: u8,
        value: u8,
    },
    Tag {
        slot: usize,
        key: u8,
    },
    EditTag {
        run: u8,
        key: u8,
    },
    RemoveTag {
        run: u8,
        key: u8,
    },
    EditParam {
        run: u8,
        key: u8,
        value: u8,
    },
    Name {
        run: u8,
    },
    Delete {
        run: u8,
    },
    Restore {
        run: u8,
    },
    Sync {
        slot: usize,
    },
    /// Everything logged through this handle is synced, while its writers go on.
    SyncHandle,
    /// Writers are asked to frame what they have.
    RequestFlushes,
    /// What was asked for is synced, framed by then or not.
    SyncFlushed,
    Seal {
        slot: usize,
    },
    Finish {
        slot: usize,
        failed: bool,
    },
    Drop {
        slot: usize,
    },
    Compact,
    Gc,
    DeleteMetric {
        run: u8,
        key: usize,
    },
    Reopen,
    Import {
        run: u8,
        more: usize,
    },
}
