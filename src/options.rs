//! Options for opening a workspace.

/// How a writer's newest points are stored until they are sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TailMode {
    /// Mapped if the file system is known to support it safely (ext4, tmpfs), else written.
    #[default]
    Auto,
    /// Mapped: a point costs nanoseconds and survives the death of the process. Remaining hazard: if the file system
    /// itself fails (device gone, journal aborted), a store raises SIGBUS, which ends the process.
    Mapped,
    /// Written by one system call per point (0.3 to 2 µs): the same guarantee without that hazard, on any file system.
    Written,
}

/// Options of a workspace handle.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// See [`TailMode`].
    pub tail: TailMode,
    /// Points per buffer of a writer's tail, 32 bytes each: what is sealed in one piece. More make better columns,
    /// fewer need less memory. Clamped to 2 to 262,144.
    pub tail_points: u32,
    /// How long replaced files stay, in milliseconds, so that open snapshots keep working.
    pub grace_ms: i64,
    /// How long setting a param waits for another writer that is setting the same one, in milliseconds, before it fails
    /// with [`crate::error::Error::ParamClaimed`].
    pub param_wait_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { tail: TailMode::Auto, tail_points: 32 << 10, grace_ms: 600_000, param_wait_ms: 2000 }
    }
}
