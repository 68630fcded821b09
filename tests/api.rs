//! The public API as a page, `docs/api.txt`, so that a change of it is seen in review.
//!
//! `STEPWELL_WRITE_API=1 cargo test --test tests api` writes the page anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/api.txt";

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|end| end == "rs") {
            out.push(path);
        }
    }
}

/// An exported name: its public module, itself, and the path that it is re-exported from.
struct Export {
    module: String,
    name: String,
    path: String,
}

/// The names in the tree of a `use`, with their paths.
fn expand(tree: &str, path: &str, out: &mut Vec<(String, String)>) {
    let tree = tree.trim();
    if let Some((head, inner)) = tree.strip_suffix('}').and_then(|tree| tree.split_once('{')) {
        let (mut depth, mut from) = (0, 0);
        for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inner[from..at], &format!("{path}{head}"), out);
                    from = at + 1;
                }
                _ => {}
            }
        }
    } else if let Some(name) = tree.rsplit("::").next().filter(|name| name.starts_with(char::is_alphanumeric)) {
        out.push((name.to_owned(), format!("{path}{tree}")));
    }
}

/// The names that a text re-exports, by the public module that they are in.
fn exported(text: &str, within: &str, out: &mut Vec<Export>) {
    let mut module = within.to_owned();
    let mut statement: Option<String> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(" {")) {
            module = name.to_owned();
        } else if line == "}" && statement.is_none() {
            module = within.to_owned();
        }
        if line.starts_with("pub use ") {
            statement = Some(String::new());
        }
        let Some(known) = &mut statement else { continue };
        known.push_str(line);
        known.push(' ');
        if line.ends_with(';') {
            let mut names = Vec::new();
            expand(known.trim().trim_start_matches("pub use ").trim_end_matches(';'), "", &mut names);
            out.extend(names.into_iter().map(|(name, path)| Export { module: module.clone(), name, path }));
            statement = None;
        }
    }
}

/// The signature that begins at a line: to its body or its end.
fn signature(lines: &[&str], at: usize) -> String {
    let mut text = String::new();
    for line in &lines[at..] {
        text.push_str(line.trim());
        text.push(' ');
        if line.trim_end().ends_with(['{', ';', ',']) && text.matches('(').count() == text.matches(')').count() {
            break;
        }
    }
    text.trim().trim_end_matches(['{', ',', ';']).trim().replace("( ", "(").replace(", )", ")")
}

/// What the API has, line by line.
fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut exports = Vec::new();
    for (file, module) in
        [("src/lib.rs", "stepwell"), ("src/registry/mod.rs", "registry"), ("src/tracking/mod.rs", "tracking")]
    {
        exported(&std::fs::read_to_string(root.join(file)).unwrap(), module, &mut exports);
    }
    let of_api: BTreeSet<&str> = exports.iter().map(|export| export.name.as_str()).collect();
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    files.sort();
    // By name and file: types of one name are told apart by the files that define them.
    let mut methods: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut defined: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let file = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let lines: Vec<&str> = text.lines().collect();
        let mut subject = String::new();
        for (at, line) in lines.iter().enumerate() {
            if let Some(rest) = line.strip_prefix("impl") {
                let rest = rest.split(" for ").last().unwrap_or(rest).trim_start_matches(|c| c != '>' && c != ' ');
                let rest = if line.starts_with("impl<") { rest.trim_start_matches('>') } else { rest };
                subject = rest.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if line.contains(" for ") {
                    subject.clear();
                }
            } else if *line == "}" {
                subject.clear();
            }
            let hidden =
                at > 0 && (lines[at - 1].contains("feature = \"internals\"") || lines[at - 1].contains("doc(hidden)"));
            if line.starts_with("    pub fn ") && of_api.contains(subject.as_str()) && !hidden {
                methods.entry((subject.clone(), file.clone())).or_default().insert(signature(&lines, at));
            }
            for kind in ["pub struct ", "pub enum ", "pub trait "] {
                if let Some(rest) = line.strip_prefix(kind) {
                    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    defined.entry(name.clone()).or_default().insert(file.clone());
                    if of_api.contains(name.as_str()) && line.ends_with('{') {
                        let fields = lines[at + 1..].iter().take_while(|line| **line != "}");
                        let shown = |line: &&&str| {
                            line.starts_with("    pub ")
                                || (kind == "pub enum "
                                    && line.starts_with("    ")
                                    && line.as_bytes()[4].is_ascii_uppercase())
                        };
                        let hidden: Vec<&str> = fields
                            .clone()
                            .zip(fields.clone().skip(1))
                            .filter(|(a, _)| a.contains("doc(hidden)"))
                            .map(|(_, b)| *b)
                            .collect();
                        for field in fields.filter(shown).filter(|field| !hidden.contains(field)) {
                            methods
                                .entry((name.clone(), file.clone()))
                                .or_default()
                                .insert(field.trim().trim_end_matches([',', '{']).trim().to_owned());
                        }
                    }
                }
            }
        }
    }
    let mut names: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for Export { module, name, path } in &exports {
        let found = names.entry(module.clone()).or_default().entry(name.clone()).or_default();
        let files = defined.get(name).into_iter().flatten();
        // The file whose path has most of the words of the export's, and others that only have methods.
        let words: Vec<&str> = path.split("::").collect();
        let alike =
            |file: &&String| words.iter().filter(|word| file.split(['/', '.']).any(|part| part == **word)).count();
        let own = files.clone().max_by_key(alike);
        let strange: Vec<&String> = files.filter(|file| Some(*file) != own).collect();
        let of_name = methods.iter().filter(|((of, file), _)| of == name && !strange.contains(&file));
        found.extend(of_name.flat_map(|(_, lines)| lines).cloned());
    }
    let mut page = String::new();
    for (module, names) in &names {
        page += &format!("{module}\n");
        for (name, lines) in names {
            page += &format!("    {name}\n");
            for line in lines {
                page += &format!("        {line}\n");
            }
        }
    }
    page
}

#[test]
fn a_change_of_the_api_is_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let now = page();
    if std::env::var_os("STEPWELL_WRITE_API").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (known.lines().collect(), now.lines().collect());
    let gone: Vec<_> = old.difference(&new).map(|line| format!("- {}", line.trim())).collect();
    let come: Vec<_> = new.difference(&old).map(|line| format!("+ {}", line.trim())).collect();
    assert!(
        known == now,
        "the API is not what {PAGE} says; if that is meant, run STEPWELL_WRITE_API=1 cargo test --test tests api:\n{}",
        [gone, come].concat().join("\n")
    );
    assert!(now.lines().count() > 300, "the page is too short to be the API");
}
