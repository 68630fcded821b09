//! The call: global options and the list of commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands;

/// Keeps, searches, plots and checks the metrics of training runs in a folder.
///
/// The folder (the workspace) is -w DIR, else $STEPWELL_DIR, else ./stepwell. Any number of processes may write to it
/// and read it at once; no server is needed, and `serve` is one for MLflow's clients.
#[derive(Debug, Parser)]
#[command(
    name = "stepwell",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Exit status: 0 done; 1 the answer is no (damage found; nothing matched, with --exit-code); 2 wrong \
                  usage; 3 failed.\n\nRUN is an id, the beginning of an id that no other run shares, or a name that no \
                  other run has.\n\nExamples:\n  stepwell import ~/tensorboard-logs\n  stepwell runs --filter \
                  \"metrics.loss < 0.1 AND params.lr = '0.01'\"\n  stepwell plot 3fa9 81c0 --key loss -o loss.png\n  \
                  stepwell log --new --name probe loss=0.5"
)]
pub(crate) struct Arguments {
    /// The workspace's folder.
    #[arg(short, long, global = true, value_name = "DIR", env = "STEPWELL_DIR", default_value = "stepwell")]
    pub(crate) workspace: PathBuf,
    /// Print one JSON document and nothing else (NaN and ±infinity as "NaN", "Infinity", "-Infinity").
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take in logs of TensorBoard, MLflow, W&B, CSV, JSON lines and Parquet.
    Import(commands::import::Arguments),
    /// List experiments; create, rename, delete, restore them.
    Experiments(commands::experiments::Arguments),
    /// List and search runs.
    Runs(commands::runs::Arguments),
    /// Show one run in full.
    Show(commands::show::Arguments),
    /// Print the points of a metric.
    History(commands::history::Arguments),
    /// Draw curves in the terminal or as a picture.
    Plot(commands::plot::Arguments),
    /// Follow a run while another process writes it.
    Tail(commands::tail::Arguments),
    /// Log from a shell script.
    Log(commands::log::Arguments),
    /// Write runs as Parquet, CSV, TensorBoard event files or MLflow's folders.
    Export(commands::export::Arguments),
    /// Mark runs deleted; `gc` removes them for good.
    Delete(commands::lifecycle::Deletion),
    /// Restore runs that were marked deleted.
    Restore(commands::lifecycle::Arguments),
    /// Tell how much there is and what it costs on disk.
    Stats,
    /// Seal logs that nobody writes any more and gather them into packs.
    Compact(commands::compact::Arguments),
    /// Remove for good what was deleted.
    Gc(commands::gc::Arguments),
    /// Read every byte and report damage: which file, where, and what it cost. Exit status 1 when there is any.
    Verify,
    /// Take damaged files out of use, and save what still reads. The originals stay in `quarantine`.
    Repair,
    /// Copy to a workspace what it lacks of another: runs, models, artifacts.
    Sync(commands::sync::Arguments),
    /// Answer MLflow's clients and show MLflow's web UI.
    Serve(commands::serve::Arguments),
    /// Make, list and revoke tokens for the server.
    Token(commands::token::Arguments),
    /// Print a completion script for a shell.
    Completions(commands::completions::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
