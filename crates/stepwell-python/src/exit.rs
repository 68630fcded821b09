//! What comes after all that Python does when the process ends: the exit status is known, so that runs that ended with
//! it as FINISHED become FAILED if it is not 0; and what others set then, as MLflow ends its runs, is carried to
//! servers.

use std::ffi::{c_int, c_void};
use std::sync::Once;

use parking_lot::Mutex;
use pyo3::prelude::*;

use stepwell::{RunEdit, RunId, RunStatus};

use crate::remote;
use crate::run::RunBase;
use crate::workspace::WorkspaceBase;

/// Runs that ended as FINISHED because the process `0` ends.
static ENDED: Mutex<Vec<(u32, WorkspaceBase, RunId)>> = Mutex::new(Vec::new());
static REGISTERED: Once = Once::new();

#[allow(unsafe_code, reason = "what glibc calls with the status, the standard library has no name for")]
mod system {
    use super::*;

    unsafe extern "C" {
        fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    /// Has `function` called with the exit status of the process.
    pub(super) fn at_exit(function: extern "C" fn(c_int, *mut c_void)) {
        // SAFETY: the function never unwinds, and ignores its argument. The extension module is never unloaded.
        unsafe { on_exit(function, std::ptr::null_mut()) };
    }
}

/// Notes that a run ended as FINISHED with the process, whose exit status is not known yet.
#[pyfunction]
pub(crate) fn ended_with_process(run: PyRef<'_, RunBase>) {
    let (workspace, id) = run.place();
    ENDED.lock().push((std::process::id(), workspace, id));
    prepare();
}

/// Has the end of the process, after all that Python does then, set statuses and carry what spools still hold.
pub(crate) fn prepare() {
    REGISTERED.call_once(|| system::at_exit(exited));
}

/// Python has been finalised by now, so nothing here may call it.
extern "C" fn exited(status: c_int, _: *mut c_void) {
    // Nobody is left to tell of a failure, and an unwinding must not leave this function.
    let _ = std::panic::catch_unwind(|| {
        // A forked child has the list of its parent.
        let own = std::process::id();
        let ended = ENDED.try_lock().map(|mut ended| std::mem::take(&mut *ended)).unwrap_or_default();
        if status != 0 {
            for (_, workspace, id) in ended.into_iter().filter(|(process, ..)| *process == own) {
                let _ = fail(&workspace, &id);
            }
        }
        remote::flush_last();
    });
}

/// Sets a run's status to FAILED, also after it has left the spool.
fn fail(workspace: &WorkspaceBase, id: &RunId) -> Result<(), stepwell_remote::Error> {
    let failed = [RunEdit::Status(RunStatus::Failed)];
    let edited = workspace.store().edit_run(id, &failed);
    match (edited, workspace.spool()) {
        (Err(_), Some(spool)) => {
            let mut writer = spool?.resume_run(id, None)?;
            writer.edit(&failed)?;
            writer.close()?;
        }
        (edited, _) => edited?,
    }
    Ok(workspace.store().sync()?)
}
