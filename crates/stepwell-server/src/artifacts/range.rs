//! A part of a file, as `Range: bytes=…` asks for it.

/// What to send of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: nothing else was asked for, or nothing that is understood.
    Whole,
    /// `bytes` bytes from `from` on, at least one.
    Some {
        /// Bytes before it.
        from: u64,
        /// Its length.
        bytes: u64,
    },
    /// A part that the file does not have.
    None,
}

/// The part that a header asks of a file of `length` bytes. Several parts at once are answered by the whole, as is
/// anything that is not a range of bytes.
pub(crate) fn part(range: Option<&str>, length: u64) -> Part {
    let Some(asked) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = asked.split_once('-') else { return Part::Whole };
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // What is over the greatest number is beyond the end of every file.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Part::Whole,
        (Some(first), _) if first >= length => Part::None,
        (Some(first), Some(last)) => Part::Some { from: first, bytes: last.min(length - 1) - first + 1 },
        (Some(first), None) if last.trim().is_empty() => Part::Some { from: first, bytes: length - first },
        (None, Some(last)) if first.trim().is_empty() => match last.min(length) {
            0 => Part::None,
            bytes => Part::Some { from: length - bytes, bytes },
        },
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_within_the_file() {
        let of = |text: &str| part(Some(text), 10);
        let some = |from, bytes| Part::Some { from, bytes };
        assert_eq!(part(None, 10), Part::Whole);
        for (text, expected) in [
            ("bytes=0-0", some(0, 1)),
            ("bytes=2-5", some(2, 4)),
            ("bytes=9-9", some(9, 1)),
            ("bytes=3-", some(3, 7)),
            ("bytes=-4", some(6, 4)),
            ("bytes=-99", some(0, 10)),
            ("bytes=5-99999999999999999999999", some(5, 5)),
            ("bytes=0-18446744073709551615", some(0, 10)),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        for text in ["bytes=10-", "bytes=10-11", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(of(text), Part::None, "{text}");
        }
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1-x",
        ] {
            assert_eq!(of(text), Part::Whole, "{text}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::None);
        assert_eq!(part(Some("bytes=-1"), 0), Part::None);
    }
}
