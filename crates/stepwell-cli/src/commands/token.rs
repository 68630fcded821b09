//! `stepwell token`: who may use the server, when it asks for tokens.

use std::io::Write;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use stepwell::workspace::clock::now_ms;
use stepwell_server::{Role, Token, Tokens};

use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, escape};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Makes, lists and revokes the tokens of `stepwell serve --auth`. A client gives its token in MLFLOW_TRACKING_TOKEN, a
/// browser as password with any user name.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token and print it, once.
    Create {
        /// What the token is for.
        #[arg(long, default_value = "")]
        name: String,
        /// What it allows; each role includes those before it.
        #[arg(long, value_enum, default_value_t = RoleName::Write)]
        role: RoleName,
        /// Only this experiment, by number; may be given several times. Without it: the whole workspace.
        #[arg(long, value_name = "ID")]
        experiment: Vec<String>,
        /// Days until it ends.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// List the tokens, without their secrets.
    List,
    /// End a token now.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Read.
    Read,
    /// Log, edit and register as well.
    Write,
    /// Delete as well.
    Admin,
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Write => "write",
        Role::Admin => "admin",
    }
}

fn shape(token: &Token) -> serde_json::Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": word(token.role),
        "experiments": token.experiments,
        "created_ms": token.created_ms,
        "expires_ms": token.expires_ms,
        "ended": token.expires_ms <= now_ms(),
    })
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open_or_create(stepwell::Options::default())?;
    let tokens = Tokens::of(workspace.root());
    let failed = |error: std::io::Error| Failure::failed(escape(&error.to_string()));
    let mut out = output::stdout();
    match &arguments.what {
        What::Create { name, role, experiment, days } => {
            let role = match role {
                RoleName::Read => Role::Read,
                RoleName::Write => Role::Write,
                RoleName::Admin => Role::Admin,
            };
            if let Some(wrong) = experiment.iter().find(|id| id.parse::<stepwell::ExperimentId>().is_err()) {
                return Err(Failure::Usage(format!("--experiment {wrong:?} is no number of an experiment")));
            }
            let valid_ms = i64::from(*days) * DAY_MS;
            let (token, secret) = tokens.create(name, role, experiment.clone(), now_ms(), valid_ms).map_err(failed)?;
            if context.json {
                let mut shape = shape(&token);
                shape["token"] = secret.into();
                writeln!(out, "{shape}")?;
            } else {
                writeln!(out, "{secret}")?;
            }
        }
        What::List => {
            let all = tokens.list().map_err(failed)?;
            if context.json {
                writeln!(out, "{}", serde_json::Value::from(all.iter().map(shape).collect::<Vec<_>>()))?;
            } else {
                for token in &all {
                    let days = (token.expires_ms - now_ms()).div_euclid(DAY_MS);
                    let ends = if days < 0 { "ended".to_owned() } else { format!("{days} days left") };
                    let scope = match &token.experiments[..] {
                        [] => "whole workspace".to_owned(),
                        some => format!("experiments {}", some.join(", ")),
                    };
                    writeln!(out, "{}  {:5}  {ends}  {scope}  {}", token.id, word(token.role), escape(&token.name))?;
                }
            }
        }
        What::Revoke { id } => {
            let found = tokens.revoke(id).map_err(failed)?;
            if context.json {
                writeln!(out, "{}", json!({ "revoked": found }))?;
            }
            if !found {
                return Err(Failure::hinted(format!("no token {id:?}"), "`stepwell token list` lists them"));
            }
        }
    }
    out.flush()?;
    Ok(Answer::Done)
}
