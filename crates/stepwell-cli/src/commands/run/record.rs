//! What is kept of a command beside what it prints: files of its run's artifacts, and tags.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use stepwell::{RunEdit, now_ms};

use super::environment::{self, Python};
use super::source::Source;
use super::{text, words};
use crate::failure::{Failure, Outcome};

/// What is known of a command so far.
pub(super) struct Record {
    words: Vec<String>,
    /// Secrets among the words that were hidden.
    hidden: usize,
    folder: Option<PathBuf>,
    source: Option<Source>,
    machine: Value,
    asked: Option<JoinHandle<Result<Python, String>>>,
    python: Option<Python>,
    started_ms: i64,
    ended_ms: Option<i64>,
    exit: Option<ExitStatus>,
    notes: Vec<String>,
}

impl Record {
    /// Looks at what the command may change once it runs.
    pub(super) fn begin(command: &[OsString], with_diff: bool) -> Self {
        let given: Vec<String> = command.iter().map(|word| text(word)).collect();
        let (words, hidden) = words::plain(&given);
        let folder = std::env::current_dir().ok();
        let source = folder.as_deref().and_then(|folder| Source::of(folder, with_diff));
        let mut notes: Vec<String> = source.iter().flat_map(|source| source.notes.clone()).collect();
        if hidden > 0 {
            notes.push(format!("{hidden} secrets among the words are hidden"));
        }
        Self {
            words,
            hidden,
            folder,
            source,
            machine: environment::machine(),
            asked: None,
            python: None,
            started_ms: now_ms(),
            ended_ms: None,
            exit: None,
            notes,
        }
    }

    /// Begins to ask the command's Python, if it has one, for its packages: beside the command, so that it need not
    /// wait.
    pub(super) fn ask_python(&mut self, program: &Path) {
        let Some(interpreter) = environment::interpreter(program) else { return };
        self.asked = std::thread::Builder::new().spawn(move || Python::of(&interpreter)).ok();
    }

    /// Notes something that is missing.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The command has ended, or was never begun.
    pub(super) fn end(&mut self, exit: Option<ExitStatus>) {
        self.ended_ms = Some(now_ms());
        self.exit = exit;
        match self.asked.take().map(JoinHandle::join) {
            None => {}
            Some(Ok(Ok(python))) => self.python = Some(python),
            Some(Ok(Err(why))) => self.notes.push(format!("packages are not listed: {why}")),
            Some(Err(_)) => self.notes.push("packages are not listed".to_owned()),
        }
    }

    /// MLflow's tags of where a run comes from.
    pub(super) fn tags(&self) -> Vec<(String, String)> {
        let mut tags = vec![("mlflow.source.type", "LOCAL".to_owned()), ("mlflow.source.name", self.name())];
        if let Some(source) = &self.source {
            tags.push(("mlflow.source.git.commit", source.commit.clone()));
            tags.extend(source.branch.iter().map(|branch| ("mlflow.source.git.branch", branch.clone())));
            tags.extend(source.remote.iter().map(|remote| ("mlflow.source.git.repoURL", remote.clone())));
        }
        tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The tag of how the command ended.
    pub(super) fn end_tags(&self) -> Vec<RunEdit> {
        vec![RunEdit::Tag("stepwell.exit".to_owned(), self.how())]
    }

    fn how(&self) -> String {
        match self.exit.map(|exit| (exit.code(), exit.signal())) {
            None => "not started".to_owned(),
            Some((Some(code), _)) => code.to_string(),
            Some((None, signal)) => format!("signal {}", signal.unwrap_or_default()),
        }
    }

    /// The script that a Python runs, or the program.
    fn name(&self) -> String {
        let is_python = environment::is_python(Path::new(&self.words[0]));
        let script = self.words[1..].iter().find(|word| !word.starts_with('-'));
        script.filter(|_| is_python).unwrap_or(&self.words[0]).clone()
    }

    /// Writes what is known by now.
    pub(super) fn write(&self, folder: &Path) -> Outcome<()> {
        let source = self.source.as_ref().map(|source| {
            json!({
                "commit": source.commit,
                "branch": source.branch,
                "remote": source.remote,
                "diff_bytes": source.diff.len(),
                "untracked": source.untracked,
            })
        });
        let command = json!({
            "command": self.words,
            "hidden_secrets": self.hidden,
            "folder": self.folder.as_ref().map(|folder| folder.display().to_string()),
            "git": source,
            "started_ms": self.started_ms,
            "ended_ms": self.ended_ms,
            "exit": self.ended_ms.map(|_| self.how()),
            "notes": self.notes,
        });
        keep(folder, "command.json", &lines(&command)?)?;
        let mut environment = self.machine.clone();
        environment["python"] = self.python.as_ref().map_or(Value::Null, |python| python.about.clone());
        keep(folder, "environment.json", &lines(&environment)?)?;
        if let Some(python) = &self.python {
            keep(
                folder,
                "packages.txt",
                python.packages.iter().fold(String::new(), |all, one| all + one + "\n").as_bytes(),
            )?;
        }
        match &self.source {
            Some(source) if !source.diff.is_empty() => keep(folder, "diff.patch", &source.diff),
            _ => Ok(()),
        }
    }
}

fn lines(value: &Value) -> Outcome<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Replaces a file atomically.
fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Outcome<()> {
    let path = folder.join(name);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Failure::io("write", &path))?;
    std::io::Write::write_all(&mut file, bytes).map_err(Failure::io("write", &path))?;
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(everybody).map_err(Failure::io("write", &path))?;
    file.persist(&path).map_err(|error| Failure::io("write", &path)(error.error))?;
    Ok(())
}
