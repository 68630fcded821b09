//! A mapping within a `meta.yaml`: the aliases of a registered model, the tags of a run's input.

use std::io::Read;
use std::path::Path;

use saphyr_parser::{Event, Parser};

use crate::mlflow::meta;

/// Longer files are not read.
const BYTES_MAX: u64 = 1 << 20;

/// The scalars of the mapping under a name; none where there is no such mapping, or the file does not parse.
pub(crate) fn read(path: &Path, name: &str) -> Vec<(String, String)> {
    let mut text = String::new();
    match meta::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => parse(&text, name),
        Err(_) => Vec::new(),
    }
}

fn parse(text: &str, wanted: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // Names and values alternate in a mapping; `name` is the one whose value comes next.
    let (mut depth, mut is_wanted, mut is_name, mut name) = (0usize, false, true, None::<String>);
    for event in Parser::new_from_str(text) {
        let Ok((event, _)) = event else { break };
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                // A list under the name is not a mapping.
                is_wanted &= !(depth == 1 && matches!(event, Event::SequenceStart(..)));
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    (is_wanted, is_name) = (false, true);
                }
                name = None;
            }
            Event::Scalar(text, ..) if depth == 1 => {
                is_wanted = is_name && text == wanted;
                is_name = !is_name;
            }
            Event::Scalar(text, ..) if depth == 2 && is_wanted => match name.take() {
                None => name = Some(text.into_owned()),
                Some(name) => found.push((name, text.into_owned())),
            },
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mapping_is_found_among_others() {
        let text = "a: tags\nother: {x: y}\nlist: [tags, b]\ntags:\n  k.1: v\n  deep: {z: q}\n  '2': \"w\"\nend: 1\n";
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(parse(text, "other"), [own("x", "y")]);
        assert_eq!(parse(text, "tags")[0], own("k.1", "v"));
        assert_eq!(parse(text, "list"), []);
        assert_eq!(parse("tags: {}\n", "tags"), []);
        assert_eq!(parse("tags: [", "tags"), []);
    }
}
