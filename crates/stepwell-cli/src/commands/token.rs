//! `stepwell token`: who may use the server, when it asks for tokens.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use stepwell::{Workspace, now_ms};
use stepwell_server::{Role, Token, Tokens};

use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::find;
use crate::output::{self, escape};

/// Milliseconds of a minute, and of a day.
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1440 * MINUTE_MS;
/// Days until a token expires, if the caller does not say.
const DAYS: i64 = 90;
/// Most minutes until a token in an address expires.
const URI_MINUTES_MAX: u32 = 60;

/// Create, list and revoke tokens for `stepwell serve --auth`. A client sends its token as MLFLOW_TRACKING_TOKEN, a
/// browser as the password with any user name.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Create(Create),
    /// List the tokens, without their secrets.
    List,
    /// Revoke a token.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

/// Create a token and print it once.
#[derive(Args, Debug)]
struct Create {
    /// What the token is for.
    #[arg(long, default_value = "")]
    name: String,
    /// What it allows. Each role includes those before it.
    #[arg(long, value_enum, default_value_t = RoleName::Write)]
    role: RoleName,
    /// Restrict it to this experiment, by id or name. Repeatable [default: the whole workspace].
    #[arg(long, value_name = "EXPERIMENT", add = crate::complete::experiments())]
    experiment: Vec<String>,
    /// Days until it expires [default: 90].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: Option<u32>,
    /// Minutes until it expires.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1440), conflicts_with = "days")]
    minutes: Option<u32>,
    /// Print the server's URL with the token in it, for MLFLOW_TRACKING_URI. Clients print this URL, so the token
    /// expires within an hour [default: 60 minutes].
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "http://127.0.0.1:5000", conflicts_with = "days")]
    uri: Option<String>,
}

impl Create {
    /// How long the token is valid, in milliseconds.
    fn valid_ms(&self) -> Outcome<i64> {
        match (self.days, self.minutes) {
            (Some(days), _) => Ok(i64::from(days) * DAY_MS),
            (None, Some(minutes)) if self.uri.is_some() && minutes > URI_MINUTES_MAX => {
                Err(Failure::Usage(format!("a token in an address ends after {URI_MINUTES_MAX} minutes at most")))
            }
            (None, Some(minutes)) => Ok(i64::from(minutes) * MINUTE_MS),
            (None, None) if self.uri.is_some() => Ok(i64::from(URI_MINUTES_MAX) * MINUTE_MS),
            (None, None) => Ok(DAYS * DAY_MS),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Read.
    Read,
    /// Also log, edit and register.
    Write,
    /// Also delete.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Read => Self::Read,
            RoleName::Write => Self::Write,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// A server's address, to hold a token.
struct Uri<'a> {
    scheme: &'a str,
    rest: &'a str,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Outcome<Self> {
        let parts = text.split_once("://").filter(|(scheme, rest)| {
            matches!(*scheme, "http" | "https") && !rest.is_empty() && !rest.contains(['@', ' ', '?', '#'])
        });
        let (scheme, rest) =
            parts.ok_or_else(|| Failure::Usage(format!("--uri {text:?} is not the address of a server")))?;
        Ok(Self { scheme, rest: rest.trim_end_matches('/') })
    }

    /// The address by which MLflow's clients give the token as a password.
    fn with(&self, secret: &str) -> String {
        format!("{}://token:{secret}@{}", self.scheme, self.rest)
    }
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
    match &arguments.what {
        What::Create(wanted) => create(context, &workspace, &tokens, wanted)?,
        What::List => list(context, &tokens)?,
        What::Revoke { id } => revoke(context, &tokens, id)?,
    }
    Ok(Answer::Done)
}

/// The failure of the file of tokens.
fn failed(error: std::io::Error) -> Failure {
    Failure::failed(escape(&error.to_string()))
}

fn create(context: &Context, workspace: &Workspace, tokens: &Tokens, wanted: &Create) -> Outcome<()> {
    let known = |name: &String| find::experiment(workspace, name).map(|id| id.to_string());
    let experiments: Vec<String> = wanted.experiment.iter().map(known).collect::<Outcome<_>>()?;
    let uri = wanted.uri.as_deref().map(Uri::parse).transpose()?;
    let (role, valid_ms) = (wanted.role.into(), wanted.valid_ms()?);
    let (token, secret) = tokens.create(&wanted.name, role, experiments, now_ms(), valid_ms).map_err(failed)?;
    let uri = uri.map(|uri| uri.with(&secret));
    if !context.json {
        return output::lines(&format!("{}\n", uri.unwrap_or(secret)));
    }
    let mut shape = shape(&token);
    if let Some(uri) = uri {
        shape["uri"] = uri.into();
    }
    shape["token"] = secret.into();
    output::json(&shape)
}

fn list(context: &Context, tokens: &Tokens) -> Outcome<()> {
    let all = tokens.list().map_err(failed)?;
    if context.json {
        return output::json(&all.iter().map(shape).collect::<Vec<_>>());
    }
    output::lines(&all.iter().map(line).collect::<String>())
}

/// A token for people: its id, role, the time left, its scope, and its name.
fn line(token: &Token) -> String {
    let ends = match token.expires_ms - now_ms() {
        ..=0 => "ended".to_owned(),
        left @ ..DAY_MS => format!("{} minutes left", left / MINUTE_MS),
        left => format!("{} days left", left / DAY_MS),
    };
    let scope = match &token.experiments[..] {
        [] => "whole workspace".to_owned(),
        some => format!("experiments {}", some.join(", ")),
    };
    format!("{}  {:5}  {ends}  {scope}  {}\n", token.id, word(token.role), escape(&token.name))
}

fn revoke(context: &Context, tokens: &Tokens, id: &str) -> Outcome<()> {
    let found = tokens.revoke(id).map_err(failed)?;
    if context.json {
        output::json(&json!({ "revoked": found }))?;
    }
    if !found {
        return Err(Failure::hinted(format!("no token {id:?}"), "`stepwell token list` lists them"));
    }
    Ok(())
}
