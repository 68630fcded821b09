//! An artifact's path: the constructor checks it, and only a checked path reaches the file system.

use percent_encoding::percent_decode_str;

use crate::fault::Fault;

/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 1024;
/// Longest segment, in bytes, as file systems have it.
const SEGMENT_BYTES_MAX: usize = 255;
/// How often a path is decoded again to find what it hides.
const DECODINGS_MAX: usize = 8;
/// The folder of unfinished uploads, which no client's path may name.
pub(crate) const UPLOADS: &str = ".stepwell-uploads";

/// A path of an artifact: relative, made of plain segments, and within its root however often it is decoded again. The
/// root is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// Checks a path that was decoded once. Slashes that follow each other count as one, as on disk; those at the end
    /// are taken off.
    ///
    /// # Errors
    /// 400 if the path could mean another place than it says, on this or another system: which character, and why.
    pub fn new(path: &str) -> Result<Self, Fault> {
        let refused = |why: String| Fault::invalid(format!("Invalid path: {why}"));
        let mut decoded = path.to_owned();
        for _ in 0..DECODINGS_MAX {
            check(&decoded).map_err(|why| {
                // What stands there only once it is decoded is shown as it was found.
                let hidden = if decoded == path { "" } else { " once it is decoded" };
                refused(format!("{why}{hidden}"))
            })?;
            let Ok(again) = percent_decode_str(&decoded).decode_utf8() else {
                return Err(refused("what its % stands for is not UTF-8".into()));
            };
            if again == decoded {
                let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
                return Ok(Self(segments.join("/")));
            }
            decoded = again.into_owned();
        }
        Err(refused("it is encoded too often".into()))
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

/// The character that a later normalisation (NFKC) makes of one that looks like a dot or a separator.
fn normalised(c: char) -> &'static str {
    match c {
        '\u{2024}' | '\u{ff0e}' => ".",
        '\u{2025}' => "..",
        '\u{2026}' => "...",
        '\u{ff0f}' => "/",
        '\u{ff3c}' => "\\",
        _ => "",
    }
}

/// What is wrong with a path, as it stands and as it is read once it is normalised.
fn check(path: &str) -> Result<(), String> {
    check_letters(path)?;
    if path.contains(|c| !normalised(c).is_empty()) {
        let plain = |c: char| match normalised(c) {
            "" => c.to_string(),
            other => other.to_owned(),
        };
        check_letters(&path.chars().map(plain).collect::<String>())
            .map_err(|why| format!("{why} once its characters are normalised"))?;
    }
    Ok(())
}

fn check_letters(path: &str) -> Result<(), String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("it is over {PATH_BYTES_MAX} bytes"));
    }
    for c in path.chars() {
        match c {
            '\\' => return Err("it holds the character '\\', which separates folders on Windows".into()),
            '#' => return Err("it holds the character '#', which begins a fragment of a URI".into()),
            '\u{fffd}' => return Err("it holds the character U+FFFD, which stands for bytes that are not UTF-8".into()),
            c if c.is_control() => return Err(format!("it holds the control character U+{:04X}", u32::from(c))),
            _ => {}
        }
    }
    if path.starts_with('/') {
        return Err("it begins with the character '/', which makes it absolute".into());
    }
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    if let Some(first) = segments.clone().next() {
        if first == UPLOADS {
            return Err(format!("'{UPLOADS}' is where the server keeps unfinished uploads"));
        }
        if first.len() == 2 && first.ends_with(':') && first.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(format!("it begins with '{first}', which is a drive on Windows"));
        }
    }
    segments.try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), String> {
    if segment.len() > SEGMENT_BYTES_MAX {
        return Err(format!("the name of one of its folders or files is over {SEGMENT_BYTES_MAX} bytes"));
    }
    // Windows drops dots and blanks at an end; some readers drop all from a semicolon on.
    let kept = segment.split(';').next().unwrap_or_default();
    if !kept.is_empty() && kept.trim_matches(['.', ' ']).is_empty() && kept.contains('.') {
        return Err(format!("the name '{segment}' is made of dots, which name a folder itself or the one above"));
    }
    if segment.trim_matches(' ').is_empty() {
        return Err("the name of one of its folders or files is made of the character ' ' alone".into());
    }
    if segment.trim_start().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return Err("it holds 'file:', which begins a URI".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_taken() {
        for path in [
            "a",
            "0/f00d/artifacts/model/MLmodel",
            "50%.txt",
            "ünïcode/日本.png",
            ".hidden",
            "a b/c-d_e.f",
            "..a/b..c",
            // As MLflow takes them.
            " blank at the start",
            "d/ blank",
            "blank at the end ",
            "a:b",
            "12:30:00.log",
            "model:v1/weights",
            "d/C:/x",
            "x.",
            "a...",
            "loading…",
            "a⁄b",
            ";x",
            "a;b=1",
            "q?x=1&y",
            "'\"*<>|`$(id)",
        ] {
            assert_eq!(ArtifactPath::new(path).unwrap().as_str(), path);
        }
        assert_eq!(ArtifactPath::new("a//b///c//").unwrap().as_str(), "a/b/c");
        assert!(ArtifactPath::new("").unwrap().is_root());
        assert_eq!(ArtifactPath::new("a/b/").unwrap().as_str(), "a/b");
        assert!(ArtifactPath::folder(".").unwrap().is_root());
        assert_eq!(ArtifactPath::folder("a/b/.").unwrap().as_str(), "a/b");
        for (path, character) in [
            ("a\\b", "'\\'"),
            ("a#b", "'#'"),
            ("a%23b", "'#', which begins a fragment of a URI once it is decoded"),
            ("a\tb", "U+0009"),
            ("/a", "'/'"),
            ("a/\u{fffd}", "U+FFFD"),
            ("a/../b", "'..'"),
            ("C:/x", "'C:'"),
            ("a/  /b", "' '"),
        ] {
            let told = ArtifactPath::new(path).unwrap_err().message;
            assert!(told.starts_with("Invalid path: ") && told.contains(character), "{path}: {told}");
        }
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
            "..\\..\\x",
            "\\..\\filename",
            "C:\\x",
            "C:/x",
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
            "a/. .",
            "a/..;x/b",
            "%2e%2e;/x",
            " ../x",
            "a／..／..／x",
            "C:",
            "a/ /b",
            "a/...",
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
