//! Writes SVG: elements with their attributes, and texts that are safe in it.

use std::fmt::Write;

/// The families of text; the first is the one in the program.
const FAMILIES: &str = "Ubuntu, 'DejaVu Sans', 'Noto Sans', 'Noto Sans CJK SC', sans-serif";
/// The families of emoji.
const EMOJI_FAMILIES: &str = "'Noto Color Emoji', 'Apple Color Emoji', 'Segoe UI Emoji', 'Noto Emoji', sans-serif";

/// Where a text stands by its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Right of it.
    Start,
    /// Around it.
    Middle,
    /// Left of it.
    End,
}

/// A document in the making.
#[derive(Debug)]
pub(crate) struct Svg {
    text: String,
}

impl Svg {
    /// An empty white picture.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let mut text = String::new();
        _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILIES}\" font-weight=\"300\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
        );
        Self { text }
    }

    /// Opens a group of elements.
    pub(crate) fn open(&mut self, attributes: &str) {
        _ = writeln!(self.text, "<g {attributes}>");
    }

    /// Closes the group that was opened last.
    pub(crate) fn close(&mut self) {
        self.text.push_str("</g>\n");
    }

    /// What a viewer shows when one points at the group.
    pub(crate) fn title(&mut self, title: &str) {
        _ = writeln!(self.text, "<title>{}</title>", escape(title));
    }

    /// A rectangle, to which the groups that name it by `clip-path="url(#id)"` are cut.
    pub(crate) fn clip(&mut self, id: &str, x: f64, y: f64, width: f64, height: f64) {
        _ = writeln!(
            self.text,
            "<clipPath id=\"{id}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>",
            short(x),
            short(y),
            short(width),
            short(height)
        );
    }

    /// A line through points.
    pub(crate) fn path(&mut self, points: &[(f64, f64)], attributes: &str) {
        if points.is_empty() {
            return;
        }
        self.text.push_str("<path d=\"");
        for (index, &(x, y)) in points.iter().enumerate() {
            _ = write!(self.text, "{}{} {}", if index == 0 { 'M' } else { 'L' }, short(x), short(y));
        }
        self.text.push('"');
        if !attributes.is_empty() {
            _ = write!(self.text, " {attributes}");
        }
        self.text.push_str("/>\n");
    }

    /// A dot.
    pub(crate) fn dot(&mut self, (x, y): (f64, f64), radius: f64, attributes: &str) {
        _ = writeln!(self.text, "<circle cx=\"{}\" cy=\"{}\" r=\"{radius}\" {attributes}/>", short(x), short(y));
    }

    /// A text whose base line goes through a point.
    pub(crate) fn text(&mut self, text: &str, (x, y): (f64, f64), size: f32, anchor: Anchor, attributes: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        _ = writeln!(
            self.text,
            "<text x=\"{}\" y=\"{}\" font-size=\"{size}\"{anchor} xml:space=\"preserve\" {attributes}>{}</text>",
            short(x),
            short(y),
            with_emoji(text)
        );
    }

    /// The document.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// A coordinate to a hundredth of a pixel.
fn short(at: f64) -> String {
    let rounded = (at * 100.0).round() / 100.0;
    if rounded == 0.0 { "0".to_owned() } else { rounded.to_string() }
}

/// A text for XML, which has no way to write some characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character is drawn by a font of emoji.
fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b50}' | '\u{2b55}' | '\u{fe0f}' | '\u{200d}')
}

/// A text with its emoji in a font of their own, since such fonts have letters and digits of other widths.
fn with_emoji(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let emoji = is_emoji(first);
        let len = rest.find(|c| is_emoji(c) != emoji).unwrap_or(rest.len());
        let (run, after) = rest.split_at(len);
        if emoji {
            _ = write!(out, "<tspan font-family=\"{EMOJI_FAMILIES}\">{}</tspan>", escape(run));
        } else {
            out.push_str(&escape(run));
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_do_no_harm() {
        assert_eq!(with_emoji("<a&\"\u{0}\u{ffff}>"), "&lt;a&amp;&quot;\u{fffd}\u{fffd}&gt;");
        let emoji = with_emoji("a🚀1");
        assert!(emoji.starts_with("a<tspan") && emoji.contains(">🚀</tspan>1"), "{emoji}");
    }
}
