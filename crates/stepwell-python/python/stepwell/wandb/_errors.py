"""W&B's exceptions."""

from __future__ import annotations


class Error(Exception):
    """What W&B's errors are."""


class UsageError(Error):
    """A call that does not fit the state of its run."""


class CommError(Error):
    """Something that was asked for is not there."""


class ConfigError(Error):
    """A value of the config was to be changed without `allow_val_change`."""
