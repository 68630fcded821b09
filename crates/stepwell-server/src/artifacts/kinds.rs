//! The kinds of content that an artifact is served as: a short list of harmless ones, and plain bytes for the rest.

/// Names whose files are text, whatever their ending.
const TEXT_NAMES: [&str; 6] = ["MLmodel", "MLproject", "mlproject", "Dockerfile", "LICENSE", "README"];
/// Endings of text that no browser runs.
const TEXT: [&str; 16] =
    ["txt", "log", "md", "rst", "yaml", "yml", "toml", "cfg", "conf", "ini", "py", "rs", "sh", "sql", "r", "jsonl"];
/// Endings of other harmless kinds.
const KINDS: [(&str, &str); 15] = [
    ("json", "application/json"),
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("bmp", "image/bmp"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
];

/// Endings of files that run in a browser though they are not pages, and are never served as what they are.
const LOADED: [&str; 14] =
    ["js", "mjs", "cjs", "jsx", "wasm", "css", "xml", "xsl", "xslt", "swf", "shtml", "mht", "mhtml", "hta"];

/// The kind that a file of this name is served as. Nothing that a browser would run: HTML, SVG, XML and scripts are
/// plain bytes. The kinds of text are MLflow's to the letter, which clients compare.
pub(crate) fn of(name: &str) -> &'static str {
    if TEXT_NAMES.contains(&name) {
        return "text/plain";
    }
    let end = ending(name);
    if TEXT.contains(&end.as_str()) {
        return "text/plain";
    }
    KINDS.iter().find(|(known, _)| *known == end).map_or("application/octet-stream", |(_, kind)| kind)
}

/// The kind of a file that browsers run when it is shown, by its name: HTML and SVG.
pub(crate) fn active(name: &str) -> Option<&'static str> {
    match ending(name).as_str() {
        "html" | "htm" => Some("text/html; charset=utf-8"),
        "xhtml" | "xht" => Some("application/xhtml+xml"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// Whether a file is run by pages that load it, or in ways that no sandbox is known to hold, by its name.
pub(crate) fn is_loaded(name: &str) -> bool {
    LOADED.contains(&ending(name).as_str())
}

fn ending(name: &str) -> String {
    name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase()
}

/// The header that makes a browser save a file rather than show it, with its name in a form that no header breaks on.
pub(crate) fn disposition(name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    /// What RFC 5987 lets stand.
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');
    let plain: String = name
        .chars()
        .map(
            |c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '+' | '=' | '@') { c } else { '_' },
        )
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, &KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_is_served_as_what_it_is() {
        for name in ["a.html", "a.HTM", "a.svg", "a.xml", "a.xhtml", "a.js", "a.mjs", "a.swf", "a.wasm", "a", "html"] {
            assert_eq!(of(name), "application/octet-stream", "{name}");
        }
        for name in super::LOADED.map(|end| format!("a.{}", end.to_uppercase())) {
            assert_eq!((of(&name), active(&name)), ("application/octet-stream", None), "{name}");
            assert!(is_loaded(&name));
        }
        assert_eq!(of("MLmodel"), "text/plain");
        assert_eq!(of("plot.PNG"), "image/png");
    }

    #[test]
    fn names_break_no_header() {
        assert_eq!(disposition("a b.csv"), "attachment; filename=\"a b.csv\"");
        assert_eq!(disposition("a\"\r\nb"), "attachment; filename=\"a___b\"; filename*=UTF-8''a%22%0D%0Ab");
        assert_eq!(disposition("é.txt"), "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt");
    }
}
