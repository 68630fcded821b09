"""The exceptions of the package; `src/errors.rs` raises them."""


class StepwellError(Exception):
    """What every error of the package is."""


class InvalidError(StepwellError, ValueError):
    """An argument breaks a rule; the message says which one."""


class NotFoundError(StepwellError, LookupError):
    """There is no such run, metric, experiment or column."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class AlreadyExistsError(StepwellError):
    """The name or id is taken."""


class DeletedError(StepwellError):
    """The run or experiment is deleted; restore it first."""


class EndedError(StepwellError):
    """The run was ended here; `resume=` its id to log more."""


class ParamConflictError(StepwellError, ValueError):
    """A param has another value already: params are written once."""


class NotAWorkspaceError(StepwellError):
    """The folder is not a workspace, or a newer Stepwell wrote it."""


class StorageError(StepwellError, OSError):
    """The operating system refused; what was acknowledged before stays."""


class CorruptError(StepwellError):
    """Bytes that do not verify; `stepwell verify` tells what it costs."""


class DurabilityError(StepwellError):
    """What was logged may not survive a power loss."""


class UnreachableError(StepwellError, ConnectionError):
    """The server cannot be reached now. What is logged meanwhile is carried to it later."""


class RefusedError(StepwellError):
    """The server refused; the message has its reason."""


class LoggingWarning(UserWarning):
    """Something could not be logged; training goes on. `run.health()` counts what is missing."""
