"""What of W&B's interface is ignored with one warning each, and what is refused with a hint.

`docs/wandb.md` lists both; a test compares the page with these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._dropin import tell

# By the name that the page has for it.
IGNORED: dict[str, str] = {
    "init(anonymous)": "there is no account",
    "init(force)": "there is no account",
    "init(fork_from)": "a run cannot begin with a copy of another yet; the tag wandb.fork_from names it",
    "init(monitor_gym)": "log videos of an environment with wandb.Video",
    "init(resume_from)": "a run cannot be rewound yet; the tag wandb.resume_from names where",
    "init(save_code)": "keep the code as an artifact: run.save('*.py')",
    "init(settings)": "W&B's settings steer its own process and server",
    "init(sync_tensorboard)": "log with stepwell.tensorboard, or bring event files in with `stepwell import`",
    "init(tensorboard)": "log with stepwell.tensorboard, or bring event files in with `stepwell import`",
    "alert(wait_duration)": "each alert is kept",
    "log(sync)": "what is logged survives the process at once",
    "define_metric(step_sync)": "points keep their own steps; what was defined is in a tag",
    "define_metric(hidden)": "no page is drawn from it; what was defined is in a tag",
    "define_metric(overwrite)": "a definition always replaces an earlier one",
    "Image(masks)": "log a mask as an image of its own",
    "Image(grouping)": "no page is drawn from it",
    "Html(inject)": "the page is kept as it is",
    "Object3D(file_type)": "the ending of the file says its type",
    "Table(optional)": "cells of any type are kept",
    "Table(dtype)": "cells of any type are kept",
    "Table(allow_mixed_types)": "cells of any type are kept",
    "Table(log_mode)": "each log of a table keeps all of it",
    "Artifact(incremental)": "a version holds all of its files",
    "Artifact(use_as)": "an artifact is found by its name",
    "Artifact(storage_region)": "files lie in the workspace",
    "Artifact(digest_algorithm)": "files lie in the workspace as they are",
    "save(policy)": "files are copied when `save` is called and when the run ends",
    "save(glob)": "a name that is there as it is written is taken as a name, else as a pattern",
    "watch": "log norms of gradients and weights yourself, or with run.histogram of Stepwell's",
    "unwatch": "nothing is watched",
    "require": "there are no experiments of the SDK",
    "setup": "there is no process to start",
    "teardown": "there is no process to end",
    "mark_preempting": "what was logged survives the process",
    "log_code": "keep the code as an artifact: run.save('*.py')",
    "link_artifact": "there is no registry of artifacts; use a version by its name and alias",
    "link_model": "there is no registry of artifacts; use a version by its name and alias",
    "Graph": "a graph is not kept",
    "plot": "a chart is drawn by a page that Stepwell has not; its table is kept",
    "login(key)": "there is no account",
    "login(host)": "there is no account",
}

# Names of the module that W&B's or trackio's has and this one has not.
REFUSED: dict[str, str] = {
    "sweep": "start the runs of a sweep yourself, one `init` each; see examples/sweep.py",
    "agent": "start the runs of a sweep yourself, one `init` each; see examples/sweep.py",
    "controller": "start the runs of a sweep yourself, one `init` each; see examples/sweep.py",
    "attach": 'another process goes on with a run by `init(id=…, resume="must")`',
    "plot_table": "log a wandb.Table",
    "JoinedTable": "log both tables",
    "EvalTable": "log a wandb.Table",
    "box3d": "log the boxes in the dict of a wandb.Object3D",
    "ArtifactTTL": "artifacts stay until the run is deleted",
    "use_model": "use_artifact(name).download() gives the folder",
    "show": "`stepwell serve` shows the runs",
    "sync": "`stepwell sync FOLDER WORKSPACE` copies runs",
    "freeze": "`stepwell export` writes runs for other tools",
    "delete_project": "`stepwell delete` deletes runs",
    "import_csv": "`stepwell import FILE` reads CSV",
    "import_tf_events": "`stepwell import FOLDER` reads event files",
    "log_gpu": "log what you measure with log_system",
    "log_cpu": "log what you measure with log_system",
    "Trace": "traces are not kept",
    "ReferenceHandler": "Artifact.add_reference keeps the address only",
    "ResolvedReference": "Artifact.add_reference keeps the address only",
    "register_reference_handler": "Artifact.add_reference keeps the address only",
    "TRACKIO_LOGO_DIR": "it is trackio's own",
}


def ignored(name: str) -> None:
    """Tells once that something is ignored."""
    tell(f"stepwell.wandb ignores {name}", IGNORED[name])


def given(call: str, **arguments: tuple[Any, Any]) -> None:
    """Tells once of each argument that is not its default: name to (value, default)."""
    for name, (value, default) in arguments.items():
        if value is not default and value != default:
            ignored(f"{call}({name})")


def unknown(call: str, arguments: Mapping[str, Any]) -> None:
    """Tells once of each argument that a call does not know."""
    for name in arguments:
        tell(f"stepwell.wandb ignores {call}({name})", "the argument is not known")
