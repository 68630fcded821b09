//! `stepwell completions SHELL`: a completion script.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::failure::{Answer, Outcome};
use crate::output;

/// Prints a completion script, for example `stepwell completions bash > ~/.local/share/bash-completion/completions/stepwell`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut script = Vec::new();
    let mut command = crate::arguments::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "stepwell", &mut script);
    output::lines(&String::from_utf8_lossy(&script))?;
    Ok(Answer::Done)
}
