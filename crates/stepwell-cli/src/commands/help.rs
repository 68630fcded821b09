//! `stepwell help [TOPIC…]`: the help of a command, and the filter language.

use clap::{Args, CommandFactory};

use crate::failure::{Answer, Failure, Outcome};
use crate::output;

/// The filter language, as `docs/filter.md` tells it.
pub(crate) const FILTER: &str = include_str!("../../../../docs/filter.md");

/// Explain a command, or the filter language with `stepwell help filter`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell help runs\n  stepwell help experiments rename\n  stepwell help filter")]
pub(crate) struct Arguments {
    /// A command, with its subcommand if it has one; or `filter`.
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if arguments.topic == ["filter"] {
        output::lines(FILTER)?;
        return Ok(Answer::Done);
    }
    let mut root = crate::arguments::Arguments::command();
    root.build();
    let mut command = &mut root;
    for name in &arguments.topic {
        command = command
            .find_subcommand_mut(name)
            .ok_or_else(|| Failure::Usage(format!("no command {name:?}, and no other topic than filter")))?;
    }
    output::lines(&command.render_long_help().to_string())?;
    Ok(Answer::Done)
}
