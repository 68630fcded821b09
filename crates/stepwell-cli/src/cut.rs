//! Texts cut to a number of a terminal's columns, with an ellipsis. Characters that are drawn as one stay together.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The text, or its beginning and an ellipsis, in at most `width` columns.
pub(crate) fn cut_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    beginning(text, width.saturating_sub(1)) + "…"
}

/// The text, or its beginning and its end with an ellipsis between, in at most `width` columns: names differ at their
/// ends.
pub(crate) fn cut_middle(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let head = beginning(text, room / 3);
    let mut tail = String::new();
    for piece in text.graphemes(true).rev() {
        if head.width() + tail.width() + piece.width() > room {
            break;
        }
        tail.insert_str(0, piece);
    }
    format!("{head}…{tail}")
}

/// As much of the beginning of a text as `room` columns take.
fn beginning(text: &str, room: usize) -> String {
    let mut kept = String::new();
    for piece in text.graphemes(true) {
        if kept.width() + piece.width() > room {
            break;
        }
        kept += piece;
    }
    kept
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names that are wide, combined of several characters, or long.
    pub(crate) const NAMES: [&str; 7] = [
        "resnet50",
        "畳み込みニューラルネットワークの学習率を変えた実験",
        "e\u{301}te\u{301} a\u{300} la plage, avec beaucoup de mots accentue\u{301}s partout",
        "👩\u{200d}🔬👨\u{200d}👩\u{200d}👧\u{200d}👦🏳\u{fe0f}\u{200d}🌈 family of emoji in a name 🚀🚀🚀🚀",
        "한국어 실험 이름이 아주 길어서 잘려야 합니다",
        "a/very/long/path/to/some/experiment/with/a/seed/at/its/end/seed=17",
        "",
    ];

    #[test]
    fn texts_are_cut_between_what_is_drawn_as_one() {
        assert_eq!((cut_end("abcdef", 4), cut_end("abcd", 4)), ("abc…".into(), "abcd".into()));
        assert_eq!((cut_middle("abcdefgh", 7), cut_middle("abcd", 4)), ("ab…efgh".into(), "abcd".into()));
        assert_eq!(cut_end("日本語", 4), "日…");
        assert_eq!(cut_end("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
        assert_eq!(cut_end(&format!("{family}{family}{family}"), 4), format!("{family}…"));
        for name in NAMES {
            for width in 1..60 {
                for cut in [cut_end(name, width), cut_middle(name, width)] {
                    assert!(cut.width() <= width, "{cut} in {width}");
                    let pieces: Vec<&str> = name.graphemes(true).collect();
                    assert!(cut.graphemes(true).all(|piece| piece == "…" || pieces.contains(&piece)), "{cut}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn cut_texts_are_no_wider(text in "\\PC{0,40}", width in 1_usize..30) {
            for cut in [cut_end(&text, width), cut_middle(&text, width)] {
                prop_assert!(cut.width() <= width && (cut == text || cut.contains('…')), "{cut:?}");
            }
        }
    }
}
