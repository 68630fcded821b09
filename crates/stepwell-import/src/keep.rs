//! What logs contain besides metrics: images, sounds, histograms, curves, graphs, lists and texts. If files are wanted,
//! each becomes a file of the run; otherwise they are counted.

use std::collections::BTreeMap;
use std::path::Path;

use crate::attached::ArtifactFolder;
use crate::report::Kind;

/// Longest part of a file's name, in bytes.
const NAME_BYTES_MAX: usize = 180;

/// Keeps what is not a metric.
#[derive(Default)]
pub(crate) struct Keep {
    /// Where files are put until the run is stored; `None` where none are wanted, or the folder could not be made.
    folder: Option<tempfile::TempDir>,
    /// How many values there were by folder, tag and step, so that each gets a name of its own.
    seen: BTreeMap<(&'static str, String, i64), u64>,
    left_out: BTreeMap<(Kind, String), u64>,
}

impl Keep {
    /// Keeps files, or counts what would be files. The default counts.
    pub(crate) fn new(wants_files: bool) -> Self {
        Self { folder: if wants_files { tempfile::tempdir().ok() } else { None }, ..Self::default() }
    }

    /// What was left out, and how many.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&(Kind, String), &u64)> {
        self.left_out.iter()
    }

    /// The folder with the files; it is there as long as `self` is.
    pub(crate) fn folders(&self) -> Vec<ArtifactFolder> {
        let folder = self.folder.as_ref().filter(|_| !self.seen.is_empty());
        folder
            .map(|folder| ArtifactFolder { folder: folder.path().to_path_buf(), below: String::new() })
            .into_iter()
            .collect()
    }

    /// Counts a value that is not kept.
    pub(crate) fn leave_out(&mut self, kind: Kind, why: &str) {
        self.leave_out_some(kind, why, 1);
    }

    /// Counts so many values that are not kept.
    pub(crate) fn leave_out_some(&mut self, kind: Kind, why: &str, count: u64) {
        *self.left_out.entry((kind, why.to_owned())).or_default() += count;
    }

    /// Whether values are kept as files.
    pub(crate) fn wants_files(&self) -> bool {
        self.folder.is_some()
    }

    /// Keeps a value as a file in a folder of its kind, below its tag and named by its step, or counts it.
    pub(crate) fn put(&mut self, kind: Kind, of: &'static str, tag: &str, step: i64, ending: &str, bytes: &[u8]) {
        let Some(folder) = &self.folder else {
            let why = match kind {
                Kind::Text => "texts behind which another came, or too long for a tag: --artifacts keeps all as files",
                _ => "no metrics: --artifacts keeps them as files",
            };
            return self.leave_out(kind, why);
        };
        let nth = self.seen.entry((of, tag.to_owned(), step)).or_default();
        *nth += 1;
        let name = if *nth > 1 { format!("{step}-{nth}.{ending}") } else { format!("{step}.{ending}") };
        let path = folder.path().join(of).join(safe(tag)).join(name);
        let parent = path.parent().unwrap_or(Path::new(""));
        if std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, bytes)).is_err() {
            self.leave_out(kind, "could not be put into a temporary file");
        }
    }

    /// Keeps a text.
    pub(crate) fn text(&mut self, tag: &str, step: i64, text: &str) {
        self.put(Kind::Text, "texts", tag, step, "txt", text.as_bytes());
    }

    /// Keeps an image as it is encoded.
    pub(crate) fn image(&mut self, tag: &str, step: i64, bytes: &[u8]) {
        let ending = match bytes {
            [0x89, b'P', b'N', b'G', ..] => "png",
            [0xff, 0xd8, ..] => "jpg",
            [b'G', b'I', b'F', ..] => "gif",
            _ => "bin",
        };
        self.put(Kind::Image, "images", tag, step, ending, bytes);
    }
}

/// A tag as a path that means the same everywhere: no part consists of dots, and no character is special to a server or
/// a system.
fn safe(tag: &str) -> String {
    let one = |segment: &str| {
        let plain: String = segment
            .chars()
            .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | ' ' | '.' | '=' | ',' | '+') { c } else { '_' })
            .collect();
        let mut plain = plain.trim_matches(['.', ' ']).to_owned();
        while plain.len() > NAME_BYTES_MAX {
            plain.pop();
        }
        let plain = if plain.is_empty() { "_".to_owned() } else { plain };
        // Two tags that differ in other characters stay two.
        if plain == segment { plain } else { format!("{plain}.{:08x}", crc32fast::hash(segment.as_bytes())) }
    };
    tag.split('/').map(one).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_paths_that_lead_nowhere_else() {
        assert_eq!(safe("train/sample 1"), "train/sample 1");
        for tag in ["../../etc", "/abs", "a//b", "..", "c:\\x", "a#b", "e\u{0}", ""] {
            let path = safe(tag);
            assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{tag:?} {path:?}");
            assert!(!path.contains(['\\', '#', ':', '\u{0}']), "{tag:?} {path:?}");
        }
        assert_ne!(safe("a#b"), safe("a:b"));
        assert!(safe(&"x".repeat(5000)).len() < 255);
    }

    #[test]
    fn values_are_files_where_they_are_wanted_and_counts_where_not() {
        let mut keep = Keep::new(true);
        keep.image("a/b", 3, b"\x89PNG1");
        keep.image("a/b", 3, b"GIF89");
        keep.text("note", 0, "hello");
        keep.leave_out(Kind::Other, "x");
        let folder = &keep.folders()[0].folder;
        assert_eq!(std::fs::read(folder.join("images/a/b/3.png")).unwrap(), b"\x89PNG1");
        assert!(folder.join("images/a/b/3-2.gif").exists() && folder.join("texts/note/0.txt").exists());
        assert_eq!(keep.left_out().map(|(_, count)| *count).collect::<Vec<_>>(), [1]);
        let mut counted = Keep::new(false);
        counted.image("a", 0, b"");
        counted.image("a", 1, b"");
        assert!(counted.folders().is_empty());
        assert_eq!(
            counted.left_out().map(|((kind, _), count)| (*kind, *count)).collect::<Vec<_>>(),
            [(Kind::Image, 2)]
        );
    }
}
