"""Faults of the store as MLflow's exceptions."""

from __future__ import annotations

import json

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, ErrorCode
from mlflow.utils.validation import _validate_metric


def exception(code: str, message: str) -> MlflowException:
    """MLflow's exception for a code such as `RESOURCE_DOES_NOT_EXIST`."""
    number = ErrorCode.Value(code) if code in ErrorCode.keys() else INTERNAL_ERROR
    return MlflowException(message, error_code=number)


def of_metrics(metrics, error: Exception, path: str | None = None) -> MlflowException:
    """MLflow's exception for metrics whose numbers are none, which the native store met as `error`."""
    for place, metric in enumerate(metrics):
        try:
            _validate_metric(metric.key, metric.value, metric.timestamp, metric.step, path and f"{path}[{place}]" or "")
        except MlflowException as known:
            return known
    return exception("INVALID_PARAMETER_VALUE", str(error))


def of_answer(status: int, body: bytes) -> MlflowException:
    """MLflow's exception for an answer that is no success."""
    try:
        said = json.loads(body)
        return exception(said["error_code"], said["message"])
    except (ValueError, KeyError, TypeError):
        return MlflowException(f"the store answered {status}: {body[:200]!r}", error_code=INTERNAL_ERROR)
