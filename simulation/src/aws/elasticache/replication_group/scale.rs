//! Replicas, shards and failover.

use super::{
    super::{
        ElastiCache,
        engine::{NODE_TYPES, NodeType},
        fault::{combination, invalid_value},
        times,
    },
    ClusterMode, Group, Kind, Member, Presence, Shard, create,
};
use crate::aws::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

const SLOTS: u32 = 16_384;
/// Node groups that TestFailover takes in 24 hours (ElastiCache API Reference, `TestFailover`).
const MOST_TEST_FAILOVERS: usize = 15;

/// Gives each shard its part of the slots.
pub(super) fn share_slots(shards: &mut [Shard]) {
    let count = u32::try_from(shards.len()).unwrap_or(u32::MAX).max(1);
    let slot = |shard: usize| {
        let shard = u32::try_from(shard).unwrap_or(u32::MAX);
        u16::try_from(SLOTS * shard / count).unwrap_or(u16::MAX)
    };
    for (index, shard) in shards.iter_mut().enumerate() {
        shard.slots = Some((slot(index), slot(index + 1) - 1));
    }
}

impl ElastiCache {
    /// IncreaseReplicaCount (`grow`) or DecreaseReplicaCount.
    pub(in crate::aws::elasticache) fn change_replica_count(
        &mut self,
        p: &Parameters,
        grow: bool,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        must_be_immediate(p)?;
        let group = self.group(p.required("ReplicationGroupId")?)?;
        group.must_be_available()?;
        let mut changed = group.clone();
        if let Some(names) = p.list("ReplicasToRemove").filter(|_| !grow) {
            remove_replicas(&mut changed, &names)?;
        } else if let Some(shards) = p.structures("ReplicaConfiguration") {
            for entry in shards {
                let id = entry.required("NodeGroupId")?;
                let wanted = entry.integer("NewReplicaCount")?.unwrap_or_default();
                changed.set_replicas(Some(id), wanted, grow, place)?;
            }
        } else {
            p.required("NewReplicaCount")?;
            let wanted = p.integer("NewReplicaCount")?.unwrap_or_default();
            changed.set_replicas(None, wanted, grow, place)?;
        }
        let fewest = changed.shards.iter().map(Shard::staying_or_coming).min().unwrap_or_default();
        let must_fail_over = changed.multi_az || changed.automatic_failover;
        // Shards of cluster mode may go without (ElastiCache API Reference, `DecreaseReplicaCount`).
        if fewest < 2 && must_fail_over && changed.cluster_mode == ClusterMode::Disabled {
            return Err(combination(
                "At least one replica must remain while Multi-AZ or automatic failover is enabled",
            ));
        }
        create::check_node_count(changed.members().count())?;
        let id = changed.id.clone();
        self.groups.insert(id.clone(), changed);
        self.begin(&id, Kind::Scale, now, now + times::REPLICAS);
        self.answer_group(&id, now)
    }

    pub(in crate::aws::elasticache) fn reshard(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        must_be_immediate(p)?;
        let group = self.group(p.required("ReplicationGroupId")?)?;
        group.must_be_available()?;
        if group.cluster_mode != ClusterMode::Enabled {
            return Err(combination(format!("{} has no cluster mode: it can't be resharded", group.id)));
        }
        let wanted = p.required("NodeGroupCount").and(p.integer("NodeGroupCount"))?.unwrap_or_default();
        let wanted = usize::try_from(wanted).ok().filter(|count| (1..=500).contains(count));
        let wanted = wanted.ok_or_else(|| invalid_value("NodeGroupCount must be 1 to 500"))?;
        let mut changed = group.clone();
        if wanted > group.shards.len() {
            changed.add_shards(wanted, place);
            create::check_node_count(changed.members().count())?;
        } else if wanted < group.shards.len() {
            let going = shards_to_remove(p, group, wanted)?;
            for shard in changed.shards.iter_mut().filter(|shard| going.contains(&shard.id)) {
                shard.members.iter_mut().for_each(|member| member.presence = Presence::Going);
            }
        } else {
            return Err(invalid_value(format!("{} has {wanted} node groups already", group.id)));
        }
        let id = changed.id.clone();
        self.groups.insert(id.clone(), changed);
        self.begin(&id, Kind::Reshard, now, now + times::RESHARD);
        self.answer_group(&id, now)
    }

    pub(in crate::aws::elasticache) fn test_failover(
        &mut self,
        p: &Parameters,
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        let group = self.group(p.required("ReplicationGroupId")?)?;
        let shard = p.required("NodeGroupId")?;
        group.must_be_available()?;
        if !group.automatic_failover {
            return Err(Fault::bad_request(
                "TestFailoverNotAvailableFault",
                format!("Automatic failover is not enabled for {}", group.id),
            ));
        }
        let day = SignedDuration::from_hours(24);
        let recent = self.groups.values().flat_map(|group| &group.failovers);
        if recent.filter(|at| now.duration_since(**at) < day).count() >= MOST_TEST_FAILOVERS {
            return Err(Fault::bad_request(
                "APICallRateForCustomerExceeded",
                format!("TestFailover is allowed for {MOST_TEST_FAILOVERS} node groups in 24 hours"),
            ));
        }
        let id = group.id.clone();
        self.start_failover(&id, shard, now)?;
        if let Some(group) = self.groups.get_mut(&id) {
            group.failovers.push(now);
        }
        self.answer_group(&id, now)
    }

    pub(in crate::aws::elasticache) fn list_allowed_node_types(
        &self,
        p: &Parameters,
    ) -> Result<Answer, Fault> {
        let group = self.group(p.required("ReplicationGroupId")?)?;
        let fits = |to: &&NodeType| to.tiers_data() == group.node_type.tiers_data();
        let named = |wanted: fn(u32, u32) -> bool| {
            let memory = group.node_type.memory;
            let others = NODE_TYPES.iter().filter(fits).filter(move |to| wanted(to.memory, memory));
            others.map(|to| to.name).collect::<Vec<_>>()
        };
        let up = named(|to, from| to > from);
        let down = named(|to, from| to < from);
        Ok(Xml::new()
            .texts("ScaleUpModifications", "member", up)
            .texts("ScaleDownModifications", "member", down)
            .into())
    }

    /// Lets a shard's primary fail, as a broken machine would; a replica takes over where automatic failover
    /// is enabled.
    ///
    /// # Errors
    /// Where there is no such group or shard, or no replica that takes over.
    pub fn start_failover(&mut self, id: &str, shard: &str, now: Timestamp) -> Result<(), Fault> {
        let group = self.group(id)?;
        group.must_be_available()?;
        let Some(found) = group.shards.iter().find(|known| known.id == shard) else {
            return Err(Fault::not_found(
                "NodeGroupNotFoundFault",
                format!("{id} has no node group {shard}"),
            ));
        };
        if !group.automatic_failover || found.members.len() < 2 {
            return Err(combination(format!("Node group {shard} of {id} has no replica that takes over")));
        }
        let id = group.id.clone();
        self.begin(&id, Kind::Failover { shard: shard.to_owned() }, now, now + times::FAILOVER);
        self.event(now, "replication-group", &id, format!("Failover of node group {shard} in {id} started"));
        Ok(())
    }
}

impl Shard {
    fn staying_or_coming(&self) -> usize {
        self.members.iter().filter(|member| member.presence != Presence::Going).count()
    }
}

impl Group {
    fn set_replicas(
        &mut self,
        shard: Option<&str>,
        replicas: i64,
        grow: bool,
        place: &Place,
    ) -> Result<(), Fault> {
        let wanted = usize::try_from(replicas).ok().filter(|count| *count <= 5);
        let wanted = wanted.ok_or_else(|| invalid_value("NewReplicaCount must be 0 to 5"))? + 1;
        if shard.is_some_and(|id| self.shards.iter().all(|known| known.id != id)) {
            return Err(invalid_value(format!(
                "{} has no node group {}",
                self.id,
                shard.unwrap_or_default()
            )));
        }
        let (id, mode, multi_az) = (self.id.clone(), self.cluster_mode, self.multi_az);
        for found in self.shards.iter_mut().filter(|known| shard.is_none_or(|id| id == known.id)) {
            let has = found.members.len();
            if wanted == has {
                return Err(Fault::bad_request(
                    "NoOperationFault",
                    format!("Node group {} has {replicas} replicas already", found.id),
                ));
            }
            if grow != (wanted > has) {
                let direction = if grow { "more" } else { "fewer" };
                return Err(invalid_value(format!("NewReplicaCount must be {direction} than there are")));
            }
            if grow {
                found.add_members(&id, mode, wanted, place, multi_az);
                continue;
            }
            let primary = found.primary.clone();
            let replicas = found.members.iter_mut().rev().filter(|member| member.id != primary);
            replicas.take(has - wanted).for_each(|member| member.presence = Presence::Going);
        }
        Ok(())
    }

    fn add_shards(&mut self, wanted: usize, place: &Place) {
        let members = self.shards.first().map_or(1, |shard| shard.members.len());
        let taken: BTreeSet<String> = self.shards.iter().map(|shard| shard.id.clone()).collect();
        let free = (1..).map(|index: usize| format!("{index:04}")).filter(|id| !taken.contains(id));
        for shard in free.take(wanted - taken.len()) {
            let mut new = Shard { id: shard, members: Vec::new(), primary: String::new(), slots: None };
            new.add_members(&self.id, self.cluster_mode, members, place, self.multi_az);
            new.primary = new.members.first().map(|member| member.id.clone()).unwrap_or_default();
            self.shards.push(new);
        }
    }
}

impl Shard {
    fn add_members(&mut self, group: &str, mode: ClusterMode, wanted: usize, place: &Place, spread: bool) {
        let taken: BTreeSet<String> = self.members.iter().map(|member| member.id.clone()).collect();
        let id = |index| create::member_id(group, mode, &self.id, index);
        let free = (1..).map(|index| (index, id(index))).filter(|(_, id)| !taken.contains(id));
        let new: Vec<Member> = free
            .take(wanted - taken.len())
            .map(|(index, id)| Member {
                id,
                zone: create::zone(&place.region, if spread { index } else { 1 }),
                presence: Presence::Coming,
            })
            .collect();
        self.members.extend(new);
    }
}

fn remove_replicas(group: &mut Group, names: &[String]) -> Result<(), Fault> {
    for name in names {
        let found = group.shards.iter_mut().find_map(|shard| {
            let primary = shard.primary.clone();
            shard.members.iter_mut().find(|member| member.id == *name && member.id != primary)
        });
        let Some(member) = found else {
            return Err(invalid_value(format!("{name} is not a replica of {}", group.id)));
        };
        member.presence = Presence::Going;
    }
    Ok(())
}

/// The shards that go: those named, or those not named to be retained.
fn shards_to_remove(p: &Parameters, group: &Group, wanted: usize) -> Result<BTreeSet<String>, Fault> {
    let existing: BTreeSet<String> = group.shards.iter().map(|shard| shard.id.clone()).collect();
    let going = match (p.list("NodeGroupsToRemove"), p.list("NodeGroupsToRetain")) {
        (Some(going), None) => going.into_iter().collect::<BTreeSet<_>>(),
        (None, Some(staying)) => existing.difference(&staying.into_iter().collect()).cloned().collect(),
        _ => {
            return Err(combination(
                "Fewer node groups need either NodeGroupsToRemove or NodeGroupsToRetain",
            ));
        }
    };
    if going.is_subset(&existing) && existing.len() - going.len() == wanted {
        return Ok(going);
    }
    Err(invalid_value(format!(
        "NodeGroupsToRemove or NodeGroupsToRetain must name node groups of {} and leave {wanted}",
        group.id
    )))
}

/// ElastiCache API Reference: `ApplyImmediately` of these operations can only be true.
fn must_be_immediate(p: &Parameters) -> Result<(), Fault> {
    p.required("ApplyImmediately")?;
    match p.boolean("ApplyImmediately")? {
        Some(true) => Ok(()),
        _ => Err(invalid_value("ApplyImmediately must be true")),
    }
}
