//! Progress on standard error: a bar or a spinner on a terminal, nothing elsewhere and nothing with `--json`.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::escape_short;

/// A bar over bytes.
const BYTES: &str = "{prefix} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left {wide_msg}";

/// One task's progress; it vanishes when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over bytes.
    pub(crate) fn bytes(what: &str, json: bool) -> Self {
        Self::new(what, json, BYTES)
    }

    /// A bar over things that are counted.
    pub(crate) fn items(what: &str, total: u64, json: bool) -> Self {
        let progress = Self::new(what, json, "{prefix} [{bar:30}] {pos} of {len}, {eta} left {wide_msg}");
        progress.bar.set_length(total);
        progress
    }

    /// A spinner for what tells no progress.
    pub(crate) fn spinner(what: &str, json: bool) -> Self {
        Self::new(what, json, "{spinner} {prefix} {elapsed} {wide_msg}")
    }

    fn new(what: &str, json: bool, template: &str) -> Self {
        let visible = !json && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what.to_owned());
        if visible {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar }
    }

    /// Sets how much of how much is done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Shows, while it is called, how many points of how many are stored; then the bar is over bytes again, as it was.
    pub(crate) fn storing(&self) -> impl FnMut(u64, u64) + Send + 'static {
        let bar = self.bar.clone();
        let mut bytes = None;
        move |done, total| {
            let (read, of) = *bytes.get_or_insert_with(|| (bar.position(), bar.length().unwrap_or(0)));
            let (done, total, template) = match done >= total {
                true => {
                    bytes = None;
                    (read, of, BYTES)
                }
                false => (done, total, "storing [{bar:30}] {human_pos} of {human_len} points {wide_msg}"),
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// One more thing is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Names what is being done.
    pub(crate) fn say(&self, what: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(escape_short(what, 40));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
