//! `stepwell run`: runs a command and records its arguments, sources, environment, output and exit status.

mod ask;
mod environment;
mod record;
mod signals;
mod source;
mod stream;
mod words;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGXCPU};

use stepwell_remote::{ServerOptions, Spool, SpoolOptions};

use stepwell::{ExperimentId, NewRun, Options, RunId, RunStatus, RunWriter, TailMode, Workspace};

use self::record::Record;
use self::signals::Signals;
use self::stream::{Kept, Stream, To};
use crate::artifacts::{folder_of_run, leads_through_link};
use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::find;
use crate::output::escape;

const HELP: &str = "\
The command gets the workspace in STEPWELL_DIR (or the server in STEPWELL_REMOTE) and the run in STEPWELL_RUN_ID. In
each of its processes, the first `stepwell.open().run()` joins this run. MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI,
MLFLOW_RUN_ID and MLFLOW_EXPERIMENT_ID do the same for the first `mlflow.start_run()`. If a script calls
`mlflow.set_experiment(NAME)`, pass --experiment NAME here.

These files are stored in the folder `run` of the run's artifacts:
  command.json      arguments, folder, git commit, untracked files, times, exit status
  environment.json  machine and Python
  packages.txt      installed packages
  diff.patch        uncommitted changes
  stdout.log, stderr.log  output, written while the command runs
Values of options and variables whose names contain token, password, api key and the like are hidden. Of the
environment, only a list of harmless variables is stored.

Signals are forwarded to the command. The exit status is the command's own. If a signal ended the command, the same
signal ends this process. 126: the command cannot be executed. 127: it does not exist.

Examples:
  stepwell run -- python train.py --lr 0.1
  stepwell run --experiment vision --name first --param lr=0.1 -- torchrun --nproc-per-node 4 train.py
  stepwell run --remote https://lab:5000 -- python train.py";

/// Run a command as a run: record the command and its output, and tell its loggers where to log.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The run's experiment, by id or name. It is created if needed [default: Default].
    #[arg(long, value_name = "EXPERIMENT", env = "MLFLOW_EXPERIMENT_NAME", add = crate::complete::experiments())]
    experiment: Option<String>,
    /// The run's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A param, which can be set only once. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::log::parse_param)]
    param: Vec<(String, String)>,
    /// A tag. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::log::parse_tag)]
    tag: Vec<(String, String)>,
    /// Log to this server, through the spool on this machine. What is logged is sent when the server can be reached,
    /// now or later.
    #[arg(long, value_name = "URL", env = "STEPWELL_REMOTE")]
    remote: Option<String>,
    /// Store no diff of the sources, which may contain what should not leave this machine.
    #[arg(long)]
    no_diff: bool,
    /// The command and its arguments, after `--`.
    #[arg(value_name = "COMMAND", last = true, required = true)]
    command: Vec<OsString>,
}

/// How long the end waits for what has not arrived at a server, unless `$STEPWELL_WAIT` says so many seconds.
const WAIT: Duration = Duration::from_secs(30);
/// Exit status where there is no such command, and where it cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// The run of a command.
struct Begun {
    workspace: Workspace,
    /// What carries it to a server, if it is for one.
    spool: Option<Spool>,
    writer: RunWriter,
    id: RunId,
    experiment: ExperimentId,
    /// Where its artifacts of this command are.
    folder: PathBuf,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    if context.json {
        return Err(Failure::Usage("--json: what `run` prints is what its command prints".into()));
    }
    let [first, ..] = &arguments.command[..] else { return Err(Failure::Usage("no command after --".into())) };
    let Some(program) = environment::program(first) else {
        let name = escape(&first.to_string_lossy());
        return Err(Failure::Unstarted(NOT_FOUND, format!("no program {name:?} is found")));
    };
    let signals = Signals::take().map_err(|error| Failure::failed(format!("cannot take signals: {error}")))?;
    let mut record = Record::begin(&arguments.command, !arguments.no_diff);
    let begun = Begun::new(context, arguments, &record)?;
    record.write(&begun.folder)?;
    match &begun.spool {
        Some(spool) => tell(&format!("run {} for {}", begun.id, spool.url())),
        None => tell(&format!("run {} in {}", begun.id, begun.workspace.root().display())),
    }
    let status = match begun.execute(&program, &arguments.command[1..], signals, &mut record) {
        Ok(status) => status,
        Err(error) => {
            let why = format!("cannot run {}: {error}", escape(&program.display().to_string()));
            record.end(None);
            begun.end(RunStatus::Failed, &record);
            return Err(Failure::Unstarted(NOT_RUN, why));
        }
    };
    record.end(Some(status));
    begun.end(status_of(status), &record);
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(Answer::Exit(u8::try_from(code).unwrap_or(u8::MAX))),
        (None, signal) => Ok(Answer::Exit(end_by(signal.unwrap_or(SIGKILL)))),
    }
}

/// The run's status after its command: KILLED if a signal such as SIGTERM ended the command, or a process below its
/// shell.
fn status_of(status: ExitStatus) -> RunStatus {
    const KILLING: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM, SIGXCPU];
    match (status.code(), status.signal()) {
        (Some(0), _) => RunStatus::Finished,
        (Some(code), _) if KILLING.contains(&(code - 128)) => RunStatus::Killed,
        (None, Some(signal)) if KILLING.contains(&signal) => RunStatus::Killed,
        _ => RunStatus::Failed,
    }
}

/// Ends this process by the signal that ended the command. If that does not work, returns the shell's number for the
/// signal.
fn end_by(signal: i32) -> u8 {
    // The command has left the core, if anybody wants one.
    let none = rustix::process::Rlimit { current: Some(0), maximum: None };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let _ = match signal {
        SIGKILL => signal_hook::low_level::raise(signal),
        _ => signal_hook::low_level::emulate_default_handler(signal),
    };
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Prints a message beside the command's output. There may be no reader.
fn tell(what: &str) {
    let _ = writeln!(std::io::stderr(), "stepwell: {}", escape(what));
}

impl Begun {
    fn new(context: &Context, arguments: &Arguments, record: &Record) -> Outcome<Self> {
        let spool = arguments.remote.as_deref().filter(|url| !url.is_empty()).map(spool).transpose()?;
        let workspace = match &spool {
            Some(spool) => spool.workspace().clone(),
            None => context.open_or_create(Options { tail: TailMode::Written, ..Options::default() })?,
        };
        let experiment = match &arguments.experiment {
            Some(name) if !name.is_empty() => find::experiment_or_create(&workspace, name)?,
            _ => ExperimentId::DEFAULT,
        };
        let mut tags = arguments.tag.clone();
        for (key, value) in record.tags() {
            if !tags.iter().any(|(known, _)| *known == key) {
                tags.push((key, value));
            }
        }
        let new = NewRun {
            name: arguments.name.clone().unwrap_or_default(),
            user: std::env::var("USER").unwrap_or_default(),
            params: arguments.param.clone(),
            tags,
            ..NewRun::default()
        };
        let writer = workspace.create_run(experiment, new)?;
        let id = writer.run_id().clone();
        let run = workspace.run(&id)?;
        let artifacts = folder_of_run(&workspace, run.state()).map_err(|uri| {
            let hint = "an experiment whose artifacts are in a folder of this machine takes its output";
            Failure::hinted(format!("the artifacts of this experiment are elsewhere: {}", escape(&uri)), hint)
        })?;
        let folder = artifacts.join("run");
        if leads_through_link(workspace.root(), &folder) && folder.starts_with(workspace.root()) {
            return Err(Failure::failed(format!(
                "{} is reached through a link",
                escape(&folder.display().to_string())
            )));
        }
        std::fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
        Ok(Self { workspace, spool, writer, id, experiment, folder })
    }

    /// Runs the command to its end.
    fn execute(
        &self,
        program: &Path,
        words: &[OsString],
        signals: Signals,
        record: &mut Record,
    ) -> std::io::Result<ExitStatus> {
        let (out, err) = (Stream::open(To::Out)?, Stream::open(To::Err)?);
        let mut command = Command::new(program);
        command.args(words).stdout(out.stdio()?).stderr(err.stdio()?);
        self.tell_loggers(&mut command)?;
        if !out.is_screen && std::env::var_os("PYTHONUNBUFFERED").is_none() {
            // Into a pipe Python would print kilobytes at a time.
            command.env("PYTHONUNBUFFERED", "1");
        }
        let screens = [&out, &err].into_iter().filter_map(|stream| stream.screen().transpose());
        let screens = screens.collect::<std::io::Result<Vec<_>>>()?;
        let mut child = command.spawn()?;
        // Its copies of the streams' ends would keep them open.
        drop(command);
        let ended = Arc::new(AtomicBool::new(false));
        let keepers = [
            out.keep(self.folder.join("stdout.log"), Arc::clone(&ended)),
            err.keep(self.folder.join("stderr.log"), Arc::clone(&ended)),
        ];
        record.ask_python(program);
        let status = signals.wait(&mut child, screens);
        ended.store(true, Ordering::Release);
        for (name, keeper) in ["stdout.log", "stderr.log"].into_iter().zip(keepers) {
            let kept = match keeper {
                Ok(thread) => thread.join().unwrap_or_default(),
                Err(error) => Kept { error: Some(error.to_string()), ..Kept::default() },
            };
            for note in notes(name, &kept) {
                tell(&note);
                record.note(note);
            }
        }
        status
    }

    /// Where loggers of the command find this run.
    fn tell_loggers(&self, command: &mut Command) -> std::io::Result<()> {
        let root = std::path::absolute(self.workspace.root())?;
        let (address, own, other) = match &self.spool {
            Some(spool) => {
                let url = spool.url();
                (format!("stepwell+{url}").into(), ("STEPWELL_REMOTE", OsString::from(url)), "STEPWELL_DIR")
            }
            None => (address(&root), ("STEPWELL_DIR", root.into_os_string()), "STEPWELL_REMOTE"),
        };
        command
            .env(own.0, own.1)
            .env_remove(other)
            .env_remove("MLFLOW_EXPERIMENT_NAME")
            .env("STEPWELL_RUN_ID", self.id.as_str())
            .env("MLFLOW_TRACKING_URI", &address)
            .env("MLFLOW_REGISTRY_URI", &address)
            .env("MLFLOW_RUN_ID", self.id.as_str())
            .env("MLFLOW_EXPERIMENT_ID", self.experiment.to_string());
        if self.spool.is_some() {
            // Files that the server has are asked of it with the user's own token.
            command.env("MLFLOW_TRACKING_AUTH", "stepwell");
        }
        Ok(())
    }

    /// Ends the run and records how. A failure to do so is only reported, because the command's own end is what counts.
    fn end(mut self, status: RunStatus, record: &Record) {
        if let Err(failure) = record.write(&self.folder) {
            tell(&failure.to_string());
        }
        // A logger of the command may have said that it failed, or was killed, though its process ended well.
        let said = self.workspace.run(&self.id).ok().map(|run| run.state().status());
        let status = match said {
            Some(said @ (RunStatus::Failed | RunStatus::Killed)) if status == RunStatus::Finished => said,
            _ => status,
        };
        let ended = self.writer.edit(&record.end_tags()).and_then(|()| self.writer.finish(status));
        match ended {
            Ok(()) => tell(&format!("run {} {}", self.id, status.as_str())),
            Err(error) => tell(&format!("run {} could not be ended as {}: {error}", self.id, status.as_str())),
        }
        let Some(spool) = &self.spool else { return };
        let wait = std::env::var("STEPWELL_WAIT").ok().and_then(|text| text.trim().parse().ok());
        let wait = wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(WAIT);
        let left = spool.finish(&self.id, wait);
        for refused in &left.refused {
            tell(&format!("{}: {refused}", spool.url()));
        }
        if !left.arrived {
            let why = left.error.map_or_else(String::new, |error| format!(": {error}"));
            tell(&format!(
                "{} points and {} files have not arrived at {}{why}; `stepwell spool push` carries them, and so does \
                 the next process that logs there",
                left.points_left,
                left.files_left,
                spool.url()
            ));
        }
    }
}

/// The spool of a server, which carries what it holds from now on.
fn spool(url: &str) -> Outcome<Spool> {
    let failed = |error: stepwell_remote::Error| Failure::failed(escape(&error.to_string()));
    let spool = Spool::open(SpoolOptions::new(ServerOptions::from_env(url).map_err(failed)?)).map_err(failed)?;
    spool.start().map_err(failed)?;
    Ok(spool)
}

/// What to tell of a stream of which not all was kept.
fn notes(name: &str, kept: &Kept) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(error) = &kept.error {
        notes.push(format!("{name} lacks {} bytes: {error}", kept.lost));
    }
    if kept.left_open {
        notes.push(format!("{name}: processes that the command left behind may print more, which is not kept"));
    }
    notes
}

/// The address of a folder for MLflow, `stepwell:///…`.
fn address(root: &Path) -> OsString {
    let mut address = String::from("stepwell://");
    for byte in root.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                address.push(char::from(*byte));
            }
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address.into()
}

/// The text of a word, as it is kept.
fn text(word: &OsStr) -> String {
    word.to_string_lossy().into_owned()
}
