//! What a caller may choose when opening a workspace.

/// How the newest points of a writer are kept until they are sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TailMode {
    /// Mapped where the file system is known to keep the promises that this needs (ext4, tmpfs), else written.
    #[default]
    Auto,
    /// Mapped: a point costs nanoseconds and survives the death of the process. The hazard that remains: should the
    /// file system itself fail (device gone, journal aborted), a store raises SIGBUS, which ends the process.
    Mapped,
    /// Written by one system call a point (0.3 to 2 µs): the same promise without that hazard, on any file system.
    Written,
}

/// Options of a workspace handle.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// See [`TailMode`].
    pub tail: TailMode,
    /// How many of a writer's newest points each buffer of its tail holds, 32 bytes apiece: what is sealed in one
    /// piece. More of them make better columns, fewer less memory; it is held within 2 and 262,144.
    pub tail_points: u32,
    /// How long files stay that something newer replaced, in milliseconds, so that open snapshots go on.
    pub grace_ms: i64,
    /// How long setting a param waits for another writer that is just setting the same one, in milliseconds, before it
    /// refuses with [`crate::error::Error::ParamClaimed`].
    pub param_wait_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { tail: TailMode::Auto, tail_points: 32 << 10, grace_ms: 600_000, param_wait_ms: 2000 }
    }
}
