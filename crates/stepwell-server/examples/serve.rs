//! The smallest program that serves a workspace: `serve DIR PORT`. `stepwell serve` has all the choices.

use std::path::PathBuf;

use stepwell_server::{Config, serve, ui};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "stepwell".into()));
    let port = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(5000);
    let config = Config { port, ui: ui::locate::find(None), ..Config::of(&folder) };
    serve(config, &mut |place| println!("Listening on {place}"))
}
