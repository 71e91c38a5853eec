//! A cache in AWS: what is left out is decided by the size of the platform.

use super::Findings;
use crate::{
    api::{self, AwsCache as Spec, CacheEngine, DatabaseDeletionPolicy, LogDelivery, Size},
    platform::{
        AwsCache, Platform,
        cache::{Bounds, LogDestination, Nodes, Shape},
        database::{Subnets, Window},
    },
};
use std::time::Duration;

/// Longest identifier of a replication group (ElastiCache API Reference, `CreateReplicationGroup`).
const IDENTIFIER: usize = 40;
/// Shortest maintenance window, in minutes (ElastiCache API Reference, `CreateReplicationGroup`).
const SHORTEST_WINDOW: u32 = 60;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a size stands for.
struct Defaults {
    node_type: &'static str,
    replicas: i32,
    /// GB and ElastiCache Processing Units a second of a serverless cache, at most.
    most: (i32, i32),
}

fn defaults(size: Size) -> Defaults {
    match size {
        Size::Small => Defaults { node_type: "cache.t4g.micro", replicas: 0, most: (5, 5_000) },
        Size::Medium => Defaults { node_type: "cache.t4g.small", replicas: 1, most: (20, 20_000) },
        Size::Large => Defaults { node_type: "cache.r7g.large", replicas: 2, most: (100, 100_000) },
    }
}

/// Decides every field. `None`: something is wrong, and was found.
pub(super) fn resolve(spec: &api::Cache, platform: &Platform, findings: &mut Findings) -> Option<AwsCache> {
    let deletion_policy = spec.deletion_policy.unwrap_or(DatabaseDeletionPolicy::Snapshot);
    let spec = spec.aws.clone().unwrap_or_default();
    let before = findings.0.len();
    let defaults = defaults(platform.size);
    // Valkey costs less on ElastiCache, and its licence stays open; Redis OSS ends with 7.1 there.
    let engine = spec.engine.unwrap_or_default();
    let version = match engine {
        CacheEngine::Valkey => "8.0",
        CacheEngine::Redis => "7.1",
    };
    let network = spec.network.clone().unwrap_or_default();
    let tls = network.tls.unwrap_or(true);
    if !tls && platform.aws.as_ref().is_none_or(|aws| aws.endpoint_url.is_none()) {
        findings.invalid(
            "spec.cache.aws.network.tls",
            "only an emulator (spec.aws.endpointURL) may do without TLS; leave it out",
        );
    }
    let snapshots = spec.snapshots.clone().unwrap_or_default();
    let snapshot_window = snapshots.window.unwrap_or_else(|| "01:30-02:30".to_owned());
    let shape = match &spec.serverless {
        Some(bounds) => Shape::Serverless(serverless(bounds, &defaults)),
        None => Shape::Nodes(nodes(&spec, &defaults, &snapshot_window, findings)?),
    };
    let resolved = AwsCache {
        engine,
        version: spec.version.clone().unwrap_or_else(|| version.to_owned()),
        shape,
        identifier: spec
            .identifier
            .clone()
            .unwrap_or_else(|| platform.aws_identifier(api::names::CACHE, IDENTIFIER)),
        adopt: spec.adopt.unwrap_or_default(),
        management: spec.management.unwrap_or_default(),
        subnets: match (network.subnet_group_name, network.subnet_ids) {
            (Some(name), _) => Subnets::Group(name),
            (None, Some(ids)) => Subnets::Ids(ids.into_iter().collect()),
            (None, None) => Subnets::Default,
        },
        security_groups: network.security_group_ids.unwrap_or_default().into_iter().collect(),
        tls,
        kms_key_id: spec.kms_key_id.clone(),
        snapshot_retention_days: snapshots.retention_days.unwrap_or(1).into(),
        snapshot_window,
        login_rotation_interval: match spec.login_rotation_interval {
            Some(interval) if Duration::from(interval).is_zero() => None,
            interval => Some(super::duration(
                "spec.cache.aws.loginRotationInterval",
                interval,
                30 * DAY,
                HOUR..=365 * DAY,
                findings,
            )),
        },
        drift_policy: spec.drift_policy.unwrap_or_default(),
        deletion_policy,
    };
    (findings.0.len() == before).then_some(resolved)
}

fn nodes(spec: &Spec, defaults: &Defaults, snapshots: &str, findings: &mut Findings) -> Option<Nodes> {
    let maintenance = spec.maintenance.clone().unwrap_or_default();
    let text = maintenance.window.as_deref().unwrap_or("sun:03:00-sun:04:00");
    let window = Window::parse(text).filter(|window| window.minutes() >= SHORTEST_WINDOW);
    if window.is_none() {
        findings.invalid(
            "spec.cache.aws.maintenance.window",
            "must be a window of at least an hour such as sun:03:00-sun:04:00, in UTC",
        );
    }
    if window.is_some_and(|window| window.overlaps_daily(snapshots)) {
        findings.invalid(
            "spec.cache.aws.snapshots.window",
            format!("{snapshots} overlaps the maintenance window {text}, in which no snapshot is taken; move one of them"),
        );
    }
    let replicas = spec.replicas.unwrap_or(defaults.replicas);
    if spec.multi_az == Some(true) && replicas < 1 {
        findings.invalid(
            "spec.cache.aws.multiAZ",
            "needs a replica; set replicas to 1 or more, or size to Medium",
        );
    }
    Some(Nodes {
        node_type: spec.node_type.clone().unwrap_or_else(|| defaults.node_type.to_owned()),
        replicas: replicas.into(),
        shards: spec.shards.map(Into::into),
        multi_az: spec.multi_az.unwrap_or(replicas > 0),
        auto_minor_version_upgrade: spec.auto_minor_version_upgrade.unwrap_or(true),
        parameters: spec.parameters.clone(),
        snapshot_name: spec.snapshot_name.clone(),
        maintenance_window: window?,
        restarts: maintenance.restarts.unwrap_or_default(),
        logs: spec
            .log_delivery
            .iter()
            .flatten()
            .filter_map(|delivery| Some((delivery.log, destination(delivery, findings)?)))
            .collect(),
    })
}

fn destination(delivery: &LogDelivery, findings: &mut Findings) -> Option<LogDestination> {
    match (&delivery.log_group, &delivery.delivery_stream) {
        (Some(group), None) => Some(LogDestination::LogGroup(group.clone())),
        (None, Some(stream)) => Some(LogDestination::DeliveryStream(stream.clone())),
        _ => {
            findings.invalid("spec.cache.aws.logDelivery", "set one of logGroup and deliveryStream");
            None
        }
    }
}

fn serverless(bounds: &api::ServerlessCache, defaults: &Defaults) -> Bounds {
    let (gigabytes, units) = defaults.most;
    let pair = |least: Option<i32>, most: Option<i32>, default: i32| {
        let least = least.unwrap_or_default();
        (i64::from(least), i64::from(most.unwrap_or_else(|| default.max(least))))
    };
    Bounds {
        storage: pair(bounds.min_storage_gb, bounds.max_storage_gb, gigabytes),
        ecpu: pair(bounds.min_ecpu_per_second, bounds.max_ecpu_per_second, units),
    }
}
