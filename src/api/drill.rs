//! `spec.database.aws.restoreDrill`, and what the status tells of restore drills.

use super::schema;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Restores the database into a scratch one time and again, asks it a query, and removes it. Never touches the
/// database itself. Costs the scratch instance for about an hour each time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreDrill {
    /// When, in the five fields of a CronJob and in UTC, such as `0 5 * * 0`: Sundays at five. One that was
    /// missed is made up for once.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = (r"self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|([0-9*/,?-]+ +){3}([0-9*/,?-]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))+ +([0-9*/,?-]|(?i:sun|mon|tue|wed|thu|fri|sat))+)$')",
        "database.aws.restoreDrill.schedule: minute, hour, day of the month, month and day of the week as in a CronJob, such as \"0 5 * * 0\"; in UTC"))]
    pub schedule: String,
    /// What the restored database is asked, in a read-only transaction as the platform's own user. The drill passes
    /// when this returns a row whose first column is neither null, false nor 0. When left out: whether there are
    /// tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
    /// Class of the scratch instance; that of the database when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^db\.[a-z0-9]+\.[a-z0-9]+$"))]
    pub instance_class: Option<String>,
    /// A drill that has no answer after so long has failed; 30m to 24h, 4h when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
}

/// The restore drills of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreDrillStatus {
    /// When the next one is due. In the past: it waits, and the message says for what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Time>,
    /// The one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningDrill>,
    /// The instance or cluster that a drill made and that is still there, and costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<String>,
    /// What it does or waits for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The last one that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FinishedDrill>,
    /// When the last one that passed ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_passed_at: Option<Time>,
}

/// A restore drill that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunningDrill {
    /// When it was due.
    pub slot: Time,
    /// When the restore was called.
    pub started_at: Time,
    /// The time whose state is restored, or a later one.
    pub restored_to: Time,
}

/// A restore drill that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinishedDrill {
    /// When it was due.
    pub slot: Time,
    /// When the restore was called.
    pub started_at: Time,
    /// When it ended; the scratch database is removed after that.
    pub finished_at: Time,
    /// Whether the restored database answered as it shall.
    pub passed: bool,
    /// Seconds from the call of the restore to the answer (recovery time objective); none: it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_seconds: Option<i64>,
    /// Seconds before the call of which what was written may be missing (recovery point objective), at most;
    /// none: it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<i64>,
    /// What came of it.
    pub message: String,
}
