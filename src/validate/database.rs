//! A database in AWS: what is left out is decided by the size of the platform.

use super::Findings;
use crate::{
    api::{
        self, AwsDatabase as Spec, DatabaseDeletionPolicy, DatabaseEngine, LogExport, MajorUpgrades, Size,
        VolumeType,
    },
    apply::rds_ca,
    managed::rds::blue_green,
    platform::{
        AwsDatabase, Platform,
        database::{
            Capacity, Engine, InstanceStorage, Network, Proxy, Restore, RestoreDrill, RestoreSource, Subnets,
            Window,
        },
        schedule::Schedule,
    },
    quantity,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

/// Longest identifier: AWS takes 63 characters; what a restore and the number of an instance add must fit.
const IDENTIFIER: usize = 48;
/// Version where the spec names none.
const VERSION: &str = "16";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a size stands for.
struct Defaults {
    class: &'static str,
    gib: i64,
    max_gib: i64,
    multi_az: bool,
    /// In halves of a unit.
    capacity: (i64, i64),
    readers: u8,
    insights: bool,
}

fn defaults(size: Size) -> Defaults {
    match size {
        Size::Small => Defaults {
            class: "db.t4g.micro",
            gib: 20,
            max_gib: 100,
            multi_az: false,
            capacity: (1, 4),
            readers: 0,
            insights: false,
        },
        Size::Medium => Defaults {
            class: "db.t4g.medium",
            gib: 50,
            max_gib: 200,
            multi_az: true,
            capacity: (1, 8),
            readers: 1,
            insights: true,
        },
        Size::Large => Defaults {
            class: "db.r6g.large",
            gib: 100,
            max_gib: 1000,
            multi_az: true,
            capacity: (4, 32),
            readers: 1,
            insights: true,
        },
    }
}

/// Decides every field. `None`: something is wrong, and was found.
pub(super) fn resolve(
    spec: &api::Database,
    platform: &Platform,
    findings: &mut Findings,
) -> Option<AwsDatabase> {
    let deletion_policy = spec.deletion_policy.unwrap_or(DatabaseDeletionPolicy::Snapshot);
    let spec = spec.aws.clone().unwrap_or_default();
    let before = findings.0.len();
    let defaults = defaults(platform.size);
    let backup = spec.backup.clone().unwrap_or_default();
    let maintenance = spec.maintenance.clone().unwrap_or_default();
    let window_text = maintenance.window.as_deref().unwrap_or("sun:03:00-sun:04:00");
    let window = Window::parse(window_text);
    if window.is_none() {
        findings.invalid(
            "spec.database.aws.maintenance.window",
            "must be a window of at least 30 minutes such as sun:03:00-sun:04:00, in UTC",
        );
    }
    let backup_window = backup.window.unwrap_or_else(|| "01:30-02:30".to_owned());
    if window.is_some_and(|window| window.overlaps_daily(&backup_window)) {
        findings.invalid(
            "spec.database.aws.backup.window",
            format!("{backup_window} overlaps the maintenance window {window_text}, which AWS refuses; move one of them"),
        );
    }
    let network = network(&spec);
    if !network.tls && platform.aws.as_ref().is_none_or(|aws| aws.endpoint_url.is_none()) {
        findings.invalid(
            "spec.database.aws.network.tls",
            "only an emulator (spec.aws.endpointURL) may do without TLS; leave it out",
        );
    }
    let engine = engine(&spec, &defaults, findings);
    let proxy = spec.proxy.clone().map(|it| proxy(it, &network, &engine, findings));
    let region = platform.aws.as_ref().map(|aws| aws.region.as_str()).unwrap_or_default();
    if network.tls && !region.is_empty() && rds_ca::of_region(region).is_none() {
        findings.invalid(
            "spec.aws.region",
            format!("the operator has no certificate authority of RDS for {region}; use provider External with a Secret of your own, or a newer operator"),
        );
    }
    let resolved = AwsDatabase {
        engine,
        version: spec.version.clone().unwrap_or_else(|| VERSION.to_owned()),
        auto_minor_version_upgrade: spec.auto_minor_version_upgrade.unwrap_or(true),
        major_upgrades: spec.major_upgrades.unwrap_or_default(),
        base_identifier: spec
            .identifier
            .clone()
            .unwrap_or_else(|| platform.aws_identifier("database", IDENTIFIER)),
        restore: spec.restore.as_ref().map(restore),
        adopt: spec.adopt.unwrap_or_default(),
        management: spec.management.unwrap_or_default(),
        database_name: spec.database_name.clone().unwrap_or_else(|| "platform".to_owned()),
        master_username: spec.master_username.clone().unwrap_or_else(|| "postgres".to_owned()),
        master_password: spec.master_password.unwrap_or_default(),
        network,
        kms_key_id: spec.kms_key_id.clone(),
        parameters: parameters(&spec, findings),
        backup_retention_days: backup.retention_days.unwrap_or(7).into(),
        backup_window,
        maintenance_window: window?,
        restarts: maintenance.restarts.unwrap_or_default(),
        deletion_protection: spec.deletion_protection.unwrap_or(true),
        deletion_protection_is_given: spec.deletion_protection.is_some(),
        performance_insights_days: match spec.performance_insights_retention_days {
            Some(0) => None,
            Some(days) => Some(days.into()),
            None => defaults.insights.then_some(7),
        },
        monitoring: spec.monitoring.map(|it| (it.interval_seconds.into(), it.role_arn)),
        log_exports: spec.log_exports.unwrap_or_default().into_iter().map(log_name).collect(),
        proxy,
        login_rotation_interval: match spec.login_rotation_interval {
            Some(interval) if Duration::from(interval).is_zero() => None,
            interval => Some(span("loginRotationInterval", interval, 30 * DAY, HOUR..=365 * DAY, findings)),
        },
        drift_policy: spec.drift_policy.unwrap_or_default(),
        deletion_policy,
        when_suspended: spec.when_suspended.unwrap_or_default(),
        restore_drill: spec.restore_drill.and_then(|drill| restore_drill(drill, findings)),
    };
    (findings.0.len() == before).then_some(resolved)
}

fn engine(spec: &Spec, defaults: &Defaults, findings: &mut Findings) -> Engine {
    match spec.engine.unwrap_or_default() {
        DatabaseEngine::PostgreSQL => Engine::Instance {
            class: spec.instance_class.clone().unwrap_or_else(|| defaults.class.to_owned()),
            storage: storage(spec, defaults, findings),
            multi_az: spec.multi_az.unwrap_or(defaults.multi_az),
        },
        DatabaseEngine::AuroraPostgreSQL => {
            let (class, capacity) = match &spec.instance_class {
                Some(class) => (class.clone(), None),
                None => ("db.serverless".to_owned(), Some(capacity(spec, defaults, findings))),
            };
            let readers =
                spec.readers.map_or(defaults.readers, |it| u8::try_from(it.clamp(0, 15)).unwrap_or_default());
            Engine::Aurora { class, capacity, readers }
        }
    }
}

fn storage(spec: &Spec, defaults: &Defaults, findings: &mut Findings) -> InstanceStorage {
    let storage = spec.storage.clone().unwrap_or_default();
    let mut gib = |field: &str, text: Option<String>, default: i64| match text {
        None => default,
        Some(text) => quantity::gib(&text).unwrap_or_else(|| {
            findings.invalid(
                format!("spec.database.aws.storage.{field}"),
                "must be a whole number of GiB such as 20Gi",
            );
            default
        }),
    };
    let size = gib("size", storage.size.map(|it| it.0), defaults.gib);
    let max = gib("maxSize", storage.max_size.map(|it| it.0), defaults.max_gib.max(size));
    let kind = storage.kind.unwrap_or_default();
    if kind == VolumeType::Io2 && storage.iops.is_none() {
        findings.invalid("spec.database.aws.storage.iops", "required by type io2");
    }
    if kind == VolumeType::Io2 && storage.throughput_mibps.is_some() {
        findings.invalid("spec.database.aws.storage.throughputMiBps", "belongs to type gp3; take it out");
    }
    InstanceStorage {
        kind,
        gib: size,
        max_gib: (max > size).then_some(max),
        iops: storage.iops.map(Into::into),
        throughput: storage.throughput_mibps.map(Into::into),
    }
}

fn capacity(spec: &Spec, defaults: &Defaults, findings: &mut Findings) -> Capacity {
    let (min_halves, max_halves) = defaults.capacity;
    let Some(serverless) = &spec.serverless else {
        return Capacity { min_halves, max_halves, auto_pause_after: None };
    };
    let mut halves = |field: &str, text: &str| {
        let halves = quantity::nanos(text).and_then(|it| (it % 500_000_000 == 0).then_some(it / 500_000_000));
        halves.and_then(|it| i64::try_from(it).ok()).unwrap_or_else(|| {
            let field = format!("spec.database.aws.serverless.{field}");
            findings.invalid(field, "must be a multiple of 0.5 such as \"0.5\" or \"4\"");
            1
        })
    };
    let (min_halves, max_halves) =
        (halves("minACU", &serverless.min_acu.0), halves("maxACU", &serverless.max_acu.0));
    let five_minutes = Duration::from_secs(300);
    let auto_pause_after = (min_halves == 0).then(|| {
        span(
            "serverless.autoPauseAfter",
            serverless.auto_pause_after,
            five_minutes,
            five_minutes..=DAY,
            findings,
        )
    });
    Capacity { min_halves, max_halves, auto_pause_after }
}

fn network(spec: &Spec) -> Network {
    let network = spec.network.clone().unwrap_or_default();
    let subnets = match (network.subnet_group_name, network.subnet_ids) {
        (Some(name), _) => Subnets::Group(name),
        (None, Some(ids)) => Subnets::Ids(ids.into_iter().collect()),
        (None, None) => Subnets::Default,
    };
    Network {
        subnets,
        security_groups: network.security_group_ids.unwrap_or_default().into_iter().collect(),
        ca_certificate: network.ca_certificate_identifier,
        tls: network.tls.unwrap_or(true),
    }
}

/// The proxy: what is left out is as for the database, or AWS's default.
fn proxy(spec: api::Proxy, network: &Network, engine: &Engine, findings: &mut Findings) -> Proxy {
    let subnets = match (spec.subnet_ids, &network.subnets) {
        (Some(ids), _) => ids.into_iter().collect(),
        (None, Subnets::Ids(ids)) => ids.clone(),
        (None, Subnets::Default | Subnets::Group(_)) => BTreeSet::new(),
    };
    let groups = spec.security_group_ids.map(|ids| ids.into_iter().collect());
    if matches!(engine, Engine::Aurora { capacity: Some(Capacity { min_halves: 0, .. }), .. }) {
        findings.invalid(
            "spec.database.aws.serverless.minACU",
            "must be at least \"0.5\" with a proxy: it keeps a connection open, and Aurora never pauses",
        );
    }
    let max_connections_percent = spec.max_connections_percent.unwrap_or(100);
    let max_idle_connections_percent =
        spec.max_idle_connections_percent.unwrap_or(max_connections_percent / 2);
    if max_idle_connections_percent > max_connections_percent {
        findings.invalid(
            "spec.database.aws.proxy.maxIdleConnectionsPercent",
            format!("must not be above maxConnectionsPercent, which is {max_connections_percent}"),
        );
    }
    let second = Duration::from_secs(1);
    Proxy {
        role: spec.role_arn,
        subnets,
        security_groups: groups.unwrap_or_else(|| network.security_groups.clone()),
        idle_client_timeout: span(
            "proxy.idleClientTimeout",
            spec.idle_client_timeout,
            HOUR / 2,
            second..=8 * HOUR,
            findings,
        ),
        borrow_timeout: span(
            "proxy.connectionBorrowTimeout",
            spec.connection_borrow_timeout,
            HOUR / 30,
            second..=HOUR / 12,
            findings,
        ),
        max_connections_percent: max_connections_percent.into(),
        max_idle_connections_percent: max_idle_connections_percent.into(),
    }
}

/// The parameters; green follows blue by logical replication.
fn parameters(spec: &Spec, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut parameters = spec.parameters.clone();
    if spec.major_upgrades.unwrap_or_default() == MajorUpgrades::BlueGreen {
        let value = parameters.entry(blue_green::REPLICATION.to_owned()).or_insert_with(|| "1".to_owned());
        if value != "1" {
            findings.invalid(
                format!("spec.database.aws.parameters[{}]", blue_green::REPLICATION),
                "must be 1 with majorUpgrades BlueGreen; take it out",
            );
        }
    }
    parameters
}

fn restore(spec: &api::Restore) -> Restore {
    let source = match &spec.snapshot_identifier {
        Some(snapshot) => RestoreSource::Snapshot(snapshot.clone()),
        None => RestoreSource::PointInTime {
            from: spec.from_identifier.clone(),
            time: spec.time.as_ref().map(|time| time.0),
        },
    };
    Restore { name: spec.name.clone(), source }
}

fn restore_drill(spec: api::RestoreDrill, findings: &mut Findings) -> Option<RestoreDrill> {
    let api::RestoreDrill { schedule, query, instance_class: class, timeout } = spec;
    let timeout = span("restoreDrill.timeout", timeout, 4 * HOUR, HOUR / 2..=DAY, findings);
    match Schedule::parse(&schedule) {
        Ok(schedule) => Some(RestoreDrill { schedule, query, class, timeout }),
        Err(error) => {
            findings.invalid(
                "spec.database.aws.restoreDrill.schedule",
                format!(
                    "{schedule:?} is no schedule ({error}); write minute, hour, day of the month, month and day of the week as in a CronJob, such as \"0 5 * * 0\""
                ),
            );
            None
        }
    }
}

fn log_name(log: LogExport) -> String {
    match log {
        LogExport::PostgreSQL => "postgresql",
        LogExport::Upgrade => "upgrade",
    }
    .to_owned()
}

fn span(
    field: &str,
    value: Option<kube::core::Duration>,
    default: Duration,
    bounds: RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Duration {
    super::duration(&format!("spec.database.aws.{field}"), value, default, bounds, findings)
}
