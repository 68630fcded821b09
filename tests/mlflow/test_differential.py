"""The same requests to MLflow's own server and to a store of ours: the same answers, but for ids, times and what is declared here."""

import pytest
from differential import EXPERIMENT, RUN, RUN2, Side, batch, differences, get, post, run_side, scenario, search, side_of

SAMPLED = "of more points than were asked for, the least and greatest of each stretch are shown here; MLflow takes every n-th"

# Where the answers differ on purpose, by scenario: the beginning of the call, and why.
DECLARED = {
    "runs": [
        ('POST runs/delete {} []', "a body that is not an object is refused here; MLflow fails on it with 500"),
        ('POST runs/update {"run_id": "{r}", "status": "NOPE"}', "a value that is none of its names is refused here; MLflow passes over it"),
    ],
    "search": [('POST runs/search {} {', "a body that is no JSON is refused here; MLflow takes it for an empty message")],
    "finding_logged_models": [
        *[(f'POST logged-models/search {{"experiment_ids": ["{{e}}"], "filter": "status {test}', "MLflow 3.17 finds no status; 3.18 finds it by its name") for test in ("=", "!=", "IN")],
        *[(f'POST logged-models/search {{"experiment_ids": ["{{e}}"], "filter": "metrics.acc {test}', "MLflow 3.17 looks at every value, 3.18 at the latest") for test in ("=", ">", "!=")],
        ("POST model-versions/create", "a version tells its logged model, which MLflow's database does not keep"),
    ],
    "plots": [
        ('GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval {"run_ids": ["{r}", "{s}"], "metric_key": "m", "max_results": 10}', SAMPLED),
        ('GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval {"run_ids": ["{r}", "{s}"], "metric_key": "m", "max_results": 320}', SAMPLED),
        ('GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval {"run_ids": "{r}", "metric_key": "m", "start_step": 100', SAMPLED),
    ],
}

SHOW = get("runs/get", {"run_id": "{r}"})
SCENARIOS = {
    "experiments": scenario(
        EXPERIMENT, get("experiments/get", {"experiment_id": "{e}"}), get("experiments/get-by-name", {"experiment_name": "{unique}"}),
        post("experiments/create", {"name": "{unique}"}), post("experiments/create", {}), post("experiments/create", {"name": 5}),
        post("experiments/set-experiment-tag", {"experiment_id": "{e}", "key": "k", "value": "v"}),
        get("experiments/get", {"experiment_id": "{e}"}), post("experiments/delete", {"experiment_id": "{e}"}),
        post("experiments/delete", {"experiment_id": "{e}"}), get("experiments/get-by-name", {"experiment_name": "{unique}"}),
        post("experiments/restore", {"experiment_id": "{e}"}), post("experiments/update", {"experiment_id": "{e}", "new_name": "{unique}-new"}),
        get("experiments/get", {"experiment_id": "{e}"}), get("experiments/get", {"experiment_id": "abc"}), get("experiments/get", {}),
        get("experiments/get-by-name", {"experiment_name": "no such"}), get("experiments/search", {}), get("experiments/search", {"max_results": "x"}),
        post("experiments/search", {"max_results": 5, "filter": "name = '{unique}-new'"}), post("experiments/search", {"max_results": 5, "filter": "bad"}),
        post("experiments/search", {"max_results": 0}), post("experiments/search", {"max_results": 50001}),
    ),
    "runs": scenario(
        EXPERIMENT, RUN, SHOW, get("runs/get", {"run_uuid": "{r}"}), get("runs/get", {}), get("runs/get", {"run_id": "f" * 32}),
        post("runs/update", {"run_id": "{r}", "status": "FINISHED", "end_time": 99}), post("runs/update", {"run_id": "{r}", "status": "NOPE"}),
        post("runs/update", {"run_id": "{r}", "status": "RUNNING", "endTime": "100"}), post("runs/update", {"run_id": "{r}", "end_time": 1, "endTime": 2}),
        post("runs/update", {"run_id": "{r}", "run_name": "new"}), SHOW, post("runs/update", {"run_id": "{r}", "run_name": ""}), SHOW,
        post("runs/delete", {"run_id": "{r}"}), SHOW, post("runs/set-tag", {"run_id": "{r}", "key": "k", "value": "v"}),
        post("runs/delete", {"run_id": "{r}"}), post("runs/restore", {"run_id": "{r}"}), SHOW, post("runs/delete", {}),
        post("runs/create", {"experiment_id": "abc"}), post("runs/create", {"experiment_id": "999999999"}),
        post("runs/delete", raw="not json"), post("runs/delete", raw="[]"), post("runs/delete", raw=""),
    ),
    "tags_and_params": scenario(
        EXPERIMENT, RUN, post("runs/set-tag", {"run_id": "{r}", "key": "k", "value": "v"}), post("runs/set-tag", {"run_id": "{r}", "key": "k", "value": "w"}),
        post("runs/set-tag", {"run_id": "{r}", "key": "mlflow.runName", "value": "named"}), SHOW,
        post("runs/delete-tag", {"run_id": "{r}", "key": "k"}), post("runs/delete-tag", {"run_id": "{r}", "key": "k"}),
        post("runs/log-parameter", {"run_id": "{r}", "key": "p", "value": "1"}), post("runs/log-parameter", {"run_id": "{r}", "key": "p", "value": "1"}),
        post("runs/log-parameter", {"run_id": "{r}", "key": "p", "value": "2"}), post("runs/log-parameter", {"run_id": "{r}", "key": "q"}),
        post("runs/log-parameter", {"run_id": "{r}", "key": "a//b", "value": "1"}), post("runs/log-parameter", {"run_id": "{r}", "key": "long", "value": "x" * 7000}),
        post("runs/set-tag", {"run_id": "{r}", "key": "k" * 251, "value": "v"}), post("runs/set-tag", {"run_id": "{r}", "value": "v"}), SHOW,
    ),
    "metrics": scenario(
        EXPERIMENT, RUN, post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 0.1, "timestamp": 5, "step": 3}),
        post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": "2.5", "timestamp": "6", "step": "2"}),
        post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 0.1, "timestamp": 5, "step": 3}),
        post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": True, "timestamp": 7, "step": -1}),
        post("runs/log-metric", {"run_id": "{r}", "key": "n", "value": "NaN", "timestamp": 7}),
        post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": "x", "timestamp": 7}), post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1}),
        post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1, "timestamp": -1}),
        post("runs/log-metric", {"run_id": "{r}", "key": "a@b", "value": 1, "timestamp": 1}), SHOW,
        get("metrics/get-history", {"run_id": "{r}", "metric_key": "m"}), get("metrics/get-history", {"run_id": "{r}", "metric_key": "n"}),
        get("metrics/get-history", {"run_id": "{r}", "metric_key": "m", "max_results": 2}), get("metrics/get-history", {"run_id": "{r}", "metric_key": "m", "max_results": 0}),
        get("metrics/get-history", {"run_id": "{r}", "metric_key": "none"}), get("metrics/get-history", {"run_id": "f" * 32, "metric_key": "m"}),
        get("metrics/get-history", {"run_id": "{r}"}), get("metrics/get-history", {"run_id": "{r}", "metric_key": "m", "page_token": "x"}),
    ),
    "batches": scenario(
        EXPERIMENT, RUN, batch([("a", 1.0, 1, 1), ("a", 2.0, 2, 2), ("a", 2.0, 2, 2)], [("p", "1")], [("t", "1"), ("t", "2")]), SHOW,
        batch(params=[("p", "2")], metrics=[("b", 1, 1, 1)]), SHOW, batch(params=[("x", "1"), ("x", "1")]), batch([("m", 1, 1, 1)] * 1001),
        batch(params=[(f"p{i}", "1") for i in range(101)]), post("runs/log-batch", {"run_id": "{r}", "metrics": [{"key": "m", "value": 1}]}),
        post("runs/log-batch", {"run_id": "{r}", "params": [{"value": "1"}]}), post("runs/log-batch", {"metrics": []}), post("runs/log-batch", {"run_id": "{r}"}),
        post("runs/log-batch", {"run_id": "f" * 32, "params": [{"key": "a", "value": "1"}]}), post("runs/log-batch", {"run_id": "{r}", "metrics": "x"}),
        post("runs/log-batch", {"run_id": "{r}", "metrics": [{"key": "c", "value": "NaN", "timestamp": "3", "step": "4"}], "unknown": 1}), SHOW,
    ),
    "plots": scenario(
        EXPERIMENT, RUN, RUN2, batch([("m", i * i % 17, i, i) for i in range(500)]), batch([("m", i, i, i) for i in range(7)], run="{s}"),
        *[get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": ["{r}", "{s}"], "metric_key": "m", "max_results": most}) for most in (1, 2, 10, 320, 2500, 0, 2501)],
        get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": "{r}", "metric_key": "m", "start_step": 100, "end_step": 120, "max_results": 5}),
        get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": "{r}", "metric_key": "m", "start_step": 9, "end_step": 1}),
        get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": "{r}", "metric_key": "m", "start_step": 9}),
        get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"metric_key": "m"}),
        get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", {"run_id": "{s}", "metric_key": "m"}), get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", {"metric_key": "m"}),
    ),
    "search": scenario(
        EXPERIMENT, RUN, RUN2, batch([("m", 1.0, 1, 1), ("n", 5, 1, 1)], [("p", "abc")], [("t", "x")]), batch([("m", "NaN", 1, 1)], [("p", "ABD")], run="{s}"),
        *[search(text) for text in (
            "metrics.m > 0", "metrics.m != 1", "metrics.n = 5", "params.p = 'abc'", "params.p LIKE 'a%'", "params.p ILIKE 'a%'", "tags.t = 'x'",
            "tags.t IS NULL", "tags.t IS NOT NULL", "attributes.status = 'RUNNING'", "run_name = 'r'", "start_time > 5", "run_id IN ('{r}')",
            "metrics.m > 0 AND params.p = 'abc'", "metrics.m > 0 AND", "   ", "metrics.m > 0 OR params.p = 'x'", "metrics.m == 1", "metrics.m > 'x'",
            "params.p > 'a'", "nothing.m > 1", "metrics.`m` >= 1", "params.\"p\" = \"abc\"", "attributes.experiment_id = '1'", "metrics.m > nan", "start_time = '5'",
        )],
        *[search(order_by=order) for order in (["metrics.m ASC"], ["metrics.m DESC"], ["params.p"], ["start_time ASC"], ["tags.t DESC"], ["run_name"], ["nothing"], ["metrics.m up"])],
        search(max_results=1), search(max_results=0), search(max_results=50001), search(page_token="x"), search(run_view_type="DELETED_ONLY"),
        post("runs/search", {"experiment_ids": []}), post("runs/search", {"experiment_ids": ["abc"]}), post("runs/search", raw="{"),
    ),
    "registry": scenario(
        EXPERIMENT, RUN, post("registered-models/create", {"name": "{unique}", "description": "d", "tags": [{"key": "k", "value": "v"}]}),
        post("registered-models/create", {"name": "{unique}"}), post("registered-models/create", {"name": "a/b"}), post("registered-models/create", {}),
        post("model-versions/create", {"name": "{unique}", "source": "s3://bucket/model"}), post("model-versions/create", {"name": "{unique}", "source": "s3://bucket/model", "tags": [{"key": "a", "value": "b"}]}),
        post("model-versions/create", {"name": "no such", "source": "s3://bucket/model"}),
        get("registered-models/get", {"name": "{unique}"}), get("registered-models/get", {"name": "no such"}), get("model-versions/get", {"name": "{unique}", "version": "1"}),
        get("model-versions/get", {"name": "{unique}", "version": "9"}), get("model-versions/get", {"name": "{unique}", "version": "x"}),
        get("model-versions/get-download-uri", {"name": "{unique}", "version": "1"}), post("registered-models/alias", {"name": "{unique}", "alias": "best", "version": "1"}),
        get("registered-models/alias", {"name": "{unique}", "alias": "best"}), get("registered-models/alias", {"name": "{unique}", "alias": "none"}),
        post("registered-models/alias", {"name": "{unique}", "alias": "latest", "version": "1"}), post("registered-models/alias", {"name": "{unique}", "alias": "x", "version": "9"}),
        post("model-versions/transition-stage", {"name": "{unique}", "version": "1", "stage": "Staging"}), post("model-versions/transition-stage", {"name": "{unique}", "version": "2", "stage": "staging", "archive_existing_versions": True}),
        post("model-versions/transition-stage", {"name": "{unique}", "version": "2", "stage": "nope"}), get("registered-models/get", {"name": "{unique}"}),
        get("registered-models/get-latest-versions", {"name": "{unique}"}), post("registered-models/get-latest-versions", {"name": "{unique}", "stages": ["Staging"]}),
        post("registered-models/set-tag", {"name": "{unique}", "key": "z", "value": "1"}), post("registered-models/delete-tag", {"name": "{unique}", "key": "z"}, method="DELETE"),
        post("model-versions/set-tag", {"name": "{unique}", "version": "1", "key": "z", "value": "1"}), post("model-versions/update", {"name": "{unique}", "version": "1", "description": "new"}, method="PATCH"),
        post("registered-models/update", {"name": "{unique}", "description": "new"}, method="PATCH"),
        get("registered-models/search", {"filter": "name = '{unique}'"}), get("registered-models/search", {"filter": "bad = 1"}), get("registered-models/search", {"max_results": 1001}),
        get("model-versions/search", {"filter": "name = '{unique}'"}), get("model-versions/search", {"filter": "name='{unique}' and version_number > 1"}), get("model-versions/search", {"filter": "tags.a = 'b' and name = '{unique}'"}),
        post("model-versions/delete", {"name": "{unique}", "version": "2"}, method="DELETE"), post("model-versions/create", {"name": "{unique}", "source": "s3://bucket/model"}),
        post("registered-models/rename", {"name": "{unique}", "new_name": "{unique}-b"}), get("registered-models/get", {"name": "{unique}-b"}),
        post("registered-models/delete", {"name": "{unique}-b"}, method="DELETE"), post("registered-models/delete", {"name": "{unique}-b"}, method="DELETE"),
    ),
    "logged_models": scenario(
        EXPERIMENT, RUN, post("logged-models", {"experiment_id": "{e}", "name": "m", "source_run_id": "{r}", "params": [{"key": "a", "value": "1"}], "tags": [{"key": "t", "value": "v"}]}, save=("m", "model.info.model_id")),
        post("logged-models", {}), post("logged-models", {"experiment_id": "{e}", "name": "a/b"}), get("logged-models/{m}"), get("logged-models/m-none"),
        post("logged-models/{m}", {"model_id": "{m}", "status": "LOGGED_MODEL_READY"}, method="PATCH"), post("logged-models/{m}/tags", {"tags": [{"key": "u", "value": "w"}]}, method="PATCH"),
        post("logged-models/{m}/tags/t", {}, method="DELETE"), get("logged-models/{m}"), post("runs/outputs", {"run_id": "{r}", "models": [{"model_id": "{m}", "step": 3}]}), SHOW,
        post("logged-models", {"experiment_id": "{e}", "name": "n"}, save=("n", "model.info.model_id")), post("logged-models/search", {"experiment_ids": ["{e}"], "max_results": 1, "filter": "name LIKE '%'"}, save=("token", "next_page_token")),
        post("logged-models/search", {"experiment_ids": ["{e}"], "page_token": "{token}", "filter": "name LIKE '%'"}), post("logged-models/search", {"experiment_ids": ["{e}"], "page_token": "{token}"}),
        post("logged-models/search", {"experiment_ids": ["{e}"]}), post("logged-models/search", {"experiment_ids": ["{e}"], "filter": "name = 'x'"}), post("logged-models/search", {}),
        post("logged-models/{m}", {}, method="DELETE"), get("logged-models/{m}"),
    ),
    "charts": scenario(
        EXPERIMENT, RUN, batch([("flat", 10.0, 1, i) for i in range(10)] + [("rising", i, 1, i) for i in range(200)] + [("bent", abs(i - 50), 1, i) for i in range(100)]),
        *[get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": "{r}", "metric_key": key, "max_results": most}) for key in ("flat", "rising") for most in (1, 2, 3, 5, 7, 9, 10, 11, 100)],
        *[get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": "{r}", "metric_key": "rising", "start_step": first, "end_step": last, "max_results": 5}) for first, last in ((0, 4), (0, 6), (3, 1000), (7, 7), (500, 600))],
        get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": "{r}", "metric_key": "bent", "max_results": 20}),
        batch([("flat", 10.0, 2, i) for i in range(10)]), *[get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": "{r}", "metric_key": "flat", "max_results": most}) for most in (5, 7)],
    ),
    "finding_logged_models": scenario(
        EXPERIMENT, RUN, *[step for name, more in (("a1", {"params": [{"key": "p", "value": "v1"}], "tags": [{"key": "t", "value": "x"}], "model_type": "A"}), ("a2", {"params": [{"key": "p@", "value": "5"}], "source_run_id": "{r}"}), ("b", {"model_type": "B"})) for step in (
            post("logged-models", {"experiment_id": "{e}", "name": name, **more}, save=(name, "model.info.model_id")), get("logged-models/{%s}" % name))],
        post("logged-models/{a1}", {"model_id": "{a1}", "status": "LOGGED_MODEL_READY"}, method="PATCH"), post("logged-models/{b}", {"model_id": "{b}", "status": "LOGGED_MODEL_UPLOAD_FAILED"}, method="PATCH"),
        *[post("runs/log-metric", {"run_id": "{r}", "key": "acc", "value": value, "timestamp": at, "step": 0, "model_id": model, "dataset_name": dataset, "dataset_digest": "1"}) for model, value, at, dataset in (
            ("{a1}", 0.9, 1, "d1"), ("{a1}", 0.8, 2, "d2"), ("{a2}", 0.8, 3, "d1"), ("{a2}", 0.9, 4, "d2"))],
        *[post("logged-models/search", {"experiment_ids": ["{e}"], "filter": text, "order_by": [{"field_name": "name"}]}) for text in (
            "name LIKE 'a%'", "name IN ('a1',)", "name = a1", "params.`p@` = 5", "tags.t = 'x' AND model_type = 'A'", "status = 'READY'", "status != 'READY'", "status IN ('READY', 'FAILED')",
            "model_type = ''", "metrics.acc = 0.8", "metrics.acc > 0.85", "metrics.acc != 0.8", "source_run_id = '{r}'", "creation_timestamp > 0 AND")],
        *[post("logged-models/search", {"experiment_ids": ["{e}"], "order_by": [order]}) for order in (
            {"field_name": "name", "ascending": False}, {"field_name": "status"}, {"field_name": "model_type"}, {"field_name": "metrics.acc"}, {"field_name": "metrics.acc", "ascending": False}, {"field_name": "metrics.acc", "dataset_name": "d1", "dataset_digest": "1"})],
        post("logged-models/search", {"experiment_ids": ["{e}"], "max_results": 0, "order_by": [{"field_name": "name"}]}),
        post("registered-models/create", {"name": "{unique}"}), post("model-versions/create", {"name": "{unique}", "source": "models:/{a1}", "model_id": "{a1}"}), post("model-versions/create", {"name": "{unique}", "source": "models:/{a1}", "model_id": "{a1}"}), get("logged-models/{a1}"),
    ),
    "prompts": scenario(
        *[post("registered-models/create", {"name": name, "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}] if prompt else []}) for name, prompt in (("{unique}", True), ("{unique}", True), ("{unique}", False), ("{unique}m", False), ("{unique}m", True))],
        *[post("model-versions/create", {"name": "{unique}", "source": source, "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "Hi"}]}) for source in ("dummy-source", "prompt-template", "s3://b/x")],
        get("registered-models/get", {"name": "{unique}"}), get("registered-models/search", {"filter": "name = '{unique}'"}), get("registered-models/search", {"filter": "name = '{unique}' AND tags.`mlflow.prompt.is_prompt` = 'true'"}),
    ),
    "locations": scenario(
        *[post("experiments/create", {"name": "{unique}" + str(i), "artifact_location": place}, save=(f"id{i}", "experiment_id") if i in (0, 2, 8) else None) for i, place in enumerate((
            "s3://b/x", "s3://b/x#frag", "s3://b/x;p=1", "dbfs:/x?u=../..", "dbfs:/x?u=%252e%252e/", "http://h/x", "hdfs://h/x", "abfss://c@h/x",
            "mlflow-artifacts:/x", "mlflow-artifacts://h/x", "runs:/a/b",
        ))],
        post("runs/create", {}), post("runs/create", {"experiment_id": ""}),
    ),
    "sources": scenario(
        EXPERIMENT, RUN, post("registered-models/create", {"name": "{unique}"}), post("registered-models/create", {"name": "{unique}p", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}),
        *[post("model-versions/create", {"name": "{unique}", **given}) for given in (
            {"source": "s3://b/m", "run_id": "{r}"}, {"source": "http://h/x"}, {"source": "/etc"}, {"source": "s3://b/../x"}, {"source": "dbfs:/m"}, {"source": "s3://b"}, {"source": "abfss://c@h/m"}, {"source": "sftp://h/m"},
            {"source": "models:/{unique}/1"}, {"source": "models:/{unique}/latest"}, {"source": "models:/{unique}/None"}, {"source": "models:/{unique}/9"}, {"source": "models:/none/1"},
            {"source": "models:/{unique}@none"}, {"source": "models:/{unique}/1", "run_id": "f" * 32}, {"source": "models:/{unique}/1", "run_id": "{r}"},
            {"source": "models:/{unique}/2", "run_id": ""}, {"source": "models:/{unique}p/1"}, {"source": "models:/m-none"}, {"source": "models://h/{unique}/1"},
        )],
    ),
    "inputs": scenario(
        EXPERIMENT, RUN, *[post("runs/log-inputs", {"run_id": "{r}", "datasets": [{"tags": [{"key": "mlflow.data.context", "value": "train"}], "dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "s"}}]})] * 2,
        SHOW, post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["{e}"]}), post("runs/log-inputs", {}),
    ),
    "graphql": scenario(
        EXPERIMENT, RUN, batch([("m", 1.5, 7, 2), ("n", "NaN", 7, 2)], [("p", "1")]),
        post("/graphql", {"query": "query GetRun($data: MlflowGetRunInput!) @component(name: \"x\") { mlflowGetRun(input: $data) { __typename apiError { code message } run { info { runId status startTime endTime lifecycleStage __typename } experiment { experimentId name } data { metrics { key value step timestamp } params { key value } } inputs { datasetInputs { dataset { name } } } outputs { modelOutputs { modelId step } } modelVersions { name version } } } }", "operationName": "GetRun", "variables": {"data": {"runId": "{r}"}}}),
        post("/graphql", {"query": "query($i: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $i) { experiment { name tags { key } artifactLocation } } }", "variables": {"i": {"experimentId": "{e}"}}}),
        post("/graphql", {"query": "query($i: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $i) { runs { info { runName } } } }", "variables": {"i": {"experimentIds": ["{e}"]}}}),
    ),
    "artifacts": scenario(
        EXPERIMENT, RUN, get("artifacts/list", {"run_id": "{r}"}), get("artifacts/list", {}), get("artifacts/list", {"run_id": "{r}", "path": "../x"}),
        get("/api/2.0/mlflow-artifacts/artifacts", {"path": "none/such"}), get("/api/2.0/mlflow-artifacts/artifacts", {"path": "../x"}),
    ),
}


def test_plots_show_the_last_point_and_the_extremes(session_store):
    side = side_of(session_store)
    points = [("m", 1000 if i == 321 else i % 7, i, i) for i in range(999)]
    run_side(side, [EXPERIMENT, RUN, batch(points)], "plots-of-spikes")
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    shown = side.send("GET", path, {"run_ids": "{r}", "metric_key": "m", "max_results": 100}).json()["metrics"]
    assert len(shown) <= 100 and shown[-1]["step"] == 998 and max(point["value"] for point in shown) == 1000


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_answers(name, session_store, reference, place):
    unique = f"diff-{name}-{place}"
    ours = run_side(side_of(session_store, name), SCENARIOS[name], unique)
    theirs = run_side(Side(reference), SCENARIOS[name], unique)
    declared = [call for call, _ in DECLARED.get(name, [])]
    found = [text for text in differences(ours, theirs) if not text.startswith(tuple(declared))]
    assert not found, "\n".join(found)
