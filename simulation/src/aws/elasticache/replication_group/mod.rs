//! Replication groups: their state, and how work on them ends.

mod create;
mod modify;
mod scale;
mod view;

pub(super) use view::endpoint;

use super::{
    ElastiCache,
    engine::{NodeType, Release},
    groups, times,
    update::Action,
    window::Window,
};
use crate::aws::fault::Fault;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A replication group. Tests may change one behind everyone's back.
#[derive(Clone, Debug)]
pub struct Group {
    /// Identifier, in lower case.
    pub id: String,
    /// ARN.
    pub arn: String,
    /// Description.
    pub description: String,
    /// Engine and version.
    pub release: Release,
    /// Node type.
    pub node_type: NodeType,
    /// One, or with cluster mode up to 500.
    pub shards: Vec<Shard>,
    /// Cluster mode.
    pub cluster_mode: ClusterMode,
    /// Whether a replica takes over from a primary that fails.
    pub automatic_failover: bool,
    /// Whether nodes are spread over zones, with an SLA.
    pub multi_az: bool,
    /// Encryption at rest, which can't be changed.
    pub encrypted_at_rest: bool,
    /// KMS key, where it is not AWS's own.
    pub kms_key: Option<String>,
    /// Encryption in transit.
    pub transit: Transit,
    /// What logs in with AUTH.
    pub auth: Auth,
    /// The user group, where access is by RBAC.
    pub user_groups: Vec<String>,
    /// Parameter group.
    pub parameter_group: String,
    /// Subnet group.
    pub subnet_group: String,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Port.
    pub port: u16,
    /// Days that automatic snapshots are kept; 0: there are none.
    pub retention: i64,
    /// When automatic snapshots are made.
    pub snapshot_window: Window,
    /// When pending changes are applied.
    pub maintenance_window: Window,
    /// Whether minor versions come by themselves.
    pub auto_minor_upgrade: bool,
    /// Whether cold data goes to SSD.
    pub data_tiering: bool,
    /// Log deliveries.
    pub logs: Vec<LogDelivery>,
    /// SNS topic.
    pub topic: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created: Timestamp,
    /// What waits for the maintenance window.
    pub pending: Change,
    /// What its clients see: the last value written.
    pub value: Option<String>,
    /// What goes on.
    work: Option<Work>,
    /// Whether its creation failed.
    failed: bool,
    /// When TestFailover was called.
    failovers: Vec<Timestamp>,
    /// End of its endpoints' names.
    domain: String,
}

/// A node group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Such as `0001`.
    pub id: String,
    /// Its nodes.
    pub members: Vec<Member>,
    /// Which member is the primary.
    pub primary: String,
    /// First and last of its 16,384 slots; `None` while it is new.
    pub slots: Option<(u16, u16)>,
}

/// A node, which is a cache cluster of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Such as `cache-001`, or with cluster mode `cache-0001-001`.
    pub id: String,
    /// Availability zone.
    pub zone: String,
    /// Whether it comes or goes.
    pub presence: Presence,
}

/// Whether a node comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is being created.
    Coming,
    /// It stays.
    Staying,
    /// It is being deleted.
    Going,
}

/// Cluster mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterMode {
    /// One shard.
    Disabled,
    /// On the way to enabled: clients of both protocols are served.
    Compatible,
    /// Shards.
    Enabled,
}

/// Encryption in transit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transit {
    /// None.
    Plain,
    /// With and without TLS.
    Preferred,
    /// TLS only.
    Required,
}

/// What logs in with AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Tokens that are valid; two after a rotation.
    pub tokens: Vec<String>,
    /// Whether one gets in without.
    pub open: bool,
    /// When a token was last set.
    pub changed: Option<Timestamp>,
}

/// A change of the token (`AuthTokenUpdateStrategy`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthChange {
    /// Only this token from then on.
    Set(String),
    /// This token besides the last one.
    Rotate(String),
    /// No token: RBAC takes over.
    Delete,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDelivery {
    /// `slow-log` or `engine-log`.
    pub log: String,
    /// `cloudwatch-logs` or `kinesis-firehose`.
    pub destination: String,
    /// Log group or delivery stream.
    pub name: String,
    /// `text` or `json`.
    pub format: String,
}

/// What is to change. `None`: it stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Engine and version.
    pub release: Option<Release>,
    /// Node type.
    pub node_type: Option<NodeType>,
    /// Automatic failover.
    pub automatic_failover: Option<bool>,
    /// Multi-AZ.
    pub multi_az: Option<bool>,
    /// The member that is promoted.
    pub primary: Option<String>,
    /// AUTH.
    pub auth: Option<AuthChange>,
    /// User groups that come.
    pub user_groups_to_add: Vec<String>,
    /// User groups that go.
    pub user_groups_to_remove: Vec<String>,
    /// Encryption in transit.
    pub transit: Option<Transit>,
    /// Cluster mode.
    pub cluster_mode: Option<ClusterMode>,
    /// Parameter group.
    pub parameter_group: Option<String>,
    /// All log deliveries.
    pub logs: Option<Vec<LogDelivery>>,
}

impl Change {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This and a later change, which wins where both say something.
    fn and(self, later: Self) -> Self {
        let both = |mut earlier: Vec<String>, later: Vec<String>| {
            earlier.extend(later);
            earlier
        };
        Self {
            release: later.release.or(self.release),
            node_type: later.node_type.or(self.node_type),
            automatic_failover: later.automatic_failover.or(self.automatic_failover),
            multi_az: later.multi_az.or(self.multi_az),
            primary: later.primary.or(self.primary),
            auth: later.auth.or(self.auth),
            user_groups_to_add: both(self.user_groups_to_add, later.user_groups_to_add),
            user_groups_to_remove: both(self.user_groups_to_remove, later.user_groups_to_remove),
            transit: later.transit.or(self.transit),
            cluster_mode: later.cluster_mode.or(self.cluster_mode),
            parameter_group: later.parameter_group.or(self.parameter_group),
            logs: later.logs.or(self.logs),
        }
    }
}

/// Status of a replication group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being created.
    Creating,
    /// It serves, and takes changes.
    Available,
    /// It serves, and takes no changes.
    Modifying,
    /// It serves, and takes no changes.
    Snapshotting,
    /// It goes.
    Deleting,
    /// It never was; it can only be deleted.
    CreateFailed,
}

/// What goes on with a group.
#[derive(Clone, Debug)]
struct Work {
    since: Timestamp,
    until: Timestamp,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Create,
    Change(Box<Change>),
    Scale,
    Reshard,
    Failover { shard: String },
    Update { name: String },
    Snapshot,
    Delete,
}

impl Group {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.work.as_ref().map(|work| &work.kind) {
            Some(Kind::Create) => Status::Creating,
            Some(
                Kind::Change(_) | Kind::Scale | Kind::Reshard | Kind::Failover { .. } | Kind::Update { .. },
            ) => Status::Modifying,
            Some(Kind::Snapshot) => Status::Snapshotting,
            Some(Kind::Delete) => Status::Deleting,
            None if self.failed => Status::CreateFailed,
            None => Status::Available,
        }
    }

    /// Whether it has data that clients reach.
    #[must_use]
    pub fn serves(&self) -> bool {
        !matches!(self.status(), Status::Creating | Status::CreateFailed | Status::Deleting)
    }

    /// When what goes on ends; `None`: nothing does.
    #[must_use]
    pub fn busy_until(&self) -> Option<Timestamp> {
        self.work.as_ref().map(|work| work.until)
    }

    /// Refuses what needs an available group.
    pub(super) fn must_be_available(&self) -> Result<(), Fault> {
        if self.status() == Status::Available {
            return Ok(());
        }
        Err(Fault::bad_request(
            "InvalidReplicationGroupState",
            format!("Replication group {} is not in available state: it is {}.", self.id, self.status()),
        ))
    }

    /// Whether it has a user group, or is to have it.
    pub(super) fn uses_user_group(&self, id: &str) -> bool {
        let coming = match self.work.as_ref().map(|work| &work.kind) {
            Some(Kind::Change(change)) => change.user_groups_to_add.as_slice(),
            _ => &[],
        };
        self.user_groups.iter().chain(coming).any(|known| known == id)
    }

    /// All nodes.
    pub(super) fn members(&self) -> impl Iterator<Item = (&Shard, &Member)> {
        self.shards.iter().flat_map(|shard| shard.members.iter().map(move |member| (shard, member)))
    }

    /// The member that snapshots are taken from: the last replica of the first shard.
    pub(super) fn snapshotting_member(&self) -> String {
        let members = self.shards.iter().flat_map(|shard| shard.members.last());
        members.map(|member| member.id.clone()).next().unwrap_or_default()
    }

    fn finish(&mut self, kind: Kind, at: Timestamp) {
        match kind {
            Kind::Create | Kind::Scale | Kind::Reshard => self.settle_members(),
            Kind::Change(change) => self.apply(*change, at),
            Kind::Failover { shard } => self.fail_over(&shard),
            Kind::Snapshot | Kind::Delete | Kind::Update { .. } => {}
        }
    }

    fn settle_members(&mut self) {
        for shard in &mut self.shards {
            shard.members.retain(|member| member.presence != Presence::Going);
            shard.members.iter_mut().for_each(|member| member.presence = Presence::Staying);
        }
        self.shards.retain(|shard| !shard.members.is_empty());
        scale::share_slots(&mut self.shards);
    }

    fn fail_over(&mut self, shard: &str) {
        if let Some(shard) = self.shards.iter_mut().find(|known| known.id == shard)
            && let Some(next) = shard.members.iter().find(|member| member.id != shard.primary)
        {
            shard.primary = next.id.clone();
        }
    }

    fn apply(&mut self, change: Change, at: Timestamp) {
        let Change {
            release,
            node_type,
            automatic_failover,
            multi_az,
            primary,
            auth,
            user_groups_to_add,
            user_groups_to_remove,
            transit,
            cluster_mode,
            parameter_group,
            logs,
        } = change;
        self.release = release.unwrap_or(self.release);
        self.cluster_mode = cluster_mode.unwrap_or(self.cluster_mode);
        if groups::is_default(&self.parameter_group) {
            self.parameter_group = groups::default_name(self.release, self.cluster_mode);
        }
        self.node_type = node_type.unwrap_or(self.node_type);
        self.automatic_failover = automatic_failover.unwrap_or(self.automatic_failover);
        self.multi_az = multi_az.unwrap_or(self.multi_az);
        if let (Some(primary), Some(shard)) = (primary, self.shards.first_mut()) {
            shard.primary = primary;
        }
        if let Some(auth) = auth {
            self.auth.apply(auth, at);
        }
        self.user_groups.retain(|id| !user_groups_to_remove.contains(id));
        self.user_groups.extend(user_groups_to_add);
        self.transit = transit.unwrap_or(self.transit);
        if let Some(name) = parameter_group {
            self.parameter_group = name;
        }
        self.logs = logs.unwrap_or(std::mem::take(&mut self.logs));
    }
}

impl Auth {
    fn none() -> Self {
        Self { tokens: Vec::new(), open: true, changed: None }
    }

    fn apply(&mut self, change: AuthChange, at: Timestamp) {
        match change {
            AuthChange::Set(token) => *self = Self { tokens: vec![token], open: false, changed: None },
            AuthChange::Rotate(token) => {
                self.tokens.retain(|known| *known != token);
                self.tokens.push(token);
                // Two at most: the oldest goes.
                let surplus = self.tokens.len().saturating_sub(2);
                self.tokens.drain(..surplus);
            }
            AuthChange::Delete => *self = Self::none(),
        }
        self.changed = Some(at);
    }
}

impl ElastiCache {
    /// Begins work that ends at its time.
    fn begin(&mut self, id: &str, kind: Kind, since: Timestamp, until: Timestamp) {
        if let Some(group) = self.groups.get_mut(id) {
            group.work = Some(Work { since, until, kind });
            self.due(until, super::Due::Group(id.to_owned()));
        }
    }

    /// Makes a group `modifying` while a service update is applied.
    pub(super) fn begin_update(&mut self, id: &str, name: &str, now: Timestamp, until: Timestamp) {
        self.begin(id, Kind::Update { name: name.to_owned() }, now, until);
    }

    /// Makes a group `snapshotting` for as long as a snapshot takes.
    pub(super) fn begin_snapshotting(&mut self, id: &str, now: Timestamp) {
        self.begin(id, Kind::Snapshot, now, now + times::SNAPSHOT);
    }

    /// Ends work whose time has come.
    pub(super) fn group_is_due(&mut self, id: &str, at: Timestamp) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let Some(work) = group.work.take_if(|work| work.until == at) else { return };
        match &work.kind {
            Kind::Create if self.failing_creations.contains(id) => {
                group.failed = true;
                group.shards.clear();
                self.event(at, "replication-group", id, "Replication group could not be created");
            }
            Kind::Delete => {
                self.groups.remove(id);
                self.snapshots.retain(|_, snapshot| !(snapshot.is_automatic && snapshot.config.id == id));
                self.event(at, "replication-group", id, format!("Replication group {id} deleted"));
            }
            kind => {
                if let Kind::Update { name } = kind
                    && let Some(update) = self.service_updates.get_mut(name)
                {
                    update.actions.insert(id.to_owned(), Action::Complete);
                }
                let message = kind.message(id);
                group.finish(work.kind, at);
                self.event(at, "replication-group", id, message);
            }
        }
    }

    /// Applies what waited for the maintenance window, where it is open.
    pub(super) fn maintenance_is_due(&mut self, id: &str, at: Timestamp) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let window = group.maintenance_window;
        if window.begins(at) {
            self.due(window.next(at), super::Due::Maintenance(id.to_owned()));
        }
        let Some(group) = self.groups.get_mut(id).filter(|group| window.contains(at) && group.serves())
        else {
            return;
        };
        match group.busy_until() {
            // Changes wait for each other, within the window.
            Some(until) => self.due(until, super::Due::Maintenance(id.to_owned())),
            None if group.pending.is_empty() => {}
            None => {
                let change = std::mem::take(&mut group.pending);
                self.begin_change(id, change, at);
            }
        }
    }

    pub(super) fn group(&self, id: &str) -> Result<&Group, Fault> {
        let id = id.to_ascii_lowercase();
        self.groups.get(&id).ok_or_else(|| {
            Fault::not_found("ReplicationGroupNotFoundFault", format!("ReplicationGroup {id} not found."))
        })
    }
}

impl Kind {
    /// The event that tells of its end.
    fn message(&self, id: &str) -> String {
        match self {
            Self::Create => format!("Replication group {id} created"),
            Self::Change(_) => format!("Replication group {id} modified"),
            Self::Scale => format!("Replicas of replication group {id} changed"),
            Self::Reshard => format!("Resharding of replication group {id} completed"),
            Self::Failover { shard } => format!("Failover of node group {shard} in {id} completed"),
            Self::Update { name } => format!("Service update {name} of {id} completed"),
            Self::Snapshot => format!("Snapshot of replication group {id} completed"),
            Self::Delete => format!("Replication group {id} deleted"),
        }
    }
}
