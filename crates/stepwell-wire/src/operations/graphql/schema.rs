//! The types of MLflow's GraphQL schema, as far as its UI asks for them.

use serde_json::{Value, json};

use crate::call::{Call, Outcome};
use crate::operations;

/// A type: its name and its fields, in snake_case as in REST's JSON.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Holds)],
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Holds {
    Text,
    /// A 64-bit integer, which GraphQL writes as a string.
    Long,
    Float,
    Bool,
    /// A name of an enumeration.
    Enum(&'static Names),
    /// A text that is null where there is none.
    Optional,
    Texts,
    /// Always null.
    Nothing,
    One(&'static Type),
    Many(&'static Type),
    /// The answer of a further call.
    Asked(Asked),
}

/// A further call.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) run: fn(&Call<'_>) -> Outcome,
    /// The call's message, from the object that the field is of.
    pub(super) input: fn(&Value) -> Value,
    /// The part of the answer that is the field's.
    pub(super) name: &'static str,
    pub(super) kind: &'static Type,
}

use Holds::{Bool, Enum, Float, Long, Many, Nothing, One, Optional, Text, Texts};

/// An enumeration.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) name: &'static str,
    pub(super) values: &'static [&'static str],
}

/// What an argument of the root takes: a name of the type, and its fields with their types as GraphQL writes them.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, &'static str)],
}

/// All enumerations.
pub(super) static ENUMS: [&Names; 3] = [&RUN_STATUS, &VERSION_STATUS, &VIEW_TYPE];
static RUN_STATUS: Names =
    Names { name: "MlflowRunStatus", values: &["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] };
static VERSION_STATUS: Names =
    Names { name: "MlflowModelVersionStatus", values: &["PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY"] };
static VIEW_TYPE: Names = Names { name: "MlflowViewType", values: &["ACTIVE_ONLY", "DELETED_ONLY", "ALL"] };

/// All types of arguments.
pub(super) static INPUTS: [&Input; 7] = [
    &GET_RUN_IN,
    &GET_EXPERIMENT_IN,
    &SEARCH_RUNS_IN,
    &LIST_ARTIFACTS_IN,
    &SEARCH_VERSIONS_IN,
    &INTERVAL_IN,
    &DATASETS_IN,
];
static GET_RUN_IN: Input = Input { name: "MlflowGetRunInput", fields: &[("runId", "String"), ("runUuid", "String")] };
static GET_EXPERIMENT_IN: Input = Input { name: "MlflowGetExperimentInput", fields: &[("experimentId", "String")] };
static SEARCH_RUNS_IN: Input = Input {
    name: "MlflowSearchRunsInput",
    fields: &[
        ("experimentIds", "[String]"),
        ("filter", "String"),
        ("runViewType", "MlflowViewType"),
        ("maxResults", "Int"),
        ("orderBy", "[String]"),
        ("pageToken", "String"),
    ],
};
static LIST_ARTIFACTS_IN: Input = Input {
    name: "MlflowListArtifactsInput",
    fields: &[("runId", "String"), ("runUuid", "String"), ("path", "String"), ("pageToken", "String")],
};
static SEARCH_VERSIONS_IN: Input = Input {
    name: "MlflowSearchModelVersionsInput",
    fields: &[("filter", "String"), ("maxResults", "LongString"), ("orderBy", "[String]"), ("pageToken", "String")],
};
static INTERVAL_IN: Input = Input {
    name: "MlflowGetMetricHistoryBulkIntervalInput",
    fields: &[
        ("runIds", "[String]"),
        ("metricKey", "String"),
        ("startStep", "Int"),
        ("endStep", "Int"),
        ("maxResults", "Int"),
    ],
};
static DATASETS_IN: Input = Input { name: "MlflowSearchDatasetsInput", fields: &[("experimentIds", "[String]")] };

/// The root.
pub(super) static QUERY: Type = Type { name: "Query", fields: &[] };

/// What the field `test` answers.
pub(super) static TEST: Type = Type { name: "Test", fields: &[("output", Text)] };

/// A field of the root.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) name: &'static str,
    pub(super) kind: &'static Type,
    /// The REST call that answers it.
    pub(super) run: fn(&Call<'_>) -> Outcome,
    pub(super) input: &'static Input,
    /// Whether it is a field of queries, and of mutations. Both are answered alike.
    pub(super) of: (bool, bool),
}

const fn root(
    name: &'static str,
    kind: &'static Type,
    run: fn(&Call<'_>) -> Outcome,
    input: &'static Input,
    of: (bool, bool),
) -> Root {
    Root { name, kind, run, input, of }
}

/// The fields of the root.
pub(super) static ROOTS: &[Root] = &[
    root("mlflowGetRun", &GET_RUN, operations::runs::get, &GET_RUN_IN, (true, false)),
    root("mlflowGetExperiment", &GET_EXPERIMENT, operations::experiments::get, &GET_EXPERIMENT_IN, (true, false)),
    root("mlflowSearchRuns", &SEARCH_RUNS, operations::runs::search, &SEARCH_RUNS_IN, (true, true)),
    root("mlflowListArtifacts", &LIST_ARTIFACTS, operations::artifacts::list_of_run, &LIST_ARTIFACTS_IN, (true, false)),
    root(
        "mlflowSearchModelVersions",
        &SEARCH_MODEL_VERSIONS,
        operations::versions::search,
        &SEARCH_VERSIONS_IN,
        (true, false),
    ),
    root(
        "mlflowGetMetricHistoryBulkInterval",
        &BULK_INTERVAL,
        operations::metrics::history_bulk_interval,
        &INTERVAL_IN,
        (true, false),
    ),
    root("mlflowSearchDatasets", &SEARCH_DATASETS, operations::datasets::search, &DATASETS_IN, (false, true)),
];

static GET_RUN: Type = Type { name: "MlflowGetRunResponse", fields: &[("run", One(&RUN)), ("api_error", Nothing)] };
static GET_EXPERIMENT: Type =
    Type { name: "MlflowGetExperimentResponse", fields: &[("experiment", One(&EXPERIMENT)), ("api_error", Nothing)] };
static SEARCH_RUNS: Type = Type {
    name: "MlflowSearchRunsResponse",
    fields: &[("runs", Many(&RUN)), ("next_page_token", Optional), ("api_error", Nothing)],
};
static LIST_ARTIFACTS: Type = Type {
    name: "MlflowListArtifactsResponse",
    fields: &[("root_uri", Text), ("files", Many(&FILE_INFO)), ("next_page_token", Optional), ("api_error", Nothing)],
};
static SEARCH_MODEL_VERSIONS: Type = Type {
    name: "MlflowSearchModelVersionsResponse",
    fields: &[("model_versions", Many(&MODEL_VERSION)), ("next_page_token", Optional), ("api_error", Nothing)],
};
static BULK_INTERVAL: Type = Type {
    name: "MlflowGetMetricHistoryBulkIntervalResponse",
    fields: &[("metrics", Many(&METRIC_WITH_RUN_ID)), ("api_error", Nothing)],
};
static SEARCH_DATASETS: Type = Type {
    name: "MlflowSearchDatasetsResponse",
    fields: &[("dataset_summaries", Many(&DATASET_SUMMARY)), ("api_error", Nothing)],
};
static DATASET_SUMMARY: Type = Type {
    name: "MlflowDatasetSummary",
    fields: &[("experiment_id", Text), ("name", Text), ("digest", Text), ("context", Text)],
};
static FILE_INFO: Type =
    Type { name: "MlflowFileInfo", fields: &[("path", Text), ("is_dir", Bool), ("file_size", Long)] };
static EXPERIMENT: Type = Type {
    name: "MlflowExperiment",
    fields: &[
        ("experiment_id", Text),
        ("name", Text),
        ("artifact_location", Text),
        ("lifecycle_stage", Text),
        ("last_update_time", Long),
        ("creation_time", Long),
        ("tags", Many(&EXPERIMENT_TAG)),
        ("effective_trace_archival_retention", Text),
        ("workspace", Text),
    ],
};
static EXPERIMENT_TAG: Type = Type { name: "MlflowExperimentTag", fields: &[("key", Text), ("value", Text)] };
static RUN: Type = Type {
    name: "MlflowRunExtension",
    fields: &[
        ("info", One(&RUN_INFO)),
        ("data", One(&RUN_DATA)),
        ("inputs", One(&RUN_INPUTS)),
        ("outputs", One(&RUN_OUTPUTS)),
        (
            "experiment",
            Holds::Asked(Asked {
                run: operations::experiments::get,
                input: |run| json!({ "experiment_id": run["info"]["experiment_id"] }),
                name: "experiment",
                kind: &EXPERIMENT,
            }),
        ),
        (
            "model_versions",
            Holds::Asked(Asked {
                run: operations::versions::search,
                input: |run| json!({ "filter": format!("run_id='{}'", run["info"]["run_id"].as_str().unwrap_or_default()) }),
                name: "model_versions",
                kind: &MODEL_VERSION,
            }),
        ),
    ],
};
static RUN_INFO: Type = Type {
    name: "MlflowRunInfo",
    fields: &[
        ("run_id", Text),
        ("run_uuid", Text),
        ("run_name", Text),
        ("experiment_id", Text),
        ("user_id", Text),
        ("status", Enum(&RUN_STATUS)),
        ("start_time", Long),
        ("end_time", Long),
        ("artifact_uri", Text),
        ("lifecycle_stage", Text),
    ],
};
static RUN_DATA: Type = Type {
    name: "MlflowRunData",
    fields: &[("metrics", Many(&METRIC)), ("params", Many(&PARAM)), ("tags", Many(&RUN_TAG))],
};
static METRIC: Type = Type {
    name: "MlflowMetricExtension",
    fields: &[
        ("key", Text),
        ("value", Float),
        ("timestamp", Long),
        ("step", Long),
        ("dataset_name", Text),
        ("dataset_digest", Text),
        ("model_id", Text),
        ("run_id", Text),
    ],
};
static METRIC_WITH_RUN_ID: Type = Type {
    name: "MlflowMetricWithRunId",
    fields: &[("key", Text), ("value", Float), ("timestamp", Long), ("step", Long), ("run_id", Text)],
};
static PARAM: Type = Type { name: "MlflowParam", fields: &[("key", Text), ("value", Text)] };
static RUN_TAG: Type = Type { name: "MlflowRunTag", fields: &[("key", Text), ("value", Text)] };
static RUN_INPUTS: Type = Type {
    name: "MlflowRunInputs",
    fields: &[("dataset_inputs", Many(&DATASET_INPUT)), ("model_inputs", Many(&MODEL_INPUT))],
};
static DATASET_INPUT: Type =
    Type { name: "MlflowDatasetInput", fields: &[("tags", Many(&INPUT_TAG)), ("dataset", One(&DATASET))] };
static INPUT_TAG: Type = Type { name: "MlflowInputTag", fields: &[("key", Text), ("value", Text)] };
static DATASET: Type = Type {
    name: "MlflowDataset",
    fields: &[
        ("name", Text),
        ("digest", Text),
        ("source_type", Text),
        ("source", Text),
        ("schema", Text),
        ("profile", Text),
    ],
};
static MODEL_INPUT: Type = Type { name: "MlflowModelInput", fields: &[("model_id", Text)] };
static RUN_OUTPUTS: Type = Type { name: "MlflowRunOutputs", fields: &[("model_outputs", Many(&MODEL_OUTPUT))] };
static MODEL_OUTPUT: Type = Type { name: "MlflowModelOutput", fields: &[("model_id", Text), ("step", Long)] };
static MODEL_VERSION: Type = Type {
    name: "MlflowModelVersion",
    fields: &[
        ("name", Text),
        ("version", Text),
        ("creation_timestamp", Long),
        ("last_updated_timestamp", Long),
        ("user_id", Text),
        ("current_stage", Text),
        ("description", Text),
        ("source", Text),
        ("run_id", Text),
        ("status", Enum(&VERSION_STATUS)),
        ("status_message", Text),
        ("tags", Many(&MODEL_VERSION_TAG)),
        ("run_link", Text),
        ("aliases", Texts),
        ("model_id", Text),
    ],
};
static MODEL_VERSION_TAG: Type = Type { name: "MlflowModelVersionTag", fields: &[("key", Text), ("value", Text)] };
