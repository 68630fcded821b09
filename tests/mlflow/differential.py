"""Requests to two stores, and how their answers differ once ids, times and places have one name on both sides."""

import json
import re
from urllib.parse import urlencode

import pytest
import requests
from conftest import SERVER_ROUTES, SERVER_SCENARIOS, Folder

# Ids, times and places are replaced by words, in order of appearance.
UNSTABLE_KEYS = {
    "start_time", "end_time", "creation_time", "last_update_time", "creation_timestamp", "last_updated_timestamp",
    "creation_timestamp_ms", "last_updated_timestamp_ms",
}


class Side:
    """One server, and the ids it gave out, so that a scenario can name them alike on both sides."""

    # Where artifacts are.
    root = "mlflow-artifacts:"

    def __init__(self, uri):
        self.uri, self.names = uri, {"root": self.root}

    def fill(self, value):
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda found: self.names.get(found.group(1), found.group(0)), value)
        if isinstance(value, dict):
            return {key: self.fill(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner) for inner in value]
        return value

    def send(self, method, path, body=None, raw=None, kind="application/json"):
        root = "" if path.startswith("/") else "/api/2.0/mlflow/"
        if method == "GET":
            return requests.get(self.uri + root + self.fill(path), params=self.fill(body), timeout=30)
        data = raw if raw is not None else json.dumps(self.fill(body))
        return requests.request(method, self.uri + root + self.fill(path), data=data.encode(), headers={"Content-Type": kind}, timeout=30)

    def answers(self, path, body):
        """Whether an answer of it is to be like MLflow's."""
        return True

    def normal(self, value, key=None):
        if isinstance(value, dict):
            return {k: self.normal(v, k) for k, v in value.items() if k != "user_id"}
        if isinstance(value, list):
            items = [self.normal(inner) for inner in value]
            if items and all(isinstance(item, dict) and "current_stage" in item for item in items):
                # Declared (W9): versions in lists come in another order, and with their aliases.
                items = sorted(items, key=lambda item: int(item["version"]))
                items = [{k: v for k, v in item.items() if k != "aliases"} for item in items]
            # Lists by key come in any order.
            keyed = items and all(isinstance(item, dict) and "key" in item and "step" not in item for item in items)
            return sorted(items, key=lambda item: item["key"]) if keyed else items
        if key in UNSTABLE_KEYS and isinstance(value, int) and value > 10_000:
            return "TIME"
        if isinstance(value, str):
            for name, real in sorted(self.names.items(), key=lambda pair: -len(pair[1])):
                value = re.sub(rf"(?<![0-9a-zA-Z]){re.escape(real)}(?![0-9a-zA-Z])", "{" + name + "}", value)
        return value


class FolderSide(Side):
    """A folder, asked the same in this process."""

    def __init__(self, folder):
        from stepwell.mlflow._local import local

        self.local, self.root = local(folder.uri), str(folder.workspace / "artifacts")
        super().__init__(folder.uri)

    def send(self, method, path, body=None, raw=None, kind="application/json"):
        root = "" if path.startswith("/") else "/api/2.0/mlflow/"
        path, _, query = (root + self.fill(path)).partition("?")
        data = b""
        if method == "GET":
            query = urlencode({key: value for key, value in (self.fill(body) or {}).items() if value is not None}, doseq=True)
        else:
            data = (raw if raw is not None else json.dumps(self.fill(body))).encode()
        return Answer(*self.local.native.answer(method, path, query, data)[:2])

    def answers(self, path, body):
        return not path.startswith(SERVER_ROUTES)


class Answer:
    """What a folder answered, as `requests` tells it."""

    def __init__(self, status_code, content):
        self.status_code, self.content, self.headers = status_code, content, {}

    def json(self):
        return json.loads(self.content)

    def raise_for_status(self):
        assert self.status_code == 200, self.content


def side_of(store, scenario=None):
    if isinstance(store, Folder) and scenario in SERVER_SCENARIOS:
        pytest.skip(SERVER_SCENARIOS[scenario])
    return FolderSide(store) if isinstance(store, Folder) else Side(store.uri)


def scenario(*steps):
    return list(steps)


def post(path, body=None, save=None, raw=None, method="POST", kind="application/json"):
    return (method, path, body if body is not None else {}, save, raw, kind)


def get(path, params=None):
    return ("GET", path, params or {}, None, None, None)


EXPERIMENT = post("experiments/create", {"name": "{unique}"}, save=("e", "experiment_id"))
RUN = post("runs/create", {"experiment_id": "{e}", "start_time": 5, "run_name": "r", "user_id": "u"}, save=("r", "run.info.run_id"))
RUN2 = post("runs/create", {"experiment_id": "{e}", "start_time": 6, "run_name": "s", "user_id": "u"}, save=("s", "run.info.run_id"))


def batch(metrics=(), params=(), tags=(), run="{r}"):
    return post("runs/log-batch", {
        "run_id": run,
        "metrics": [dict(zip(("key", "value", "timestamp", "step"), metric)) for metric in metrics],
        "params": [{"key": key, "value": value} for key, value in params],
        "tags": [{"key": key, "value": value} for key, value in tags],
    })


def search(filter_string="", order_by=(), **more):
    return post("runs/search", {"experiment_ids": ["{e}"], "filter": filter_string, "order_by": list(order_by), **more})


def run_side(side, steps, unique):
    side.names["unique"] = unique
    answers = []
    for method, path, body, save, raw, kind in steps:
        response = side.send(method, path, body, raw, kind)
        try:
            answer = response.json()
        except ValueError:
            answer = {"not json": response.headers.get("content-type")}
        if save:
            value = answer
            for part in save[1].split("."):
                value = value[part]
            side.names[save[0]] = value
        if not side.answers(path, body):
            assert response.status_code in (200, 404, 405, 501), f"{path} {response.status_code}"
            response.status_code = None
        answers.append((f"{method} {path} {json.dumps(body)[:200]} {raw or ''}", response.status_code, side.normal(answer)))
    return answers


def differences(ours, theirs):
    for (call, our_status, our), (_, their_status, their) in zip(ours, theirs, strict=True):
        if our_status is None:
            continue
        if our_status >= 400 and their_status >= 400:
            # Of errors, status and code are a contract, words are not.
            our, their = our.get("error_code"), their.get("error_code")
        if (our_status, our) != (their_status, their):
            yield f"{call}\n  stepwell {our_status} {json.dumps(our)[:1500]}\n  mlflow   {their_status} {json.dumps(their)[:1500]}"
