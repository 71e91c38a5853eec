//! A serverless cache, which AWS scales between bounds. Each change is made without interruption.

use super::{Call, Phase, engine_effect, phase, user, version_effect};
use crate::{
    managed::{Change, Effect, Setting, Settings, Value, difference, is_key_met},
    platform::{AwsCache, Platform, cache::Bounds, database::Subnets},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Settings of a serverless cache. The order is that of the tables in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerlessSetting {
    /// Valkey or Redis OSS.
    Engine,
    /// Major version of the engine; AWS chooses the minor one.
    MajorVersion,
    /// Least storage in GB; 0: AWS's own.
    MinStorage,
    /// Most storage in GB.
    MaxStorage,
    /// Least processing units a second; 0: AWS's own.
    MinEcpu,
    /// Most processing units a second.
    MaxEcpu,
    /// Subnets.
    Subnets,
    /// Security groups.
    SecurityGroups,
    /// User group.
    UserGroup,
    /// With which KMS key it is encrypted.
    KmsKey,
    /// Days that automatic snapshots are kept.
    SnapshotRetention,
    /// When they are taken.
    SnapshotTime,
}

use ServerlessSetting as S;

impl Setting for ServerlessSetting {
    const ALL: &'static [Self] = &[
        S::Engine,
        S::MajorVersion,
        S::MinStorage,
        S::MaxStorage,
        S::MinEcpu,
        S::MaxEcpu,
        S::Subnets,
        S::SecurityGroups,
        S::UserGroup,
        S::KmsKey,
        S::SnapshotRetention,
        S::SnapshotTime,
    ];

    fn field(self) -> &'static str {
        match self {
            S::Engine => "engine",
            S::MajorVersion => "version",
            S::MinStorage => "serverless.minStorageGB",
            S::MaxStorage => "serverless.maxStorageGB",
            S::MinEcpu => "serverless.minECPUPerSecond",
            S::MaxEcpu => "serverless.maxECPUPerSecond",
            S::Subnets => "network.subnetIDs",
            S::SecurityGroups => "network.securityGroupIDs",
            S::UserGroup => "user group",
            S::KmsKey => "kmsKeyID",
            S::SnapshotRetention => "snapshots.retentionDays",
            S::SnapshotTime => "snapshots.window",
        }
    }

    fn effect(self, from: Option<&Value>, to: &Value) -> Effect {
        match self {
            S::Engine => engine_effect(to),
            S::MajorVersion => version_effect(from, to),
            // Whoever logged in otherwise is kept out from then on.
            S::UserGroup => Effect::Restarts,
            S::Subnets | S::KmsKey => Effect::Impossible,
            S::MinStorage
            | S::MaxStorage
            | S::MinEcpu
            | S::MaxEcpu
            | S::SecurityGroups
            | S::SnapshotRetention
            | S::SnapshotTime => Effect::Online,
        }
    }

    fn is_met(self, wanted: &Value, seen: &Value) -> bool {
        match self {
            S::KmsKey => is_key_met(wanted.text(), seen.text()),
            _ => wanted == seen,
        }
    }
}

/// A serverless cache as ElastiCache describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Serverless {
    /// Its name.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// AWS's word for its state.
    pub status: String,
    /// Host and port.
    pub endpoint: Option<(String, u16)>,
    /// Version that runs, in full.
    pub version: Option<String>,
    /// Its settings.
    pub settings: Settings<ServerlessSetting>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

impl Serverless {
    /// What its state means.
    #[must_use]
    pub fn phase(&self) -> Phase {
        phase(&self.status)
    }
}

/// What a serverless cache shall be.
#[must_use]
pub fn desired(platform: &Platform, cache: &AwsCache, bounds: Bounds) -> Settings<S> {
    let Bounds { storage, ecpu } = bounds;
    let time = cache.snapshot_window.split('-').next().unwrap_or_default();
    let mut wanted = Settings::from([
        (S::Engine, Value::from(cache.engine_name())),
        (S::MajorVersion, cache.major_version().into()),
        (S::MinStorage, storage.0.into()),
        (S::MaxStorage, storage.1.into()),
        (S::MinEcpu, ecpu.0.into()),
        (S::MaxEcpu, ecpu.1.into()),
        (S::SnapshotRetention, cache.snapshot_retention_days.into()),
        (S::SnapshotTime, time.into()),
    ]);
    if cache.tls {
        wanted.insert(S::UserGroup, user::group_identifier(platform).into());
    }
    if let Subnets::Ids(subnets) = &cache.subnets {
        wanted.insert(S::Subnets, subnets.clone().into());
    }
    if !cache.security_groups.is_empty() {
        wanted.insert(S::SecurityGroups, cache.security_groups.clone().into());
    }
    wanted.extend(cache.kms_key_id.clone().map(|key| (S::KmsKey, key.into())));
    wanted
}

/// How a serverless cache differs from what it shall be.
#[must_use]
pub fn changes(wanted: &Settings<S>, cache: &Serverless) -> Vec<Change<S>> {
    difference(wanted, &cache.settings, &Settings::new())
}

/// The call that makes changes; none: there are none.
#[must_use]
pub fn next(wanted: &Settings<S>, cache: &Serverless, changes: &[Change<S>]) -> Option<Call> {
    let mut settings: Settings<S> =
        changes.iter().map(|change| (change.setting, change.to.clone())).collect();
    // A pair of bounds is set as a whole.
    for pair in [[S::MinStorage, S::MaxStorage], [S::MinEcpu, S::MaxEcpu]] {
        if pair.iter().any(|bound| settings.contains_key(bound)) {
            settings.extend(pair.into_iter().filter_map(|bound| Some((bound, wanted.get(&bound)?.clone()))));
        }
    }
    (!settings.is_empty()).then(|| Call::ModifyServerless { identifier: cache.identifier.clone(), settings })
}
