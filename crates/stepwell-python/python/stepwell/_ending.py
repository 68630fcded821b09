"""How runs end that nobody ends: with the process, by an exception, by SIGTERM."""

import atexit
import os
import signal
import sys
import threading

from . import _native

# Runs that nobody ended, held here so that one whose name is gone ends with the process too.
_runs: set = set()
_status = "FINISHED"
_installed = False
_handles_signals = False
_lock = threading.Lock()


def enlist(run) -> None:
    """Ends a run with the process, unless `forget` is called first."""
    install()
    _runs.add(run)


def forget(run) -> None:
    """Leaves the end of a run to its caller."""
    _runs.discard(run)


def status_of(error: BaseException | None) -> str:
    """The status of a run that an exception ended, or nothing did."""
    if error is None or isinstance(error, GeneratorExit):
        return "FINISHED"
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    if isinstance(error, SystemExit):
        return "FINISHED" if error.code in (None, 0) else "FAILED"
    return "FAILED"


def install() -> None:
    """Has the end of the process end its runs, and wait for what spools still carry."""
    global _installed
    with _lock:
        _handle_signals()
        if _installed:
            return
        _installed = True
    atexit.register(_at_exit)
    before = sys.excepthook

    def hook(kind, error, trace):
        global _status
        # At a prompt the process goes on.
        if not hasattr(sys, "ps1"):
            _status = status_of(error)
        before(kind, error, trace)

    sys.excepthook = hook


def _handle_signals() -> None:
    """Takes SIGTERM, which only the main thread may do: with the first run that begins there."""
    global _handles_signals
    if not _handles_signals and threading.current_thread() is threading.main_thread():
        _handles_signals = True
        earlier = signal.getsignal(signal.SIGTERM)
        # A process that ignores the signal goes on; one whose handler is not Python's is left alone.
        if earlier is signal.SIG_DFL or callable(earlier):
            signal.signal(signal.SIGTERM, lambda number, frame: _on_signal(number, frame, earlier))


def _on_signal(number, frame, earlier) -> None:
    if callable(earlier):
        # The handler that was there decides whether the process ends.
        global _status
        _status = "KILLED"
        earlier(number, frame)
        return
    _end_all("KILLED")
    # Whoever sent it may not wait long.
    _flush_spools(2)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _at_exit() -> None:
    # A hook that does not call the one before it leaves the exception here.
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    _end_all(status_of(error) if _status == "FINISHED" else _status)
    _flush_spools()


def _flush_spools(most: float = float("inf")) -> None:
    """Waits, within bounds, for what servers do not have yet."""
    if "stepwell._remote" not in sys.modules:
        return
    from . import _remote

    # What others set after this, as MLflow ends its runs, is carried at the very end: see the native module's `exit`.
    for said in _native.flush_spools(min(_remote.patience(), most)).values():
        try:
            _remote.tell(said, "at the end of the process")
        except Warning as error:
            print(f"stepwell: {error}", file=sys.stderr)


def _end_all(status: str) -> None:
    for run in list(_runs):
        _runs.discard(run)
        if run._process != os.getpid():
            continue
        try:
            run._end(status)
            if status == "FINISHED" and not run._joined:
                # As far as anybody can know here: `sys.exit(3)` is told to nobody.
                _native.ended_with_process(run)
        except Exception as error:
            print(f"stepwell: run {run.id} could not be ended: {error}", file=sys.stderr)


# A child finds no run locked by a thread that it does not have.
os.register_at_fork(
    before=_native.before_fork, after_in_parent=_native.after_fork, after_in_child=_native.after_fork
)
