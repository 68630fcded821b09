//! `stepwell login` and `stepwell logout`: store and remove tokens for servers.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;

use stepwell_login::{Credential, Credentials, Origin};

use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, escape};

const HELP: &str = "\
Create the token on the server with `stepwell token create`. This command reads it from the terminal without echo, or
from standard input. It is not an argument, because other users can see the arguments of processes. It is stored in a
file that only you can read: $STEPWELL_CREDENTIALS, else stepwell/credentials.json in your configuration folder.
Programs exchange it for a token that is valid for an hour, and send that one. If STEPWELL_TOKEN is set, programs use
it instead.

MLflow uses the stored token if MLFLOW_TRACKING_AUTH=stepwell and the Python package is installed.

Examples:
  stepwell login https://lab:5000
  stepwell login http://lab:5000 --allow-plain-http
  stepwell logout https://lab:5000";

/// Store a token for a server. Without an address, list the servers that have one.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The server's address.
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// Allow the token to cross the network unencrypted, where others can read it.
    #[arg(long, requires = "url")]
    allow_plain_http: bool,
    /// A file of certificates (PEM) to trust for this server, instead of the system's.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
}

/// Remove the stored token for a server. To revoke it, use `stepwell token revoke ID` on the server.
#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// The server's address.
    #[arg(value_name = "URL")]
    url: String,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let kept = Credentials::of_user().map_err(Failure::failed)?;
    let Some(url) = &arguments.url else { return list(context, &kept) };
    let origin = Origin::parse(url).map_err(Failure::Usage)?;
    if !origin.is_private() && !arguments.allow_plain_http {
        return Err(Failure::hinted(
            format!("a token for {origin} would cross the network unencrypted"),
            "use https, or pass --allow-plain-http",
        ));
    }
    let ca = match &arguments.ca_file {
        Some(file) => Some(file.canonicalize().map_err(Failure::io("read", file))?),
        None => None,
    };
    let token = read_token(&origin)?;
    let allow_plain_http = arguments.allow_plain_http;
    kept.set(&origin, Credential { token, allow_plain_http, ca }).map_err(|why| Failure::failed(escape(&why)))?;
    if context.json {
        output::json(&json!({ "server": origin.to_string(), "kept_in": kept.path().display().to_string() }))?;
    } else {
        output::lines(&format!("{origin}: kept in {}\n", escape(&kept.path().display().to_string())))?;
    }
    Ok(Answer::Done)
}

pub(crate) fn logout(context: &Context, arguments: &Logout) -> Outcome {
    let origin = Origin::parse(&arguments.url).map_err(Failure::Usage)?;
    let kept = Credentials::of_user().map_err(Failure::failed)?;
    let found = kept.remove(&origin).map_err(|why| Failure::failed(escape(&why)))?;
    if context.json {
        output::json(&json!({ "server": origin.to_string(), "forgotten": found }))?;
    }
    if found {
        Ok(Answer::Done)
    } else {
        Err(Failure::hinted(format!("no token for {origin}"), "`stepwell login` lists the servers"))
    }
}

fn list(context: &Context, kept: &Credentials) -> Outcome {
    let all = kept.list().map_err(|why| Failure::failed(escape(&why)))?;
    if context.json {
        output::json(&all.iter().map(|(server, kept)| shape(server, kept)).collect::<Vec<_>>())?;
        return Ok(Answer::Done);
    }
    output::lines(&all.keys().fold(String::new(), |all, server| all + &escape(server) + "\n"))?;
    Ok(Answer::Done)
}

/// A server as JSON, without its token.
fn shape(server: &str, kept: &Credential) -> serde_json::Value {
    json!({ "server": server, "allow_plain_http": kept.allow_plain_http, "ca": kept.ca })
}

/// The token, from the terminal or standard input.
fn read_token(origin: &Origin) -> Outcome<String> {
    let input = std::io::stdin();
    let mut line = String::new();
    if input.is_terminal() {
        let before = tcgetattr(&input).map_err(|error| Failure::from(std::io::Error::from(error)))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let _ = write!(std::io::stderr(), "Token for {origin}: ");
        let _ = tcsetattr(&input, OptionalActions::Now, &silent);
        let read = input.lock().read_line(&mut line);
        let _ = tcsetattr(&input, OptionalActions::Now, &before);
        let _ = writeln!(std::io::stderr());
        read
    } else {
        input.lock().read_line(&mut line)
    }
    .map_err(|error| Failure::failed(format!("cannot read the token: {error}")))?;
    let token = line.trim();
    if !token.starts_with("stw_") || token.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        let hint = "`stepwell token create` prints one, on the server; it begins with stw_";
        return Err(Failure::hinted("what was read is no token", hint));
    }
    if token.contains('.') {
        let hint = "give the token that it was made from";
        return Err(Failure::hinted("this is a token of an hour, from which no other one is made", hint));
    }
    Ok(token.to_owned())
}
