//! A proxy before a database, and the secrets in Secrets Manager from which it reads the logins of the pods.

use super::Call;
use crate::{
    managed::{Change, Effect, Setting, Settings, Value, difference},
    platform::database::Proxy as Wanted,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Settings of a proxy. The order is that of the tables in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxySetting {
    /// Role that it reads secrets with.
    Role,
    /// Its subnets.
    Subnets,
    /// Its security groups.
    SecurityGroups,
    /// Whether it takes connections with TLS only.
    Tls,
    /// ARNs of the logins' secrets.
    Logins,
    /// Seconds after which an idle connection of a client is closed.
    IdleClientTimeout,
    /// Seconds that a client waits for a connection.
    BorrowTimeout,
    /// Share of the database's connections that it may use, in percent.
    MaxConnections,
    /// Share that it keeps open while nobody uses them, in percent.
    MaxIdleConnections,
}

use ProxySetting as S;

impl Setting for ProxySetting {
    const ALL: &'static [Self] = &[
        S::Role,
        S::Subnets,
        S::SecurityGroups,
        S::Tls,
        S::Logins,
        S::IdleClientTimeout,
        S::BorrowTimeout,
        S::MaxConnections,
        S::MaxIdleConnections,
    ];

    fn field(self) -> &'static str {
        match self {
            S::Role => "proxy.roleARN",
            S::Subnets => "proxy.subnetIDs",
            S::SecurityGroups => "proxy.securityGroupIDs",
            S::Tls => "network.tls",
            S::Logins => "secrets of the logins",
            S::IdleClientTimeout => "proxy.idleClientTimeout",
            S::BorrowTimeout => "proxy.connectionBorrowTimeout",
            S::MaxConnections => "proxy.maxConnectionsPercent",
            S::MaxIdleConnections => "proxy.maxIdleConnectionsPercent",
        }
    }

    fn effect(self, _: Option<&Value>, _: &Value) -> Effect {
        match self {
            S::Subnets => Effect::Impossible,
            S::Role
            | S::SecurityGroups
            | S::Tls
            | S::Logins
            | S::IdleClientTimeout
            | S::BorrowTimeout
            | S::MaxConnections
            | S::MaxIdleConnections => Effect::Online,
        }
    }
}

impl ProxySetting {
    /// Whether it is one of the target group's, which is changed by a call of its own.
    #[must_use]
    pub fn is_of_pool(self) -> bool {
        matches!(self, S::BorrowTimeout | S::MaxConnections | S::MaxIdleConnections)
    }
}

/// A proxy as RDS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// AWS's word for its state.
    pub status: String,
    /// Host that pods connect to.
    pub host: Option<String>,
    /// Its settings; without those of its pool until these were read.
    pub settings: Settings<ProxySetting>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
    /// The instances or clusters that it leads to, by identifier.
    pub targets: BTreeMap<String, Target>,
}

/// What a proxy leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// AWS's word for how the proxy gets on with it: `REGISTERING`, `AVAILABLE`, `UNAVAILABLE`.
    pub state: String,
    /// AWS's word for why it is not available, and what it adds.
    pub reason: Option<String>,
}

/// What the state of a proxy means: the API reference's `DBProxy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It can be changed.
    Settled,
    /// AWS is at it.
    Moving,
    /// It is being deleted.
    Deleting,
    /// It needs someone's help; what to do.
    Broken(&'static str),
}

impl Target {
    /// Whether the proxy reaches it.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == "AVAILABLE"
    }
}

impl Proxy {
    /// What its state means.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.status.as_str() {
            "available" => Phase::Settled,
            "deleting" => Phase::Deleting,
            "incompatible-network" => Phase::Broken(
                "check that its subnets have free addresses and that the VPC has DNS host names",
            ),
            "insufficient-resource-limits" => Phase::Broken(
                "the account has no more proxies or network interfaces to give; raise the quota",
            ),
            // creating, modifying, suspended, suspending, reactivating, and what AWS adds.
            _ => Phase::Moving,
        }
    }

    /// Whether pods that connect to it may go on: its settings are changed while it serves.
    #[must_use]
    pub fn serves(&self) -> bool {
        matches!(self.status.as_str(), "available" | "modifying")
    }

    /// Whether it reaches the database of that identifier.
    #[must_use]
    pub fn reaches(&self, database: &str) -> bool {
        self.serves() && self.targets.get(database).is_some_and(Target::is_available)
    }
}

/// A secret in Secrets Manager with the login of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginSecret {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Versions that bear a label, which are kept.
    pub versions: BTreeSet<String>,
    /// The version that is read.
    pub current: Option<String>,
}

/// The settings that a proxy shall have. `logins`: ARNs of the secrets that it reads.
#[must_use]
pub fn desired(wanted: &Wanted, tls: bool, logins: BTreeSet<String>) -> Settings<ProxySetting> {
    let seconds = |it: std::time::Duration| Value::from(i64::try_from(it.as_secs()).unwrap_or(i64::MAX));
    let mut settings = Settings::from([
        (S::Role, wanted.role.clone().into()),
        (S::Subnets, wanted.subnets.clone().into()),
        (S::Tls, tls.into()),
        (S::Logins, logins.into()),
        (S::IdleClientTimeout, seconds(wanted.idle_client_timeout)),
        (S::BorrowTimeout, seconds(wanted.borrow_timeout)),
        (S::MaxConnections, wanted.max_connections_percent.into()),
        (S::MaxIdleConnections, wanted.max_idle_connections_percent.into()),
    ]);
    if !wanted.security_groups.is_empty() {
        settings.insert(S::SecurityGroups, wanted.security_groups.clone().into());
    }
    settings
}

/// What of a proxy is not as it shall be.
#[must_use]
pub fn changes(wanted: &Settings<ProxySetting>, proxy: &Proxy) -> Vec<Change<ProxySetting>> {
    difference(wanted, &proxy.settings, &Settings::new())
}

/// The call that makes changes of a proxy, and the changes that it makes: AWS does not change a pool while it changes
/// its proxy, and takes the settings of a pool as a whole.
#[must_use]
pub fn modify(
    wanted: &Settings<ProxySetting>,
    proxy: &Proxy,
    changes: Vec<Change<ProxySetting>>,
) -> (Call, Vec<Change<ProxySetting>>) {
    let (of_pool, of_proxy): (Vec<_>, Vec<_>) = changes.into_iter().partition(|it| it.setting.is_of_pool());
    let pool = of_proxy.is_empty();
    let now = if pool { of_pool } else { of_proxy };
    let is_sent = |setting: &ProxySetting| {
        if pool { setting.is_of_pool() } else { now.iter().any(|it| it.setting == *setting) }
    };
    let settings = wanted.iter().filter(|(setting, _)| is_sent(setting));
    let settings = settings.map(|(setting, value)| (*setting, value.clone())).collect();
    (Call::ModifyProxy { name: proxy.name.clone(), settings }, now)
}
