//! An Aurora cluster and its instances.

use super::{Planner, creation::describe_making, of_cluster, of_instance};
use crate::{
    api::ConditionReason,
    managed::{
        Setting, Settings,
        rds::{
            self, Origin, Phase,
            cluster::{self, Cluster},
            instance::{self, Instance, InstanceSetting},
            parameter_group,
        },
    },
    plan::managed::{Owner, owner, tags},
};

impl Planner<'_> {
    /// An Aurora cluster and its instances.
    pub(super) fn aurora(&mut self, readers: u8) {
        let group = parameter_group::name(self.platform, self.wanted);
        let wanted = cluster::desired(self.wanted, &group, self.subnet_group().as_deref());
        let Some(cluster) = self.target_cluster() else {
            if self.may_be_made() {
                let (tags, origin) = (self.new_tags(), self.origin());
                self.moving(describe_making(&origin));
                self.call(cluster::create(self.identifier.clone(), wanted, tags, origin));
            }
            return;
        };
        let changes = cluster::changes(&wanted, cluster);
        if !self.is_ours(&of_cluster(cluster), &changes) {
            return;
        }
        self.connect();
        if !self.settled(&of_cluster(cluster), cluster.phase()) {
            return;
        }
        self.tag(&of_cluster(cluster));
        self.set_master_password(&of_cluster(cluster));
        let changes = self.possible(changes);
        let (version, group) =
            (cluster::ClusterSetting::EngineVersion, cluster::ClusterSetting::ParameterGroup);
        let now = self.permitted(changes, version, group);
        if now.iter().any(|it| it.setting == cluster::ClusterSetting::ManagedMasterPassword && !it.to.flag())
        {
            return self.take_master_password();
        }
        if !now.is_empty() {
            let fields: Vec<_> = now.iter().map(|change| change.setting.field()).collect();
            self.moving(format!("{} of {} are being changed", fields.join(", "), self.identifier));
            self.call(cluster::modify(cluster, &wanted, &now));
            return;
        }
        self.members(cluster, 1 + usize::from(readers));
    }

    /// As many instances as wanted; then their settings, readers first and one at a time.
    pub(super) fn members(&mut self, cluster: &Cluster, wanted: usize) {
        let name = |index: usize| format!("{}-{index}", cluster.identifier);
        let instances = &self.seen.resource.instances;
        let mut members: Vec<&Instance> = instances
            .values()
            .filter(|it| {
                it.settings.get(&InstanceSetting::Cluster).is_some_and(|of| of.text() == cluster.identifier)
            })
            .collect();
        if members.len() < wanted {
            let free = (1..).map(name).find(|name| !instances.contains_key(name)).unwrap_or_default();
            let settings = self.wanted_member(cluster, &free);
            self.moving(format!("instance {free} is being made"));
            self.call(instance::create(free, settings, tags(self.platform), Origin::Member));
            return;
        }
        let is_writer = |it: &Instance| cluster.members.get(&it.identifier) == Some(&true);
        let busy = members.iter().find(|it| it.phase() != Phase::Settled);
        if let Some(busy) = busy {
            match busy.phase() {
                Phase::Broken(advice) => {
                    let message = format!("{} is {}: {advice}", busy.identifier, busy.status);
                    self.plan.stuck(ConditionReason::Failed, message, !is_writer(busy));
                }
                _ => self.moving(format!("{} is {}", busy.identifier, busy.status)),
            }
            return;
        }
        if members.len() > wanted {
            members.retain(|it| !is_writer(it) && owner(self.platform, &it.tags) == Owner::Us);
            if let Some(surplus) = members.last() {
                let identifier = surplus.identifier.clone();
                self.moving(format!("reader {identifier} is being deleted"));
                self.call(rds::Call::DeleteInstance {
                    identifier,
                    final_snapshot: None,
                    delete_backups: false,
                });
            }
            return;
        }
        members.sort_by_key(|it| is_writer(it));
        for member in members {
            let settings = self.wanted_member(cluster, &member.identifier);
            let changes = instance::changes(&settings, member);
            self.tag(&of_instance(member));
            if self.change_instance(member, &settings, changes) {
                return;
            }
        }
    }

    pub(super) fn wanted_member(&self, cluster: &Cluster, identifier: &str) -> Settings<InstanceSetting> {
        // The tier of a member is its number: the first is preferred.
        let tier = identifier.rsplit('-').next().and_then(|it| it.parse().ok()).unwrap_or(1).clamp(0, 15);
        let subnets = self.subnet_group();
        instance::desired_member(self.wanted, &cluster.identifier, subnets.as_deref(), tier)
    }
}
