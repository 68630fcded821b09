//! The program `stepwell`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(stepwell_cli::run(std::env::args_os().collect()))
}
