//! The `stepwell` command: reads the call, runs one command, and turns its end into an exit status. A library, so that
//! the Python wheel has the command too.

mod arguments;
mod artifacts;
mod columns;
mod commands;
mod complete;
mod context;
mod copy;
mod cut;
mod failure;
mod find;
mod keys;
mod left_out;
mod output;
mod place;
mod plot;
mod progress;
mod shape;
mod table;
mod time;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::arguments::{Arguments, Command};
use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};

pub use crate::artifacts::folder_of_run;

/// Runs the command with these arguments, the program's name first, on the standard streams of the process. Gives the
/// exit status: 0 done, 1 the answer is "no", 2 usage, 3 failed. Ends the process itself where a shell asks for
/// completions, and where `--help` or a wrong call is answered.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> u8 {
    let here = std::env::current_dir().ok();
    let completer = CompleteEnv::with_factory(Arguments::command).var(complete::VARIABLE);
    match completer.try_complete(arguments.iter().cloned(), here.as_deref()) {
        Ok(false) => {}
        Ok(true) => return 0,
        Err(error) => error.exit(),
    }
    let arguments = Arguments::parse_from(commands::log::join_finish(arguments));
    if arguments.local
        && let Err(why) = time::use_local()
    {
        let failure = Failure::hinted(why, "set $TZ to a name such as Europe/Berlin");
        report(&failure);
        return failure.status();
    }
    let context = Context { dir: arguments.workspace, json: arguments.json };
    match dispatch(&context, arguments.command).map(left_out::close) {
        Ok(Answer::Done) => 0,
        Ok(Answer::No) => 1,
        Ok(Answer::Exit(status)) => status,
        Err(failure) => {
            report(&failure);
            failure.status()
        }
    }
}

fn dispatch(context: &Context, command: Command) -> Outcome {
    use commands as on;
    match command {
        Command::Import(arguments) => on::import::run(context, &arguments),
        Command::Experiments(arguments) => on::experiments::run(context, arguments),
        Command::Models(arguments) => on::models::run(context, &arguments),
        Command::Runs(arguments) => on::runs::run(context, arguments),
        Command::Show(arguments) => on::show::run(context, &arguments),
        Command::History(arguments) => on::history::run(context, &arguments),
        Command::Plot(arguments) => on::plot::run(context, &arguments),
        Command::Tail(arguments) => on::tail::run(context, &arguments),
        Command::Log(arguments) => on::log::run(context, &arguments),
        Command::Run(arguments) => on::run::run(context, &arguments),
        Command::Export(arguments) => on::export::run(context, &arguments),
        Command::Delete(arguments) => on::lifecycle::delete(context, &arguments),
        Command::Restore(arguments) => on::lifecycle::restore(context, &arguments),
        Command::Stats => on::stats::run(context),
        Command::Compact(arguments) => on::compact::run(context, &arguments),
        Command::Gc(arguments) => on::gc::run(context, &arguments),
        Command::Verify => on::verify::run(context),
        Command::Repair(arguments) => on::repair::run(context, &arguments),
        Command::Sync(arguments) => on::sync::run(context, &arguments),
        Command::Spool(arguments) => on::spool::run(context, &arguments),
        Command::Serve(arguments) => on::serve::run(context, &arguments),
        Command::Token(arguments) => on::token::run(context, &arguments),
        Command::Login(arguments) => on::login::run(context, &arguments),
        Command::Logout(arguments) => on::login::logout(context, &arguments),
        Command::Completions(arguments) => on::completions::run(&arguments),
        Command::Man(arguments) => on::man::run(&arguments),
        Command::Help(arguments) => on::help::run(&arguments),
    }
}

/// Tells a failure on standard error.
fn report(failure: &Failure) {
    let mut err = std::io::stderr().lock();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let (red, end) = if err.is_terminal() && !plain { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
    // Nobody is left to hear that standard error is gone too.
    let _ = match failure {
        Failure::PipeClosed => Ok(()),
        Failure::Usage(message) => {
            writeln!(err, "{red}error:{end} {message}\n\nFor more information, try '--help'.")
        }
        Failure::Failed(message, None) | Failure::Unstarted(_, message) => writeln!(err, "{red}error:{end} {message}"),
        Failure::Failed(message, Some(hint)) => writeln!(err, "{red}error:{end} {message}\n  hint: {hint}"),
    };
}
