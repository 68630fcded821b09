//! Imports of one file with any bytes.

use stepwell_import::{BoxError, ImportedRun, Sink, Taken};

/// Takes every run, and holds what importers promise of one.
struct Check;

impl Sink for Check {
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError> {
        for series in &run.series {
            assert!(!series.key.is_empty(), "a series without a key");
            assert_eq!(series.steps.len(), series.values.len());
            let timestamps = series.timestamps_ms.as_ref();
            assert!(timestamps.is_none_or(|timestamps| timestamps.len() == series.steps.len()));
        }
        Ok(Taken::new(run.counts()))
    }
}

/// Imports a file of this name and these bytes.
pub fn file(name: &str, data: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(&path, data).expect("a file");
    stepwell_import::import(&[folder.path().to_owned()], &mut Check).expect("damage is reported, not an error");
}
