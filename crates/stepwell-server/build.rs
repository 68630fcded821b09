//! Embeds the built page of `ui/dist`, if `cargo xtask ui` made it; without it the server has the plain page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let dist = root.join("ui/dist");
    println!("cargo::rerun-if-changed=ui/dist");
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        walk(&dist, &dist, &mut files);
    }
    files.sort();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut text = String::from("&[\n");
    for (at, name) in files.iter().enumerate() {
        // Copied, so that a build of the page meanwhile takes nothing away.
        let copy = out.join(format!("page-{at}"));
        std::fs::copy(dist.join(name), &copy).unwrap_or_else(|error| panic!("{name}: {error}"));
        writeln!(text, "    ({name:?}, include_bytes!({copy:?})),").expect("a string takes all");
    }
    text.push(']');
    let out = out.join("page.rs");
    std::fs::write(&out, text).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

/// The names of all files below a folder, but for hidden ones.
fn walk(folder: &Path, root: &Path, to: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            walk(&path, root, to);
        } else if let Ok(name) = path.strip_prefix(root) {
            to.push(name.to_string_lossy().into_owned());
        }
    }
}
