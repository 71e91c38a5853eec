//! ModifyReplicationGroup: what is done at once, what waits, what is refused.

use super::{
    super::{
        ElastiCache,
        engine::{Engine, NodeType, Release},
        fault::{combination, invalid_value},
        groups, times,
        window::Window,
    },
    AuthChange, Change, ClusterMode, Group, Kind, Transit, create,
};
use crate::aws::{
    fault::Fault,
    query::{Answer, Parameters},
};
use jiff::Timestamp;

impl ElastiCache {
    pub(in crate::aws::elasticache) fn modify_replication_group(
        &mut self,
        p: &Parameters,
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        let mut changed = self.group(p.required("ReplicationGroupId")?)?.clone();
        changed.must_be_available()?;
        changed.pending.make_way(p);
        let group = &changed;
        let immediately = p.boolean("ApplyImmediately")?.unwrap_or(false);
        let at_once = Change {
            multi_az: p.boolean("MultiAZEnabled")?.filter(|to| *to != group.multi_az),
            auth: auth_change(p, group, immediately)?,
            user_groups_to_add: self.user_groups_to_add(p, group)?,
            user_groups_to_remove: user_groups_to_remove(p, group)?,
            logs: create::log_deliveries(p, group.release, &group.logs)?.filter(|logs| *logs != group.logs),
            ..Change::default()
        };
        let release = release_change(p, group)?;
        let deferrable = Change {
            release,
            node_type: p
                .get("CacheNodeType")
                .map(|name| node_type_change(name, group))
                .transpose()?
                .flatten(),
            automatic_failover: p
                .boolean("AutomaticFailoverEnabled")?
                .filter(|to| *to != group.automatic_failover),
            primary: p.get("PrimaryClusterId").map(|id| promotion(id, group)).transpose()?.flatten(),
            parameter_group: self.parameter_group_change(p, group, release)?,
            transit: transit_change(p, group)?,
            cluster_mode: cluster_mode_change(p, group)?,
            ..Change::default()
        };
        check_whole(group, &group.pending.clone().and(deferrable.clone()).and(at_once.clone()))?;
        changed.change_plain_fields(p)?;
        let id = changed.id.clone();
        let windows = (changed.snapshot_window, changed.maintenance_window);
        let change = if immediately {
            std::mem::take(&mut changed.pending).and(deferrable).and(at_once)
        } else {
            changed.pending = std::mem::take(&mut changed.pending).and(deferrable);
            at_once
        };
        self.groups.insert(id.clone(), changed);
        self.due(windows.0.next(now), super::super::Due::SnapshotWindow(id.clone()));
        self.due(windows.1.next(now), super::super::Due::Maintenance(id.clone()));
        if !change.is_empty() {
            self.begin_change(&id, change, now);
        }
        self.answer_group(&id, now)
    }

    /// Makes a group `modifying` until the change is there.
    pub(super) fn begin_change(&mut self, id: &str, change: Change, now: Timestamp) {
        let replaces = change.release.is_some() || change.node_type.is_some();
        let takes = if replaces { times::REPLACE } else { times::CONFIGURE };
        self.begin(id, Kind::Change(Box::new(change)), now, now + takes);
    }

    fn user_groups_to_add(&self, p: &Parameters, group: &Group) -> Result<Vec<String>, Fault> {
        let ids = p.list("UserGroupIdsToAdd").unwrap_or_default();
        for id in &ids {
            self.user_group_for(id, group.release)?;
            if group.user_groups.contains(&id.to_ascii_lowercase()) {
                return Err(invalid_value(format!("User group {id} is assigned to {} already", group.id)));
            }
        }
        Ok(ids.iter().map(|id| id.to_ascii_lowercase()).collect())
    }

    fn parameter_group_change(
        &self,
        p: &Parameters,
        group: &Group,
        release: Option<Release>,
    ) -> Result<Option<String>, Fault> {
        let family = release.or(group.pending.release).unwrap_or(group.release).family;
        let asked = p.get("CacheParameterGroupName");
        let name = asked.or(group.pending.parameter_group.as_deref()).unwrap_or(&group.parameter_group);
        let found = self.parameter_group(name)?;
        if found.family != family && (asked.is_some() || !groups::is_default(name)) {
            return Err(combination(format!(
                "Expected a parameter group of family {family} but found one of family {}; give a CacheParameterGroupName that fits the engine version",
                found.family
            )));
        }
        if asked.is_some() && found.is_clustered() != (group.cluster_mode != ClusterMode::Disabled) {
            return Err(combination(format!(
                "cluster-enabled of parameter group {name} does not fit {}",
                group.id
            )));
        }
        Ok(asked.filter(|name| *name != group.parameter_group).map(ToOwned::to_owned))
    }
}

impl Change {
    /// Forgets what waits where a newer modification says something: it takes its place.
    fn make_way(&mut self, p: &Parameters) {
        let says = |name: &str| p.get(name).is_some();
        if says("EngineVersion") || says("Engine") {
            self.release = None;
        }
        if says("CacheNodeType") {
            self.node_type = None;
        }
        if says("AutomaticFailoverEnabled") {
            self.automatic_failover = None;
        }
        if says("PrimaryClusterId") {
            self.primary = None;
        }
        if says("CacheParameterGroupName") {
            self.parameter_group = None;
        }
        if says("TransitEncryptionEnabled") || says("TransitEncryptionMode") {
            self.transit = None;
        }
        if says("ClusterMode") {
            self.cluster_mode = None;
        }
    }
}

impl Group {
    /// What no window and no waiting concerns.
    fn change_plain_fields(&mut self, p: &Parameters) -> Result<(), Fault> {
        if let Some(description) = p.get("ReplicationGroupDescription") {
            self.description = description.to_owned();
        }
        if let Some(ids) = create::security_groups(p)? {
            self.security_groups = ids;
        }
        if let Some(days) = create::retention(p)? {
            self.retention = days;
        }
        if let Some(window) = p.get("SnapshotWindow") {
            self.snapshot_window = Window::daily(window)?;
        }
        if let Some(window) = p.get("PreferredMaintenanceWindow") {
            self.maintenance_window = Window::weekly(window)?;
        }
        if let Some(auto) = p.boolean("AutoMinorVersionUpgrade")? {
            self.auto_minor_upgrade = auto;
        }
        if let Some(topic) = p.get("NotificationTopicArn") {
            self.topic = Some(topic.to_owned());
        }
        if p.get("NotificationTopicStatus") == Some("inactive") {
            self.topic = None;
        }
        Ok(())
    }
}

/// Refuses what the group may not become.
fn check_whole(group: &Group, change: &Change) -> Result<(), Fault> {
    let automatic_failover = change.automatic_failover.unwrap_or(group.automatic_failover);
    let multi_az = change.multi_az.unwrap_or(group.multi_az);
    let members = group.shards.iter().map(|shard| shard.members.len()).min().unwrap_or_default();
    create::check_failover(
        automatic_failover,
        multi_az,
        members,
        change.cluster_mode.unwrap_or(group.cluster_mode),
    )?;
    let user_groups = group.user_groups.len() + change.user_groups_to_add.len();
    if user_groups > 1 + change.user_groups_to_remove.len() {
        return Err(combination("A replication group can have one user group only: remove the other one"));
    }
    let encrypted = group.transit != Transit::Plain;
    if !change.user_groups_to_add.is_empty() && !encrypted {
        return Err(combination("User groups are supported with encryption in transit only"));
    }
    let keeps_tokens = !group.auth.tokens.is_empty() && change.auth != Some(AuthChange::Delete);
    if !change.user_groups_to_add.is_empty() && keeps_tokens {
        return Err(combination("User groups take over from AUTH with AuthTokenUpdateStrategy DELETE only"));
    }
    if change.auth == Some(AuthChange::Delete) && change.user_groups_to_add.is_empty() {
        return Err(combination("AuthTokenUpdateStrategy DELETE is allowed only with UserGroupIdsToAdd"));
    }
    let guarded = keeps_tokens || user_groups > change.user_groups_to_remove.len();
    if change.transit == Some(Transit::Plain) && guarded {
        return Err(combination("Encryption in transit must stay while AUTH or user groups are used"));
    }
    Ok(())
}

/// `AuthTokenUpdateStrategy` as ElastiCache API Reference, `ModifyReplicationGroup`, has it.
fn auth_change(p: &Parameters, group: &Group, immediately: bool) -> Result<Option<AuthChange>, Fault> {
    let token = p.get("AuthToken").map(create::auth_token).transpose()?;
    let change = match (p.get("AuthTokenUpdateStrategy"), token) {
        (None, None) => return Ok(None),
        (Some("SET"), Some(token)) if group.auth.tokens.contains(&token) => AuthChange::Set(token),
        (Some("SET"), Some(_)) => {
            return Err(combination(
                "AuthTokenUpdateStrategy SET is allowed only after ROTATE with the same AuthToken",
            ));
        }
        (None | Some("ROTATE"), Some(token)) => AuthChange::Rotate(token),
        (Some("DELETE"), None) => AuthChange::Delete,
        (Some("SET" | "ROTATE"), None) => {
            return Err(combination("AuthTokenUpdateStrategy SET and ROTATE need an AuthToken"));
        }
        (Some("DELETE"), Some(_)) => {
            return Err(combination("AuthTokenUpdateStrategy DELETE takes no AuthToken"));
        }
        (Some(other), _) => return Err(invalid_value(format!("Invalid AuthTokenUpdateStrategy: {other}"))),
    };
    if group.transit == Transit::Plain {
        return Err(combination("AUTH is supported with encryption in transit only"));
    }
    if !group.user_groups.is_empty() {
        return Err(combination("AUTH can't be used together with user groups"));
    }
    if !immediately {
        return Err(combination("A change of the AuthToken needs ApplyImmediately true"));
    }
    Ok(Some(change))
}

fn user_groups_to_remove(p: &Parameters, group: &Group) -> Result<Vec<String>, Fault> {
    if p.boolean("RemoveUserGroups")?.unwrap_or(false) {
        return Ok(group.user_groups.clone());
    }
    let ids: Vec<String> = p.list("UserGroupIdsToRemove").unwrap_or_default();
    let ids: Vec<String> = ids.iter().map(|id| id.to_ascii_lowercase()).collect();
    match ids.iter().find(|id| !group.user_groups.contains(id)) {
        Some(id) => Err(invalid_value(format!("User group {id} is not assigned to {}", group.id))),
        None => Ok(ids),
    }
}

/// Encryption comes and goes by way of `preferred` (ElastiCache User Guide, "Enabling in-transit encryption on
/// an existing cluster").
fn transit_change(p: &Parameters, group: &Group) -> Result<Option<Transit>, Fault> {
    let Some(to) = create::transit(p, group.transit)?.filter(|to| *to != group.transit) else {
        return Ok(None);
    };
    if group.transit != Transit::Preferred && to != Transit::Preferred {
        return Err(combination(
            "Encryption in transit is enabled and disabled in two steps: set TransitEncryptionMode to preferred first",
        ));
    }
    if group.release.rank() < 2 {
        return Err(combination("A change of encryption in transit needs Redis OSS 7.0 or later, or Valkey"));
    }
    Ok(Some(to))
}

/// Cluster mode is enabled by way of `compatible`, and not disabled again.
fn cluster_mode_change(p: &Parameters, group: &Group) -> Result<Option<ClusterMode>, Fault> {
    let to = p.get("ClusterMode").map(ClusterMode::read).transpose()?;
    let Some(to) = to.filter(|to| *to != group.cluster_mode) else { return Ok(None) };
    match (group.cluster_mode, to) {
        (ClusterMode::Disabled, ClusterMode::Compatible)
        | (ClusterMode::Compatible, ClusterMode::Enabled | ClusterMode::Disabled) => Ok(Some(to)),
        (from, _) => Err(combination(format!(
            "ClusterMode can't change from {from} to {to} here: it goes from disabled over compatible to enabled"
        ))),
    }
}

fn release_change(p: &Parameters, group: &Group) -> Result<Option<Release>, Fault> {
    let engine = p.get("Engine").map(Engine::read).transpose()?;
    if engine.is_none() && p.get("EngineVersion").is_none() {
        return Ok(None);
    }
    let engine = engine.unwrap_or(group.release.engine);
    if engine == group.release.engine && p.get("EngineVersion").is_none() {
        return Ok(None);
    }
    let release = Release::find(engine, p.get("EngineVersion"))?;
    if release.rank() < group.release.rank() {
        return Err(combination(format!(
            "{} {} can't become {engine} {}: a downgrade needs a new replication group",
            group.release.engine, group.release.version, release.version
        )));
    }
    Ok((release != group.release).then_some(release))
}

fn node_type_change(name: &str, group: &Group) -> Result<Option<NodeType>, Fault> {
    let to = NodeType::find(name)?;
    if to.tiers_data() != group.node_type.tiers_data() {
        return Err(combination(format!(
            "{} can't become {name}: data tiering can't change",
            group.node_type.name
        )));
    }
    Ok((to != group.node_type).then_some(to))
}

fn promotion(id: &str, group: &Group) -> Result<Option<String>, Fault> {
    let shard = group.shards.first().filter(|_| group.cluster_mode == ClusterMode::Disabled);
    let known = shard.is_some_and(|shard| shard.members.iter().any(|member| member.id == id));
    if !known {
        return Err(invalid_value(format!("{id} is not a member that {} can promote", group.id)));
    }
    if shard.is_some_and(|shard| shard.primary == id) {
        return Ok(None);
    }
    if group.automatic_failover {
        return Err(combination("Disable automatic failover before PrimaryClusterId is changed"));
    }
    Ok(Some(id.to_owned()))
}
