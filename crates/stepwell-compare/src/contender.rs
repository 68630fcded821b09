//! What every store of the arena does, and the list of those that take part.

use std::error::Error;
use std::path::Path;

use stepwell::Columns;

use crate::stores;
use crate::work::{Logged, Work};

/// What went wrong in a contender: it is told in the table, and the others go on.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A store of points in one folder.
///
/// A store is opened, does one thing, and is closed by dropping it, so that the cost includes what its threads still
/// have to do.
pub trait Store {
    /// Whether it keeps steps beside timestamps.
    fn keeps_steps(&self) -> bool {
        true
    }

    /// Takes all points in their order, until another process can read them.
    fn ingest(&mut self, work: &Work) -> Result<()>;

    /// The store's own last step: compaction, checkpoint, vacuum, whatever makes it small and quick to read.
    fn settle(&mut self, work: &Work) -> Result<()>;

    /// Visits every point, in any order.
    fn each(&mut self, work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()>;

    /// Reads all points of a series in order of step, in place of what `out` holds.
    fn history(&mut self, work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()>;

    /// The last point by step of every series of all runs.
    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>>;

    /// Draws a series to so many pixels from what the store keeps for it: points that the picture counts, and the
    /// greatest value. `None` for a store that must read the whole history.
    fn plot(&mut self, _work: &Work, _run: u32, _key: u32, _pixels: usize) -> Result<Option<(u64, f64)>> {
        Ok(None)
    }
}

/// A contender: its name, what it is, and how its store is opened in a folder that may be empty.
pub struct Contender {
    /// Its column.
    pub name: &'static str,
    /// What it is and how it is set, for the record.
    pub what: &'static str,
    /// Opens the store.
    pub open: fn(&Path, &Work) -> Result<Box<dyn Store>>,
}

/// All that are compiled in.
pub fn contenders() -> Vec<Contender> {
    vec![
        Contender {
            name: "stepwell",
            what: "by handle; ingest: sealed and closed; settled: compacted",
            open: stores::stepwell::open,
        },
        Contender {
            name: "sqlite rowid",
            what: "WAL, synchronous off, transactions of 1,000; settled: VACUUM",
            open: stores::sqlite::open_rowid,
        },
        Contender {
            name: "sqlite pk",
            what: "the same, WITHOUT ROWID, primary key (run, key, step)",
            open: stores::sqlite::open_key,
        },
        Contender {
            name: "redb",
            what: "transactions of 1,000, durability none, one durable commit at the end; settled: compact",
            open: stores::redb::open,
        },
        Contender {
            name: "fjall",
            what: "batches of 1,000, no fsync; settled: major compaction",
            open: stores::fjall::open,
        },
        #[cfg(feature = "tsink")]
        Contender {
            name: "tsink",
            what: "batches of 1,000, WAL without fsync; keeps no steps",
            open: stores::tsink::open,
        },
        #[cfg(feature = "rocksdb")]
        Contender {
            name: "rocksdb",
            what: "batches of 1,000, WAL, no sync, LZ4; ingest: flushed; settled: full compaction",
            open: stores::rocksdb::open,
        },
        #[cfg(feature = "duckdb")]
        Contender {
            name: "duckdb",
            what: "Arrow batches of 2,048 by the appender, checkpoint; settled: the table anew, ordered by run, key, \
                   step",
            open: stores::duckdb::open,
        },
        Contender {
            name: "parquet",
            what: "in order of arrival, zstd 3; settled: sorted by series, zstd 19",
            open: stores::parquet::open_arrival,
        },
        Contender {
            name: "parquet sorted",
            what: "all points kept in memory, sorted by series, zstd 3; settled: again with zstd 19",
            open: stores::parquet::open_sorted,
        },
    ]
}

/// Contenders that are not compiled in, and how they would be.
pub fn not_compiled() -> Vec<(&'static str, &'static str)> {
    let mut missing = Vec::new();
    if cfg!(not(feature = "tsink")) {
        missing.push(("tsink", "not compiled in: build with the feature `tsink`"));
    }
    if cfg!(not(feature = "rocksdb")) {
        missing.push(("rocksdb", "not compiled in, since its C++ takes long to build: run `./rivals.sh`"));
    }
    if cfg!(not(feature = "duckdb")) {
        missing.push(("duckdb", "not compiled in, since its library must be fetched: run `./rivals.sh`"));
    }
    missing
}
