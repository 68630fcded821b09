//! `stepwell man [COMMAND…]`: manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, escape};

/// Print the manual page of this program or of one of its commands, or write all of them to a folder.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell man | man -l -\n  stepwell man runs | man -l -\n  \
                        stepwell man --to ~/.local/share/man/man1")]
pub(crate) struct Arguments {
    /// The command, with its subcommand if it has one: `runs`, `experiments rename`.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write stepwell.1 and a page for each command to this folder, which is created if needed.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    to: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut root = crate::arguments::Arguments::command();
    root.build();
    if let Some(folder) = &arguments.to {
        std::fs::create_dir_all(folder).map_err(Failure::io("create", folder))?;
        clap_mangen::generate_to(root, folder).map_err(Failure::io("write to", folder))?;
        output::lines(&format!("wrote the pages to {}\n", escape(&folder.display().to_string())))?;
        return Ok(Answer::Done);
    }
    let mut command = &root;
    for name in &arguments.command {
        command = command.find_subcommand(name).ok_or_else(|| Failure::Usage(format!("no command {name:?}")))?;
    }
    let mut page = Vec::new();
    let full = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    Man::new(command.clone().name(full)).render(&mut page)?;
    output::lines(&String::from_utf8_lossy(&page))?;
    Ok(Answer::Done)
}
