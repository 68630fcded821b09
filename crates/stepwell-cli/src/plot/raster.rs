//! Turns SVG into PNG and measures texts. Letters come from the font in the program, so that a bare machine draws the
//! same picture; what that font lacks, such as Chinese or emoji, comes from the fonts of the system.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, FaceInfo, ID, Source, Style};
use resvg::usvg::{FontFamily, FontResolver, Options, Tree};

use crate::failure::{Failure, Outcome};
use crate::plot::svg::{Anchor, Svg};

/// The fonts that a picture's texts need.
#[derive(Debug)]
pub(crate) struct Fonts {
    database: Arc<Database>,
    letters: Option<ID>,
    emoji: Option<ID>,
    missing: Mutex<BTreeSet<char>>,
}

impl Fonts {
    /// The fonts for these texts. Those of the system are looked for only if some text needs them.
    pub(crate) fn of(texts: &[String]) -> Outcome<Self> {
        let bundled = Self::with(Database::new(), texts);
        bundled.look_up(texts)?;
        if bundled.missing().is_empty() && !texts.iter().any(|text| text.chars().any(|c| c > '\u{2fff}')) {
            return Ok(bundled);
        }
        let mut system = Database::new();
        system.load_system_fonts();
        let fonts = Self::with(system, texts);
        fonts.look_up(texts)?;
        Ok(fonts)
    }

    /// The fonts in the program and those of a system, the likelier ones first.
    fn with(system: Database, texts: &[String]) -> Self {
        let mut faces: Vec<&FaceInfo> = system.faces().collect();
        let language = language(texts);
        faces.sort_by_cached_key(|face| rank(face, language));
        let mut database = Database::new();
        database.load_font_source(Source::Binary(Arc::new(epaint_default_fonts::UBUNTU_LIGHT)));
        let letters = database.faces().next().map(|face| face.id);
        for face in faces {
            database.push_face_info(face.clone());
        }
        database.load_font_source(Source::Binary(Arc::new(epaint_default_fonts::NOTO_EMOJI_REGULAR)));
        let emoji = |colour: bool| {
            database.faces().find(|face| {
                let family = family(face);
                family.contains("Emoji") && (!colour || family.contains("Color"))
            })
        };
        let emoji = emoji(true).or_else(|| emoji(false)).map(|face| face.id);
        Self { letters, emoji, database: Arc::new(database), missing: Mutex::default() }
    }

    /// Finds out which characters no font has. One by one: shaping stops at the first that it misses.
    fn look_up(&self, texts: &[String]) -> Outcome<()> {
        let chars: BTreeSet<char> = texts.iter().flat_map(|text| text.chars()).collect();
        self.widths(&chars.into_iter().map(String::from).collect::<Vec<_>>(), 16.0).map(|_| ())
    }

    /// The characters that no font has.
    pub(crate) fn missing(&self) -> Vec<char> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn parse(&self, svg: &str) -> Outcome<Tree> {
        let fallback = FontResolver::default_fallback_selector();
        let font_resolver = FontResolver {
            select_font: Box::new(|font, _| {
                let emoji = matches!(font.families().first(), Some(FontFamily::Named(name)) if name.contains("Emoji"));
                self.emoji.filter(|_| emoji).or(self.letters)
            }),
            select_fallback: Box::new(move |c, used, database| {
                let found = fallback(c, used, database);
                // Marks that join or vary others need not be drawn.
                if found.is_none() && !matches!(c, '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}') {
                    self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(c);
                }
                found
            }),
        };
        let options = Options { font_resolver, fontdb: Arc::clone(&self.database), ..Options::default() };
        Tree::from_str(svg, &options).map_err(|error| Failure::failed(format!("cannot draw: {error}")))
    }

    /// How wide texts are at a size, in pixels.
    pub(crate) fn widths(&self, texts: &[String], size: f32) -> Outcome<Vec<f32>> {
        let mut svg = Svg::new(100, 100);
        for (index, text) in texts.iter().enumerate() {
            svg.text(text, (0.0, 50.0), size, Anchor::Start, &format!("id=\"t{index}\""));
        }
        let tree = self.parse(&svg.finish())?;
        let width = |index| tree.node_by_id(&format!("t{index}")).map_or(0.0, |node| node.bounding_box().width());
        Ok((0..texts.len()).map(width).collect())
    }

    /// The picture as PNG.
    pub(crate) fn png(&self, svg: &str) -> Outcome<Vec<u8>> {
        // One character that is missing would take those that follow it along.
        let missing = self.missing();
        let tree = self.parse(&svg.replace(&missing[..], "\u{fffd}"))?;
        let size = tree.size().to_int_size();
        let mut pixels = Pixmap::new(size.width(), size.height())
            .ok_or_else(|| Failure::failed("the picture is too large for memory"))?;
        resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| Failure::failed(format!("cannot encode the picture: {error}")))
    }
}

fn family(face: &FaceInfo) -> &str {
    face.families.first().map_or("", |family| family.0.as_str())
}

/// Which of the scripts that share characters the texts are likely to be in: fonts draw those in the manner of one
/// language.
fn language(texts: &[String]) -> &'static str {
    let has = |from: char, to: char| texts.iter().any(|text| text.chars().any(|c| (from..=to).contains(&c)));
    if has('\u{3040}', '\u{30ff}') {
        "CJK JP"
    } else if has('\u{ac00}', '\u{d7a3}') {
        "CJK KR"
    } else {
        "CJK SC"
    }
}

/// Orders fonts by how well they go with the one in the program: upright, without serifs, of ordinary weight.
fn rank(face: &FaceInfo, language: &str) -> (bool, bool, bool, bool, u16, String) {
    let family = family(face);
    let last = family.contains("Last Resort") || face.style != Style::Normal;
    let odd = !family.contains("Sans") || family.contains("Mono") || face.monospaced;
    let weight = face.weight.0.abs_diff(400);
    (last, odd, family.contains("Condensed"), !family.contains(language), weight, family.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_font_has_is_named() {
        let texts = ["loss 0.5 é д α".to_owned()];
        let fonts = Fonts::with(Database::new(), &[]);
        fonts.look_up(&texts).unwrap();
        assert_eq!(fonts.missing(), []);
        let fonts = Fonts::with(Database::new(), &[]);
        fonts.look_up(&["損失 loss 🚀".to_owned()]).unwrap();
        assert_eq!(fonts.missing(), ['失', '損']);
        let widths = fonts.widths(&["mmmm".to_owned(), "mm".to_owned(), String::new()], 16.0).unwrap();
        assert!(widths[0] > widths[1] * 1.8 && widths[1] > 10.0 && widths[2] == 0.0, "{widths:?}");
    }
}
