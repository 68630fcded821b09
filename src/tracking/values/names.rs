//! Random names: two words and a number.

use crate::base::ids::random_u128;

const QUALITIES: [&str; 64] = [
    "able", "amber", "ample", "autumn", "brave", "bright", "brisk", "calm", "candid", "clear", "clever", "copper",
    "cosmic", "crisp", "daring", "deft", "eager", "early", "exact", "fair", "fleet", "fresh", "gentle", "glad",
    "golden", "grand", "hardy", "honest", "jolly", "keen", "kind", "lively", "loyal", "lucid", "lunar", "mellow",
    "merry", "mild", "modest", "neat", "nimble", "noble", "open", "patient", "placid", "polar", "proud", "quick",
    "quiet", "rapid", "ready", "rustic", "silent", "simple", "smooth", "solid", "sound", "steady", "swift", "tidy",
    "vivid", "warm", "wise", "young",
];
const THINGS: [&str; 64] = [
    "alder", "badger", "basin", "beacon", "birch", "bison", "brook", "canyon", "cedar", "cliff", "comet", "coral",
    "crane", "delta", "dune", "eagle", "ember", "falcon", "fern", "finch", "fjord", "forest", "fox", "geyser", "glade",
    "grove", "harbor", "hare", "hawk", "heron", "hill", "island", "jay", "lagoon", "lake", "larch", "lark", "lynx",
    "maple", "marsh", "meadow", "mesa", "moor", "moth", "oak", "orca", "otter", "owl", "pine", "plain", "pond",
    "quail", "raven", "reef", "ridge", "river", "robin", "sparrow", "spring", "stork", "tern", "tide", "trout",
    "willow",
];

/// A random name such as `calm-otter-417`. Names need not be unique.
pub(crate) fn random_name() -> String {
    let bits = random_u128();
    let pick = |words: &[&'static str; 64], shift: u32| words[(bits >> shift) as usize % 64];
    format!("{}-{}-{}", pick(&QUALITIES, 0), pick(&THINGS, 6), (bits >> 12) as u64 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_plain() {
        let names: std::collections::BTreeSet<String> = (0..50).map(|_| random_name()).collect();
        assert!(names.len() > 40);
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
        }
    }
}
