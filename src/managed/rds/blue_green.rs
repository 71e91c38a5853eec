//! A blue/green deployment: the instance in use (blue), and one (green) that follows it on another version until it
//! takes its name and endpoint at the switch-over.

use super::{
    Call,
    instance::{Instance, InstanceSetting},
    parameter_group,
};
use crate::{
    api::MajorUpgrades,
    managed::{Effect, Setting, Value},
    platform::{Platform, database::AwsDatabase},
};
use std::collections::BTreeMap;

/// The parameter that lets green follow blue on another major version.
pub const REPLICATION: &str = "rds.logical_replication";

/// Values of the tag [`TAG_UPGRADE`](crate::api::names::TAG_UPGRADE): on blue before the first try to switch over; later
/// the approval that the last try was made with.
pub const PREPARING: &str = "preparing";
/// On green.
pub const GREEN: &str = "green";
/// On what was blue, once green has its place.
pub const REPLACED: &str = "replaced";

/// Longest name of a deployment: the API reference's `CreateBlueGreenDeployment`.
const NAME: usize = 60;

/// A blue/green deployment as RDS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// What names it for ever.
    pub identifier: String,
    /// Its name.
    pub name: String,
    /// Identifier of the blue instance; after the switch-over its new one.
    pub source: String,
    /// Identifier of the green instance; after the switch-over that which blue had. Empty: there is none yet.
    pub target: String,
    /// AWS's word for its state.
    pub status: String,
    /// What AWS adds to that.
    pub details: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What a state means: the API reference's `BlueGreenDeployment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Green is being made.
    Provisioning,
    /// Green follows blue.
    Ready,
    /// Green took blue's place.
    SwitchedOver,
    /// Green can't take blue's place.
    Invalid,
    /// It was tried, and all is as before.
    SwitchoverFailed,
    /// AWS is at it: it switches over, or deletes the deployment.
    Moving,
}

impl Deployment {
    /// What its state means.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.status.as_str() {
            "PROVISIONING" => Stage::Provisioning,
            "AVAILABLE" => Stage::Ready,
            "SWITCHOVER_COMPLETED" => Stage::SwitchedOver,
            "INVALID_CONFIGURATION" => Stage::Invalid,
            "SWITCHOVER_FAILED" => Stage::SwitchoverFailed,
            // SWITCHOVER_IN_PROGRESS, DELETING, and what AWS adds.
            _ => Stage::Moving,
        }
    }

    /// Whether an instance takes part in it.
    #[must_use]
    pub fn concerns(&self, instance: &str) -> bool {
        self.source == instance || self.target == instance
    }

    /// Whether an instance is its green one, which nobody uses.
    #[must_use]
    pub fn has_green(&self, instance: &str) -> bool {
        self.target == instance && self.stage() != Stage::SwitchedOver
    }
}

/// The database as it shall be until a blue/green upgrade switches over: with the major version that runs. None: no
/// such upgrade is ahead.
#[must_use]
pub fn blue(wanted: &AwsDatabase, instance: Option<&Instance>) -> Option<AwsDatabase> {
    let running = instance?.settings.get(&InstanceSetting::EngineVersion)?;
    let version = Value::from(wanted.version.clone());
    let is_major = InstanceSetting::EngineVersion.effect(Some(running), &version) == Effect::Replaces;
    let major = running.text().split('.').next().unwrap_or_default();
    (wanted.major_upgrades == MajorUpgrades::BlueGreen && is_major)
        .then(|| AwsDatabase { version: major.to_owned(), ..wanted.clone() })
}

/// Name of the deployment that brings the wanted version.
#[must_use]
pub fn name(platform: &Platform, wanted: &AwsDatabase) -> String {
    platform.aws_identifier(&format!("to-{}", wanted.version.replace('.', "-")), NAME)
}

/// The call that makes the deployment of an instance.
#[must_use]
pub fn create(
    platform: &Platform,
    wanted: &AwsDatabase,
    instance: &Instance,
    tags: BTreeMap<String, String>,
) -> Call {
    Call::CreateDeployment {
        name: name(platform, wanted),
        source: instance.arn.clone(),
        version: wanted.version.clone(),
        parameter_group: parameter_group::name(platform, wanted),
        tags,
    }
}
