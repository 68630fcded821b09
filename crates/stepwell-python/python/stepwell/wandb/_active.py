"""The run that module functions such as `wandb.log` go to, and how runs begin."""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path
from typing import Any

from .._dropin import alone, as_dict, newest, tell
from .._errors import InvalidError
from .._workspace import Workspace, open

from ._errors import Error, UsageError
from ._ignored import given, unknown
from ._run import Run

ID = "wandb.id"

_run: Run | None = None
_open: list[Run] = []
_at_exit_is_set = False


def current() -> Run | None:
    """The run that is active."""
    return _run


def needed(call: str) -> Run:
    """The run that is active; without one, an error that says which call asked for it."""
    if _run is None:
        raise Error(f"call wandb.init() before wandb.{call}")
    return _run


def forget(run: Run) -> None:
    """A run that ends is no longer active."""
    global _run
    if _run is run:
        _run = None
    if run in _open:
        _open.remove(run)


def _at_exit() -> None:
    for run in list(_open):
        if run._process == os.getpid():
            run._save_again()


def folder_of(given: str | os.PathLike[str] | None) -> str | None:
    """The workspace of a `dir`: the folder itself if it is one, else its folder `stepwell`."""
    where = os.fspath(given) if given is not None else None
    if where is None and not os.environ.get("STEPWELL_DIR"):
        where = os.environ.get("WANDB_DIR")
    if where is None:
        return None
    return where if (Path(where) / "stepwell.workspace").exists() else os.path.join(where, "stepwell")


def project_of(given: str | None) -> str:
    """The project, as W&B finds it."""
    return given or os.environ.get("WANDB_PROJECT") or "uncategorized"


def _config_of(config: Any, include: Any, exclude: Any) -> dict[str, Any]:
    if isinstance(config, (str, os.PathLike)):
        text = Path(config).read_text()
        try:
            config = json.loads(text)
        except ValueError:
            import yaml

            config = yaml.safe_load(text)
    values = as_dict(config)
    # W&B's YAML files have each value in a dict of its own.
    values = {
        key: value["value"]
        if isinstance(value, dict) and set(value) <= {"value", "desc"} and "value" in value
        else value
        for key, value in values.items()
    }
    if include is not None:
        values = {key: value for key, value in values.items() if key in include}
    return {key: value for key, value in values.items() if key not in (exclude or ())}


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | os.PathLike[str] | None = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: Any = None,
    config: Any = None,
    config_exclude_keys: Any = None,
    config_include_keys: Any = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    reinit: Any = None,
    resume: Any = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: Any = None,
    anonymous: Any = None,
    **more: Any,
) -> Run:
    """Begins a run, or goes on with one, and makes it the active one.

    project: the experiment; the environment's WANDB_PROJECT without.
    id: the run's name for `resume`, unique in its project. `resume`: "must", "allow", "never", "auto" or True.
    mode: "disabled" keeps nothing; all others keep the run in the workspace.
    dir: where the workspace is: this folder, if it is one, or the folder `stepwell` in it.
    reinit: what becomes of a run that is active: "return_previous" (the default), "finish_previous" or True, or
        "create_new".
    """
    global _run, _at_exit_is_set
    unknown("init", more)
    given("init", force=(force, None), save_code=(save_code, None), tensorboard=(tensorboard, None))
    given("init", sync_tensorboard=(sync_tensorboard, None), monitor_gym=(monitor_gym, None))
    given("init", settings=(settings, None), anonymous=(anonymous, None))
    given("init", resume_from=(resume_from, None), fork_from=(fork_from, None))
    if _run is not None and _run._process != os.getpid():
        # A forked child logs to its parent's run until it begins one of its own.
        _run = None
    if _run is not None and reinit != "create_new":
        if reinit not in (True, "finish_previous"):
            tell("wandb.init", "a run is active and is returned; finish it first, or pass reinit=True", _run.id)
            return _run
        _run.finish()
    environment = os.environ.get
    mode = mode or environment("WANDB_MODE") or ("disabled" if environment("WANDB_DISABLED") == "true" else "online")
    if mode not in ("online", "offline", "shared", "disabled", "dryrun", "run"):
        raise UsageError(f'mode is "online", "offline", "shared" or "disabled", not {mode!r}')
    project = project_of(project)
    values = _config_of(config, config_include_keys, config_exclude_keys)
    if mode == "disabled":
        run = Run(None, None, project=project, id=id or "disabled", name=name or "", entity=entity or "")
    else:
        words = {
            "wandb.notes": notes or environment("WANDB_NOTES"),
            "wandb.group": group or environment("WANDB_RUN_GROUP"),
            "wandb.job_type": job_type or environment("WANDB_JOB_TYPE"),
            "wandb.tags": ",".join(tags if not isinstance(tags, str) else [tags])
            if tags is not None
            else environment("WANDB_TAGS"),
            "wandb.fork_from": fork_from,
            "wandb.resume_from": resume_from,
        }
        run = _begin(
            open(folder_of(dir)),
            project,
            entity or environment("WANDB_ENTITY") or None,
            name or environment("WANDB_NAME") or None,
            id or environment("WANDB_RUN_ID") or None,
            resume if resume is not None else environment("WANDB_RESUME") or ("allow" if mode == "shared" else None),
            {key: word for key, word in words.items() if word},
            bool(allow_val_change),
        )
        if not _at_exit_is_set:
            # After Stepwell's own, so that it comes before it.
            _at_exit_is_set = True
            atexit.register(_at_exit)
        _open.append(run)
    # A run that is resumed keeps the params it has; changed ones become tags.
    run.config.update(values, allow_val_change=True if run.resumed else None)
    if reinit != "create_new" or _run is None:
        _run = run
    return run


def _begin(
    workspace: Workspace,
    project: str,
    entity: str | None,
    name: str | None,
    id: str | None,
    resume: Any,
    tags: dict[str, str],
    allow_val_change: bool,
) -> Run:
    import socket

    if resume not in (None, True, False, "must", "allow", "never", "auto"):
        raise UsageError(f'resume is "must", "allow", "never", "auto" or a bool, not {resume!r}')
    machine = {"wandb.host": socket.gethostname(), "wandb.program": os.path.abspath(sys.argv[0] or "python")}
    resumed = False
    with alone(workspace.path):
        there = find(workspace, project, id) if id is not None else None
        if id is None and resume in (True, "auto"):
            there = _unfinished(workspace, project, machine)
        if there is None and resume == "must":
            raise UsageError(
                f'no run {id!r} in the project {project!r} of {workspace.path}; resume="allow" would begin it'
                if id is not None
                else 'resume="must" needs the id of the run'
            )
        if there is not None and resume == "never":
            raise UsageError(f'the project {project!r} has a run {id!r}; resume="allow" would go on with it')
        if there is not None and resume in (None, False):
            tell(
                "wandb.init",
                f"there is a run {id!r}, which is kept; this is another one. resume= goes on with it",
                project,
            )
            there = None
        if there is not None:
            resumed = True
            stored = workspace.run(resume=there, name=name, tags=tags)
        else:
            own = {ID: id} if id is not None else {}
            stored = workspace.run(experiment=project, name=name, user=entity, tags=tags | machine | own)
    view = stored.view()
    return Run(
        stored,
        workspace,
        project=view.experiment,
        id=view.tags.get(ID, stored.id),
        name=name or "",
        entity=view.user,
        resumed=resumed,
        allow_val_change=allow_val_change,
    )


def find(workspace: Workspace, project: str, id: str) -> str | None:
    """Stepwell's id of a project's run by W&B's id, or by Stepwell's own."""
    found = newest(workspace, project, ID, id)
    if found is None and has(workspace, id) and workspace[id].experiment == project:
        return id
    return found


def has(workspace: Workspace, id: str) -> bool:
    """Whether a workspace has a run by Stepwell's id. W&B's ids may have characters that Stepwell's have not."""
    try:
        return id in workspace
    except InvalidError:
        return False


def _unfinished(workspace: Workspace, project: str, machine: dict[str, str]) -> str | None:
    """The newest run of this script on this machine, if it did not end well."""
    found = newest(workspace, project, "wandb.program", machine["wandb.program"])
    if found is None:
        return None
    view = workspace[found]
    same = view.tags.get("wandb.host") == machine["wandb.host"]
    return found if same and view.status != "FINISHED" else None
