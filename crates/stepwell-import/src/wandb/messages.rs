//! W&B's protocol buffer messages (`wandb_internal.proto`), as far as runs, metrics and config need them.

/// `Record`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Record {
    #[prost(message, optional, tag = "2")]
    pub(crate) history: Option<History>,
    #[prost(message, optional, tag = "3")]
    pub(crate) summary: Option<Config>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) output: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub(crate) config: Option<Config>,
    #[prost(message, optional, tag = "7")]
    pub(crate) stats: Option<Stats>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(crate) artifact: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(crate) tensorboard: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub(crate) alert: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "13")]
    pub(crate) output_raw: Option<Vec<u8>>,
    #[prost(message, optional, tag = "17")]
    pub(crate) run: Option<Run>,
    #[prost(bytes = "vec", optional, tag = "25")]
    pub(crate) used_artifact: Option<Vec<u8>>,
    #[prost(message, optional, tag = "18")]
    pub(crate) exit: Option<Exit>,
    #[prost(message, optional, tag = "26")]
    pub(crate) environment: Option<Environment>,
}

/// `HistoryRecord`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct History {
    #[prost(message, repeated, tag = "1")]
    pub(crate) item: Vec<Item>,
    #[prost(message, optional, tag = "2")]
    pub(crate) step: Option<Step>,
}

/// `HistoryStep`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Step {
    #[prost(int64, tag = "1")]
    pub(crate) num: i64,
}

/// `HistoryItem`, `SummaryItem`, `ConfigItem` and `StatsItem`, which agree.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Item {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) nested_key: Vec<String>,
    #[prost(string, tag = "16")]
    pub(crate) value_json: String,
}

impl Item {
    /// The names on the way to the value: one, or those of a nested key.
    pub(crate) fn path(&self) -> &[String] {
        if self.key.is_empty() { &self.nested_key } else { std::slice::from_ref(&self.key) }
    }

    /// The key, with `.` between the parts of a nested one.
    pub(crate) fn full_key(&self) -> String {
        if self.key.is_empty() { self.nested_key.join(".") } else { self.key.clone() }
    }
}

/// `ConfigRecord` and `SummaryRecord`, which agree.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Config {
    #[prost(message, repeated, tag = "1")]
    pub(crate) update: Vec<Item>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) remove: Vec<Item>,
}

/// `StatsRecord`: measurements of the machine.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Stats {
    #[prost(message, optional, tag = "2")]
    pub(crate) timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) item: Vec<Item>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl Timestamp {
    /// Milliseconds since epoch; what is below one is cut off.
    pub(crate) fn to_ms(&self) -> Option<i64> {
        self.seconds.checked_mul(1000)?.checked_add(i64::from(self.nanos).div_euclid(1_000_000))
    }
}

/// `RunRecord`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Run {
    #[prost(string, tag = "1")]
    pub(crate) run_id: String,
    #[prost(string, tag = "2")]
    pub(crate) entity: String,
    #[prost(string, tag = "3")]
    pub(crate) project: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) config: Option<Config>,
    #[prost(string, tag = "6")]
    pub(crate) run_group: String,
    #[prost(string, tag = "7")]
    pub(crate) job_type: String,
    #[prost(string, tag = "8")]
    pub(crate) display_name: String,
    #[prost(string, tag = "9")]
    pub(crate) notes: String,
    #[prost(string, repeated, tag = "10")]
    pub(crate) tags: Vec<String>,
    #[prost(string, tag = "12")]
    pub(crate) sweep_id: String,
    #[prost(string, tag = "13")]
    pub(crate) host: String,
    #[prost(message, optional, tag = "17")]
    pub(crate) start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "21")]
    pub(crate) git: Option<Git>,
}

/// `GitRepoRecord`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Git {
    #[prost(string, tag = "1")]
    pub(crate) remote_url: String,
    #[prost(string, tag = "2")]
    pub(crate) commit: String,
}

/// `EnvironmentRecord`: the script and its machine.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Environment {
    #[prost(string, tag = "1")]
    pub(crate) os: String,
    #[prost(string, tag = "2")]
    pub(crate) python: String,
    #[prost(string, repeated, tag = "5")]
    pub(crate) args: Vec<String>,
    #[prost(string, tag = "6")]
    pub(crate) program: String,
    #[prost(message, optional, tag = "9")]
    pub(crate) git: Option<Git>,
    #[prost(string, tag = "18")]
    pub(crate) gpu: String,
}

/// `RunExitRecord`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Exit {
    #[prost(int32, tag = "1")]
    pub(crate) exit_code: i32,
    /// Seconds.
    #[prost(int32, tag = "2")]
    pub(crate) runtime: i32,
}
