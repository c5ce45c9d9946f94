//! The status in one piece, as it goes over the wire and as `forewarn status` reads it. Fields may be added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct Status {
    pub version: String,
    pub revision: String,
    /// RFC 3339.
    pub now: String,
    pub started_at: String,
    pub alive: bool,
    pub ready: bool,
    /// What does not hold at present, in words.
    pub missing: Vec<String>,
    /// One line: what the daemon does at present.
    pub doing: String,
    pub records: u64,
    pub rejected: u64,
    pub member: MemberStatus,
    pub shards: Vec<ShardStatus>,
    pub lag: Vec<LagStatus>,
    pub checkpoint: CheckpointStatus,
    pub rules: RuleStatus,
    pub reload: ReloadStatus,
    /// [`None`] where no location database is configured.
    pub geo: Option<GeoStatus>,
    pub incidents_open: u64,
    pub outbox: OutboxStatus,
    /// The latest first.
    pub errors: Vec<ErrorStatus>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct MemberStatus {
    pub group: String,
    /// Partitions of which this process is in charge, and all.
    pub assigned: u64,
    pub partitions: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct ShardStatus {
    pub shard: u32,
    /// The shard's event time; empty before its first event.
    pub time: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct LagStatus {
    pub topic: String,
    pub partition: u32,
    pub records: i64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct CheckpointStatus {
    pub completed: u64,
    /// Since the last one; [`None`] before the first.
    pub age_seconds: Option<f64>,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct RuleStatus {
    pub active: u64,
    pub shadow: u64,
    pub paused: u64,
    /// Subjects and bytes that all rules hold.
    pub subjects: u64,
    pub bytes: u64,
    /// Of the whole set: another one whenever a rule changes, comes or goes.
    pub version: String,
    /// Rules that are not heard yet.
    pub warming: Vec<WarmingStatus>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct WarmingStatus {
    pub rule: String,
    /// RFC 3339, event time; empty while what there is of history is read.
    pub until: String,
}

/// The last change of the rules, or attempt at one, since the start.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct ReloadStatus {
    /// When it was tried last; empty: not yet.
    pub at: String,
    pub successful: bool,
    /// What was wrong; empty where it succeeded.
    pub error: String,
    pub failed: u64,
    /// For so long it stopped reading.
    pub pause_seconds: Option<f64>,
}

/// How the location files fare.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct GeoStatus {
    /// How often newer files took the place of those read before.
    pub reloads: u64,
    /// How often they could not be used.
    pub failures: u64,
    /// Why the newest files are not in use; [`None`] where they are.
    pub problem: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct OutboxStatus {
    pub waiting: u64,
    pub oldest_age_seconds: Option<f64>,
    /// By reason.
    pub held: BTreeMap<String, u64>,
    pub unknown: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct ErrorStatus {
    pub at: String,
    pub level: String,
    pub message: String,
}
