//! The check of an artifact's path: the constructor is the check, and only its result reaches the file system.

use percent_encoding::percent_decode_str;

use crate::wire::fault::Fault;

/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 1024;
/// Longest segment, in bytes, as file systems have it.
const SEGMENT_BYTES_MAX: usize = 255;
/// How often a path may be decoded again in search of what it hides.
const DECODINGS_MAX: usize = 8;
/// The folder of unfinished uploads, which no client's path may name.
pub(crate) const UPLOADS: &str = ".stepwell-uploads";

/// A path of an artifact: relative, of plain segments, within its root whatever decodes it again. Empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// Checks a path that was decoded once. A single slash at the end is taken off.
    ///
    /// # Errors
    /// 400 for whatever could mean another place than it says, on this or another system.
    pub fn new(path: &str) -> Result<Self, Fault> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Self::default());
        }
        let mut decoded = path.to_owned();
        for _ in 0..DECODINGS_MAX {
            if !is_plain(&decoded) {
                return Err(refused());
            }
            let Ok(again) = percent_decode_str(&decoded).decode_utf8() else { return Err(refused()) };
            if again == decoded {
                return Ok(Self(path.to_owned()));
            }
            decoded = again.into_owned();
        }
        Err(refused())
    }

    /// As [`Self::new`], of a folder that is listed: clients name it by a dot at its end too (`.`, `a/.`).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn folder(path: &str) -> Result<Self, Fault> {
        Self::new(if path == "." {
            ""
        } else {
            path.strip_suffix("/.").filter(|path| !path.is_empty()).unwrap_or(path)
        })
    }

    /// The path as text, without slashes at its ends.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path without its last segment.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned()))
    }

    /// The path of something within this one.
    ///
    /// # Errors
    /// As [`Self::new`], for the length.
    pub fn join(&self, inner: &Self) -> Result<Self, Fault> {
        match (self.is_root(), inner.is_root()) {
            (true, _) => Ok(inner.clone()),
            (_, true) => Ok(self.clone()),
            _ => Self::new(&format!("{}/{}", self.0, inner.0)),
        }
    }
}

fn refused() -> Fault {
    Fault::invalid("Invalid path")
}

fn is_plain(path: &str) -> bool {
    // What other systems or a later normalisation take for a separator or for dots.
    let alike = |c: char| {
        matches!(
            c,
            '\\' | '\u{2024}'
                | '\u{2025}'
                | '\u{2026}'
                | '\u{ff0e}'
                | '\u{ff0f}'
                | '\u{ff3c}'
                | '\u{2215}'
                | '\u{2044}'
                | '\u{29f8}'
        )
    };
    path.len() <= PATH_BYTES_MAX
        && !path.chars().any(|c| c.is_control() || c == '#' || c == '\u{fffd}' || alike(c))
        && path.split('/').all(is_plain_segment)
        && path.split('/').next() != Some(UPLOADS)
}

fn is_plain_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= SEGMENT_BYTES_MAX
        && segment != "."
        && segment != ".."
        && !segment.ends_with(['.', ' '])
        && !segment.starts_with(' ')
        // Parameters of a segment, by which some readers hide one.
        && !segment.starts_with(';')
        // A drive, and a scheme.
        && segment.as_bytes().get(1) != Some(&b':')
        && !segment.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_taken() {
        for path in
            ["a", "0/f00d/artifacts/model/MLmodel", "50%.txt", "ünïcode/日本.png", ".hidden", "a b/c-d_e.f", "..a/b..c"]
        {
            assert_eq!(ArtifactPath::new(path).unwrap().as_str(), path);
        }
        assert!(ArtifactPath::new("").unwrap().is_root());
        assert_eq!(ArtifactPath::new("a/b/").unwrap().as_str(), "a/b");
        assert!(ArtifactPath::folder(".").unwrap().is_root());
        assert_eq!(ArtifactPath::folder("a/b/.").unwrap().as_str(), "a/b");
        for bad in ["./.", "/.", "a/./.", "../.", "./a", "%2e"] {
            assert!(ArtifactPath::folder(bad).is_err(), "{bad}");
        }
        let path = ArtifactPath::new("a/b/c").unwrap();
        assert_eq!((path.name(), path.parent().as_str()), ("c", "a/b"));
        assert_eq!(ArtifactPath::default().join(&path).unwrap(), path);
    }

    #[test]
    fn what_could_mean_another_place_is_refused() {
        let bad = [
            "../../../../etc/passwd",
            "/etc/passwd",
            "///etc/passwd",
            "a/../b",
            "./../x",
            "..",
            ".",
            "a/./b",
            "a/./.",
            "a//b",
            "..\\..\\x",
            "\\..\\filename",
            "C:\\x",
            "C:/x",
            "C:x",
            "\\\\host\\share",
            "\\\\?\\C:\\x",
            "..%2f..%2fhome",
            "%2e%2e%2f",
            "%252e%252e%252f",
            "%25252e%25252e/x",
            "..%5c..%5c",
            "/proc/self/root",
            "#/../..",
            "a#b",
            "%23/..",
            "file:x",
            "FILE:///etc",
            "file://localhost/etc",
            " file:///etc",
            "/a;/../b",
            ";..%2F..%2Fetc",
            "a\0b",
            "/etc/passwd%00.jpg",
            "a%00b",
            "a\nb",
            "%2\t52e%2\t52e/%2\n52e",
            "%c0%ae%c0%ae/",
            "．．／x",
            "‥/x",
            "a/..",
            "a/.. ",
            "a/...",
            "x.",
            ".stepwell-uploads/x",
            "%2estepwell-uploads/x",
        ];
        for path in bad {
            assert!(ArtifactPath::new(path).is_err(), "{path:?}");
        }
        assert!(ArtifactPath::new(&"a".repeat(256)).is_err());
        assert!(ArtifactPath::new(&"a".repeat(255)).is_ok());
        assert!(ArtifactPath::new(&"a/".repeat(600)).is_err());
    }
}
