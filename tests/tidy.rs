//! Rules of the house that no compiler checks: layers, who alone does what, sizes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most lines of a source file.
const LINES_MAX: usize = 600;

/// Most lines of a function of what ships, and of a test or a tool.
const FUNCTION_LINES_MAX: usize = 60;
const TEST_FUNCTION_LINES_MAX: usize = 115;

/// Which layers a layer of `src` may import, beside itself. What is not named here is forbidden.
const LAYERS: [(&str, &[&str]); 16] = [
    ("error", &[]),
    ("base", &["error"]),
    ("options", &[]),
    ("storage", &[]),
    ("codec", &["base"]),
    ("log", &["error", "base", "storage"]),
    ("segment", &["error", "base", "storage", "codec"]),
    ("run", &["error", "base", "storage", "codec", "log", "segment"]),
    ("index", &["error", "base", "storage", "codec", "segment"]),
    ("search", &["error", "base", "storage", "codec", "segment", "index"]),
    ("folder", &["error", "base", "storage"]),
    ("journal", &["error", "base", "storage", "folder"]),
    (
        "workspace",
        &[
            "error", "base", "options", "storage", "codec", "log", "segment", "run", "index", "search", "folder",
            "journal",
        ],
    ),
    ("arrow", &["error", "base", "index", "run", "workspace"]),
    ("registry", &["error", "base", "options", "storage", "folder", "journal", "workspace"]),
    (
        "tracking",
        &[
            "error",
            "base",
            "options",
            "storage",
            "run",
            "index",
            "search",
            "folder",
            "journal",
            "workspace",
            "registry",
        ],
    ),
];

/// The order within a layer: each folder knows only those before it; files beside the folders stand above them all.
/// With the type whose methods the folders share: a method counts as part of the folder that defines it.
const INNER: [(&str, &str, &[&str]); 2] = [
    ("workspace", "Shared", &["state", "read", "write", "compact", "verify", "transfer"]),
    ("tracking", "Tracking", &["values", "language", "handle", "calls"]),
];

/// Which of our crates a crate may depend on. What is not named here is forbidden.
const CRATES: [(&str, &[&str]); 11] = [
    ("stepwell", &[]),
    ("stepwell-import", &["stepwell"]),
    ("stepwell-login", &[]),
    ("stepwell-wire", &["stepwell"]),
    ("stepwell-server", &["stepwell", "stepwell-wire"]),
    ("stepwell-remote", &["stepwell", "stepwell-login"]),
    ("stepwell-cli", &["stepwell", "stepwell-import", "stepwell-login", "stepwell-remote", "stepwell-server"]),
    ("stepwell-python", &["stepwell", "stepwell-login", "stepwell-wire", "stepwell-remote", "stepwell-cli"]),
    ("stepwell-torture", &["stepwell"]),
    ("stepwell-compare", &["stepwell"]),
    ("xtask", &[]),
];
/// HTTP and async, which only the server and what stands on it may know.
const HTTP: [&str; 9] =
    ["async-std", "axum", "axum-core", "http", "http-body", "hyper", "hyper-util", "tokio", "tower-service"];
/// Crates that none of a crate's dependencies may depend on either.
const FREE_OF: [(&str, &[&str]); 5] = [
    ("stepwell", &HTTP),
    ("stepwell", &["serde_json"]),
    ("stepwell-import", &HTTP),
    ("stepwell-login", &HTTP),
    ("stepwell-wire", &HTTP),
];

/// The modules of the library that are public. `internals` opens the others to the repository's own targets.
const PUBLIC: [&str; 11] = [
    "files",
    "import",
    "internals",
    "items",
    "limits",
    "maintenance",
    "query",
    "registry",
    "replication",
    "testing",
    "tracking",
];

/// Files with `unsafe` code.
const UNSAFE: [&str; 17] = [
    "benches/support/mod.rs",
    "crates/stepwell-python/src/exit.rs",
    "crates/stepwell-python/src/flag.rs",
    "crates/stepwell-python/src/foreign.rs",
    "crates/stepwell-server/src/http/heap.rs",
    "crates/stepwell-torture/src/forking.rs",
    "src/codec/float_env.rs",
    "src/folder/clock.rs",
    "src/log/slot.rs",
    "src/run/tail.rs",
    "src/storage/conformance.rs",
    "src/storage/disk/lock.rs",
    "src/storage/disk/sys.rs",
    "src/storage/disk/tests.rs",
    "src/storage/fork.rs",
    "src/storage/memory/buffer.rs",
    "tests/forking.rs",
];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the project that ends so, by its path from the root with `/`, and its text.
pub(crate) fn files(end: &str) -> BTreeMap<String, String> {
    fn walk(dir: &Path, root: &Path, end: &str, out: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // Not ours: what tools leave, and the workspace that an example made.
                let left = ["target", "corpus", "artifacts", "node_modules", "dist"].contains(&name.as_str());
                let made = name == "stepwell" && dir == root;
                if !(name.starts_with('.') || left || made) {
                    walk(&path, root, end, out);
                }
            } else if name.ends_with(end) {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                out.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(&root(), &root(), end, &mut out);
    assert!(!out.is_empty(), "no file ends with {end}");
    out
}

/// The lines of a source file that are not comments, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The lines of a source file that are code and outside of its `mod tests`, numbered from 1.
fn library(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_tests = false;
    code(text).filter(move |(_, line)| {
        in_tests = if in_tests { *line != "}" } else { *line == "mod tests {" };
        !in_tests
    })
}

/// Fails with all findings at once.
pub(crate) fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn every_file_says_its_job_and_stays_short() {
    let mut found = Vec::new();
    let starts =
        [(".rs", "//! "), (".py", "\"\"\""), (".ts", "// "), (".tsx", "// "), (".mjs", "// "), (".css", "/* ")];
    for (end, start) in starts {
        let wrong = |text: &String| !text.starts_with(start) || text.lines().count() > LINES_MAX;
        for (path, _) in files(end).into_iter().filter(|(_, text)| wrong(text)) {
            found.push(format!("{path}: over {LINES_MAX} lines, or the first is not `{start}` and the file's one job"));
        }
    }
    none(&found, "one job a file, few lines");
}

/// The functions of a source file: the line of each, its name, its length in lines.
fn functions(text: &str) -> Vec<(usize, &str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let head = line.trim_start();
        let indent = line.len() - head.len();
        let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "];
        let head = words.iter().fold(head, |head, word| head.strip_prefix(word).unwrap_or(head));
        let Some(rest) = head.strip_prefix("fn ") else { continue };
        let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        // Formatted code ends a function with a brace below its first letter, or in its only line.
        let ends = |line: &str| line.len() - line.trim_start().len() == indent && line.ends_with(['}', ';']);
        let len = lines[at..].iter().position(|line| ends(line)).map_or(0, |end| end + 1);
        found.push((at + 1, name, len));
    }
    found
}

#[test]
fn functions_stay_short() {
    let mut found = Vec::new();
    for (path, text) in files(".rs") {
        let is_tool = ["stepwell-compare", "stepwell-torture", "xtask"].iter().any(|tool| path.contains(tool));
        let in_crate = path.starts_with("crates/") && path.contains("/src/") && !is_tool;
        let is_test = path.contains("/tests") || path.ends_with("tests.rs");
        let ships = (path.starts_with("src/") || in_crate) && !is_test;
        let tests_from = text.lines().position(|line| line == "mod tests {").unwrap_or(usize::MAX);
        for (line, name, len) in functions(&text) {
            let max = if ships && line <= tests_from { FUNCTION_LINES_MAX } else { TEST_FUNCTION_LINES_MAX };
            if len > max {
                found.push(format!("{path}:{line}: {name} has {len} lines, of {max}"));
            }
        }
    }
    none(&found, "functions stay short");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["#[ign", "ore"]].map(|halves| halves.concat());
    let mut found = Vec::new();
    for (path, text) in files(".rs") {
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                found.push(format!("{path}:{number}: {mark}"));
            }
        }
    }
    none(&found, "nothing is left for later");
}

#[test]
fn layers_import_only_what_lies_below() {
    let mut found = Vec::new();
    for (path, text) in files(".rs") {
        let Some(layer) = path.strip_prefix("src/").map(|rest| rest.split(['/', '.']).next().unwrap_or(rest)) else {
            continue;
        };
        if layer == "lib" || layer == "internals" {
            continue;
        }
        let Some((_, below)) = LAYERS.iter().find(|(known, _)| *known == layer) else {
            found.push(format!("{path}: {layer} has no place among the layers"));
            continue;
        };
        for (number, line) in code(&text) {
            for import in line.split("crate::").skip(1) {
                let import =
                    import.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next().unwrap_or("");
                let to = import.split("::").next().unwrap_or("");
                if to != layer && !below.contains(&to) {
                    found.push(format!("{path}:{number}: {layer} imports {import}"));
                }
            }
        }
    }
    none(&found, "a layer imports only lower ones, and by their own paths");
}

#[test]
fn the_store_knows_no_mlflow() {
    let name = ["ml", "flow"].concat();
    let mut found = Vec::new();
    for (path, text) in files(".rs") {
        let below = path.strip_prefix("src/").is_some_and(|inner| !inner.starts_with("tracking/") && inner != "lib.rs");
        let lines = (1..).zip(text.lines()).filter(|(_, line)| below && line.to_lowercase().contains(&name));
        found.extend(lines.map(|(number, line)| format!("{path}:{number}: {}", line.trim())));
    }
    none(&found, "MLflow's words, limits and rules stand in src/tracking and above");
}

/// The methods of a type that a file defines.
fn methods<'t>(of: &str, text: &'t str) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut within = false;
    for (_, line) in library(text) {
        if let Some(head) = line.strip_prefix("impl") {
            let head = head.split(" for ").last().unwrap_or(head);
            within = head.split(|c: char| !c.is_alphanumeric()).any(|word| word == of);
        }
        let function = line.strip_prefix("    ").and_then(|line| {
            let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
            line.strip_prefix("fn ")
        });
        if let Some(rest) = function.filter(|_| within) {
            found.extend(rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next());
        }
    }
    found
}

#[test]
fn folders_within_a_layer_know_only_lower_ones() {
    let all = files(".rs");
    let mut found = Vec::new();
    for (layer, shared, order) in INNER {
        let (start, inner_path) = (format!("src/{layer}/"), format!("crate::{layer}::"));
        let place = |name: &str| order.iter().position(|known| *known == name).unwrap_or(order.len());
        let texts: Vec<(&str, usize, &str)> = all
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), path.strip_prefix(&start)?, text.as_str())))
            .filter(|(_, inner, _)| !inner.starts_with("tests"))
            .map(|(path, inner, text)| (path, place(inner.split('/').next().unwrap_or(inner)), text))
            .collect();
        let mut defined: BTreeMap<&str, usize> = BTreeMap::new();
        for &(_, at, text) in &texts {
            defined.extend(methods(shared, text).into_iter().map(|name| (name, at)));
        }
        assert!(defined.len() > 30, "the methods of {shared} are found");
        for (path, at, text) in texts {
            for (number, line) in library(text) {
                let names = line.split(inner_path.as_str()).skip(1).map(|rest| {
                    let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
                    (name, place(name))
                });
                let calls = ["self.", "shared.", "workspace.", "tracking."].into_iter().flat_map(|by| {
                    let called = line.split(by).skip(1).filter_map(|rest| rest.split_once('(').map(|(name, _)| name));
                    called.filter_map(|name| Some((name, *defined.get(name)?)))
                });
                let above = names.chain(calls).filter(|(_, to)| *to > at);
                found.extend(above.map(|(name, _)| format!("{path}:{number}: {name} is of a folder above")));
            }
        }
    }
    none(&found, "a folder knows only those before it");
}

/// The dependencies of a crate of ours, those of its tests left out.
fn dependencies(name: &str) -> Vec<String> {
    let path = if name == "stepwell" { "Cargo.toml".to_owned() } else { format!("crates/{name}/Cargo.toml") };
    read(&path)
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split([' ', '.', '=']).next().filter(|name| !name.is_empty() && *name != "#"))
        .map(str::to_owned)
        .collect()
}

/// Everything that a crate of ours depends on, directly or not, each with the crate that asks for it.
fn reached(name: &str) -> BTreeMap<String, String> {
    let lock = read("Cargo.lock");
    let (mut left, mut reached) = (vec![name.to_owned()], BTreeMap::new());
    while let Some(one) = left.pop() {
        // The tests of our own crates may depend on more, which the lock does not tell apart.
        let all: Vec<String> = if CRATES.iter().any(|(known, _)| *known == one) {
            dependencies(&one)
        } else {
            // Several versions may be locked.
            let start = format!("\nname = \"{one}\"\n");
            let all = lock.split("[[package]]").filter(|package| package.starts_with(&start));
            let all = all.filter_map(|package| package.split("dependencies = [").nth(1)?.split(']').next());
            let all = all.flat_map(|all| all.split('"').skip(1).step_by(2));
            all.filter_map(|one| one.split(' ').next()).map(str::to_owned).collect()
        };
        for to in all {
            if !reached.contains_key(&to) {
                reached.insert(to.clone(), one.clone());
                left.push(to);
            }
        }
    }
    reached
}

#[test]
fn crates_depend_only_on_what_lies_below() {
    let mut found = Vec::new();
    for (path, text) in files("Cargo.toml").iter().filter(|(path, _)| path.starts_with("crates/")) {
        let name = path.split('/').nth(1).unwrap_or_default();
        assert!(text.contains(&format!("name = \"{name}\"")), "{path} is the crate of its folder");
        if !CRATES.iter().any(|(known, _)| *known == name) {
            found.push(format!("{path}: {name} has no place among the crates"));
        }
    }
    for (name, below) in CRATES {
        let own = dependencies(name).into_iter().filter(|to| CRATES.iter().any(|(known, _)| known == to));
        found.extend(own.filter(|to| !below.contains(&to.as_str())).map(|to| format!("{name} depends on {to}")));
    }
    for (name, free_of) in FREE_OF {
        let forbidden = reached(name).into_iter().filter(|(to, _)| free_of.contains(&to.as_str()));
        found.extend(forbidden.map(|(to, of)| format!("{name} depends on {to}, by way of {of}")));
    }
    assert!(reached("stepwell-server").contains_key("tokio"), "what a crate reaches is found");
    none(&found, "a crate depends on what lies below it, and only the server knows HTTP");
}

#[test]
fn the_modules_of_the_library_are_private() {
    let library = read("src/lib.rs");
    let mut public: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .filter_map(|rest| rest.split([';', ' ']).next())
        .collect();
    public.sort_unstable();
    assert_eq!(public, PUBLIC, "the public modules of src/lib.rs");
    // What ships uses the API alone.
    let mut found = Vec::new();
    for (path, text) in files(".rs") {
        let ships = path.starts_with("examples/") || (path.starts_with("crates/") && path.contains("/src/"));
        if ships && !path.starts_with("crates/stepwell-compare") && text.contains("stepwell::internals") {
            found.push(path);
        }
    }
    none(&found, "programs use the public API alone");
}

#[test]
fn some_things_are_done_in_one_place_only() {
    /// What to look for, where it may stand, and where it is looked for.
    type Rule = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);
    let rules: [Rule; 5] = [
        // The list of users is not a file of a workspace.
        (&["std::fs", "memmap2", "mmap"], &["src/storage/disk", "src/workspace/state/actor.rs"], &["src/"]),
        (&["thread::spawn", "thread::scope", "thread::Builder"], &["src/workspace/background.rs"], &["src/"]),
        (&["SystemTime", "Instant"], &["src/folder/clock.rs"], &["src/"]),
        (&["bincode"], &["src/base/control.rs"], &["src/", "crates/", "benches/", "examples/"]),
        (&["pco::"], &["src/codec/pages.rs"], &["src/"]),
    ];
    let mut found = Vec::new();
    for (path, text) in files(".rs") {
        // Tests may start threads and look at real files.
        let test = path.contains("/tests") || path.ends_with("tests.rs") || path.ends_with("conformance.rs");
        for (words, allowed, within) in &rules {
            if test
                || !within.iter().any(|start| path.starts_with(start))
                || allowed.iter().any(|own| path.starts_with(own))
            {
                continue;
            }
            for (number, line) in library(&text) {
                if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                    found.push(format!("{path}:{number}: {word}, which only {allowed:?} may name"));
                }
            }
        }
    }
    none(&found, "some things are done in one place only");
}

#[test]
fn unsafe_code_stays_in_its_corners() {
    let forms = ["{", "fn ", "impl ", "extern "].map(|form| ["unsafe ", form].concat());
    let with: Vec<String> = files(".rs")
        .into_iter()
        .filter(|(path, text)| {
            path != "tests/tidy.rs" && code(text).any(|(_, line)| forms.iter().any(|form| line.contains(form)))
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(with, UNSAFE, "the list of files with unsafe code");
}
