//! The call: global options and the list of commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands;

/// Store, search, plot and check the metrics of training runs in a folder.
///
/// The folder is called a workspace: -w DIR, else $STEPWELL_DIR, else ./stepwell. Any number of processes may write
/// to it and read it at the same time, without a server. `stepwell serve` is a server for MLflow's clients.
#[derive(Debug, Parser)]
#[command(
    name = "stepwell",
    version,
    propagate_version = true,
    max_term_width = 110,
    disable_help_subcommand = true,
    after_help = format!(
        "Exit status: 0 done; 1 the answer is no (damage found; nothing to change; nothing matched, with --exit-code); \
         2 wrong usage; 3 failed.\n\n{}\n\nExamples:\n  stepwell import ~/tensorboard-logs\n  stepwell runs --filter \
         \"metrics.loss < 0.1 AND params.lr = '0.01'\"\n  stepwell plot 3fa9 81c0 --key loss -o loss.png\n  \
         stepwell log --new --name probe loss=0.5\n  stepwell help filter",
        crate::find::RULE
    )
)]
pub(crate) struct Arguments {
    /// The workspace's folder.
    #[arg(short, long, global = true, value_name = "DIR", env = "STEPWELL_DIR", default_value = "stepwell")]
    pub(crate) workspace: PathBuf,
    /// Print one JSON document and nothing else. NaN and infinities become "NaN", "Infinity" and "-Infinity".
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print and read times in the local time zone ($TZ, else the system's) instead of UTC.
    #[arg(long, global = true, overrides_with = "utc")]
    pub(crate) local: bool,
    /// Print and read times in UTC. This is the default.
    #[arg(long, global = true, overrides_with = "local")]
    pub(crate) utc: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Import logs of TensorBoard, MLflow, W&B, DVCLive, CSV, JSON and Parquet, and exports.
    Import(commands::import::Arguments),
    /// List, create, rename, delete and restore experiments.
    Experiments(commands::experiments::Arguments),
    /// List registered models: versions, stages, aliases, and who changed them.
    Models(commands::models::Arguments),
    /// List and search runs.
    Runs(commands::runs::Arguments),
    /// Show everything about one run.
    Show(commands::show::Arguments),
    /// Print the points of a metric.
    History(commands::history::Arguments),
    /// Plot metrics in the terminal or as a picture.
    Plot(commands::plot::Arguments),
    /// Follow a run while another process writes it.
    Tail(commands::tail::Arguments),
    /// Log from a shell script.
    Log(commands::log::Arguments),
    /// Run a command and record it as a run: the command, its output, and what its loggers log.
    Run(commands::run::Arguments),
    /// Export runs as Parquet, CSV, TensorBoard event files or MLflow folders.
    Export(commands::export::Arguments),
    /// Delete runs; `restore` brings them back until `gc` removes them permanently.
    Delete(commands::lifecycle::Deletion),
    /// Restore deleted runs.
    Restore(commands::lifecycle::Arguments),
    /// Show how much the workspace holds and how much disk space it takes.
    Stats,
    /// Move the logs of finished writers into packs, and merge small packs.
    Compact(commands::compact::Arguments),
    /// Permanently remove what was deleted.
    Gc(commands::gc::Arguments),
    /// Verify every byte. Reports damage: the file, the place and what it costs. Exit status 1 if there is any.
    Verify,
    /// Recover what damaged files still hold. The originals go to `quarantine`.
    Repair(commands::repair::Arguments),
    /// Copy what another workspace lacks: runs, models, artifacts, deletions.
    Sync(commands::sync::Arguments),
    /// List and send what remote runs have left in their spools.
    Spool(commands::spool::Arguments),
    /// Serve MLflow's API and web UI, and Stepwell's own page.
    Serve(commands::serve::Arguments),
    /// Create, list and revoke tokens for the server.
    Token(commands::token::Arguments),
    /// Store a token for a server, for all of your programs.
    Login(commands::login::Arguments),
    /// Remove the stored token for a server.
    Logout(commands::login::Logout),
    /// Print the script that completes commands, runs and keys in a shell.
    Completions(commands::completions::Arguments),
    /// Print manual pages.
    Man(commands::man::Arguments),
    /// Explain a command or the filter language.
    Help(commands::help::Arguments),
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{CommandFactory, Parser};

    use super::Arguments;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// The words of a call as a shell takes it apart, up to a pipe or a redirection.
    fn words(call: &str) -> Vec<String> {
        let words = shlex::split(call).unwrap_or_else(|| panic!("no shell takes {call}"));
        let mut kept = Vec::new();
        for word in words {
            match word.strip_suffix(';') {
                _ if matches!(word.as_str(), "|" | ">" | "&&") => break,
                Some(last) => {
                    kept.push(last.to_owned());
                    break;
                }
                None => kept.push(word),
            }
        }
        kept
    }

    fn check(call: &str, from: &str) {
        let words = crate::commands::log::join_finish(words(call).into_iter().map(Into::into));
        if let Err(error) = Arguments::try_parse_from(words)
            && error.use_stderr()
        {
            panic!("{from}: {call}\n{error}");
        }
    }

    /// The text between `stepwell` after a backtick and the next backtick, of each such place.
    fn in_backticks(text: &str) -> Vec<String> {
        let starts = text.match_indices("`stepwell ").map(|(at, _)| at + 1);
        starts.filter_map(|at| Some(text[at..].split_once('`')?.0.to_owned())).collect()
    }

    #[test]
    fn every_call_in_help_is_taken() {
        fn each(command: &mut clap::Command, path: &str, seen: &mut usize) {
            let help = command.render_long_help().to_string();
            for line in help.lines().filter(|line| line.starts_with("  stepwell ")) {
                check(line.trim(), path);
                *seen += 1;
            }
            for below in command.get_subcommands_mut() {
                let path = format!("{path} {}", below.get_name());
                each(below, &path, seen);
            }
        }
        let mut seen = 0;
        let mut root = Arguments::command().term_width(400);
        root.build();
        each(&mut root, "stepwell", &mut seen);
        assert!(seen > 25, "{seen}");
    }

    #[test]
    fn every_call_in_the_documents_is_taken() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut pages = vec![root.join("README.md")];
        pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
        let mut seen = 0;
        for page in pages.iter().filter(|page| page.extension().is_some_and(|end| end == "md")) {
            let text = std::fs::read_to_string(page).unwrap();
            for line in text.lines() {
                let line = line.trim();
                let call = line.strip_prefix("RUN=$(").map_or(line, |rest| rest.trim_end_matches(')'));
                if call.starts_with("stepwell ") && call.split(' ').nth(1).is_some_and(|word| word.is_ascii()) {
                    check(call, &page.display().to_string());
                    seen += 1;
                }
            }
        }
        assert!(seen > 20, "{seen}");
    }

    /// Every command that a message names in backticks, with what stands for names filled in.
    #[test]
    fn every_call_that_a_message_advises_is_taken() {
        fn each(folder: &Path, seen: &mut usize) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    each(&path, seen);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                // What a file says of itself on its first lines describes, and advises nothing.
                let lines = text.lines().take_while(|line| *line != "mod tests {");
                let lines = lines.filter(|line| !line.trim_start().starts_with("//!"));
                for call in in_backticks(&lines.collect::<Vec<_>>().join(" ")) {
                    check(&call.replace(['{', '}'], "x"), &path.display().to_string());
                    *seen += 1;
                }
            }
        }
        let mut seen = 0;
        each(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut seen);
        for library in ["stepwell-server", "stepwell-wire"] {
            each(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(library).join("src"), &mut seen);
        }
        assert!(seen > 15, "{seen}");
    }
}
