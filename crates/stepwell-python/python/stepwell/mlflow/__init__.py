"""MLflow on a Stepwell folder, without a server.

    import mlflow, stepwell.mlflow

    stepwell.mlflow.use("runs")          # or mlflow.set_tracking_uri("stepwell:runs")
    with mlflow.start_run():
        mlflow.log_metric("loss", 0.5, step=0)

`use` sets the registry's address too: without one MLflow searches for it at each call, which costs ten times the call.
"""

from __future__ import annotations

import os

from ._address import uri
from ._frame import search_runs

__all__ = ["search_runs", "uri", "use"]


def use(path: str | os.PathLike[str] = "stepwell") -> str:
    """Has MLflow keep runs and registered models in a folder; on a server (`https://lab:5000`), with the token of
    `stepwell login`; or in the spool of a server (`stepwell+https://lab:5000`). Gives the address that it set.

    For processes that this one starts, the environment has the address too.
    """
    import mlflow

    text = os.fspath(path)
    is_server = text.startswith(("http://", "https://"))
    address = text if is_server or text.startswith("stepwell+") else uri(path)
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_REGISTRY_URI"] = address
    if is_server:
        # The token of `stepwell login`, if there is one.
        os.environ["MLFLOW_TRACKING_AUTH"] = "stepwell"
    return address
