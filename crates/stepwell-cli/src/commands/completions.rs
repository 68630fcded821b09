//! `stepwell completions SHELL`: what a shell must read to complete calls of this program.

use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::complete::VARIABLE;
use crate::failure::{Answer, Failure, Outcome};
use crate::output;

const HELP: &str = "\
Runs, experiments, metrics and names of columns are completed from the workspace that the call names (-w DIR, else \
$STEPWELL_DIR, else ./stepwell). What a shell would take apart, such as a name with blanks, is not offered; ids are.

Examples:
  stepwell completions bash > ~/.local/share/bash-completion/completions/stepwell
  stepwell completions zsh > ~/.zfunc/_stepwell
  stepwell completions fish > ~/.config/fish/completions/stepwell.fish";

/// Print the script that makes a shell complete commands, options, runs, experiments and keys.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let shells = Shells::builtins();
    let name = arguments.shell.to_string();
    let Some(shell) = shells.completer(&name) else {
        return Err(Failure::Usage(format!("no completions are known for {name}")));
    };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "stepwell", "stepwell", "stepwell", &mut script)?;
    output::lines(&String::from_utf8_lossy(&script))?;
    Ok(Answer::Done)
}
