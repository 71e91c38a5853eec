//! An instance of its own: made, changed, restarted.

use super::{Planner, creation::describe_making, of_instance};
use crate::{
    api::names,
    managed::{
        Change, Effect, Setting, Settings,
        rds::{
            self, Parameters,
            instance::{self, Instance, InstanceSetting},
            parameter_group,
        },
    },
};

impl Planner<'_> {
    pub(super) fn wanted_instance(&self) -> Settings<InstanceSetting> {
        let database = self.blue.as_ref().unwrap_or(self.wanted);
        let group = parameter_group::name(self.platform, database);
        instance::desired(database, &group, self.subnet_group().as_deref())
    }

    /// An instance of its own.
    pub(super) fn instance(&mut self) {
        let wanted = self.wanted_instance();
        let Some(instance) = self.target_instance() else {
            if self.is_switched_over() {
                self.moving(format!("{} is being switched over", self.identifier));
            } else if self.may_be_made() {
                let (tags, origin) = (self.new_tags(), self.origin());
                self.moving(describe_making(&origin));
                self.call(instance::create(self.identifier.clone(), wanted, tags, origin));
            }
            return;
        };
        let changes = instance::changes(&wanted, instance);
        if !self.is_ours(&of_instance(instance), &changes) {
            return;
        }
        self.connect();
        self.plan.holds_login = instance.tags.contains_key(names::TAG_UPGRADE);
        let settled = self.settled(&of_instance(instance), instance.phase());
        if settled || heals(instance, &changes) {
            self.tag(&of_instance(instance));
            self.set_master_password(&of_instance(instance));
            let changed = self.change_instance(instance, &wanted, changes);
            if settled && !changed {
                self.upgrade(instance);
            }
        }
    }

    /// Makes the permitted changes of an instance.
    pub(super) fn change_instance(
        &mut self,
        instance: &Instance,
        wanted: &Settings<InstanceSetting>,
        changes: Vec<Change<InstanceSetting>>,
    ) -> bool {
        let identifier = instance.identifier.clone();
        let changes = self.possible(changes);
        let mut now =
            self.permitted(changes, InstanceSetting::EngineVersion, InstanceSetting::ParameterGroup);
        if instance.status == "storage-optimization" && now.iter().any(|it| it.setting.is_storage()) {
            now.retain(|change| !change.setting.is_storage());
            self.moving(
                "its storage can be changed again when AWS has optimized the last change, at least six hours after it",
            );
        }
        if now.iter().any(|it| it.setting == InstanceSetting::ManagedMasterPassword && !it.to.flag()) {
            self.take_master_password();
            return true;
        }
        if !now.is_empty() {
            let fields: Vec<_> = now.iter().map(|change| change.setting.field()).collect();
            self.moving(format!("{} of {identifier} are being changed", fields.join(", ")));
            self.call(instance::modify(instance, wanted, &now));
            return true;
        }
        match instance.parameters {
            Parameters::InForce => {}
            Parameters::Applying => self.moving("its parameters are being applied"),
            Parameters::PendingReboot => {
                let (from, to) = ("as before".to_owned(), "in force after a restart".to_owned());
                if self.plan.permits_step("parameters", from, to, Effect::Restarts, &self.permits) {
                    self.call(rds::Call::RebootInstance { identifier });
                    self.moving("it is being restarted for its parameters");
                    return true;
                }
            }
        }
        false
    }
}

/// Whether changes help a server that is out of order: more storage for one that is full, other parameters for
/// one that can't start with those it has.
pub(super) fn heals(instance: &Instance, changes: &[Change<InstanceSetting>]) -> bool {
    instance.status == "storage-full"
        && changes.iter().any(|it| {
            matches!(it.setting, InstanceSetting::AllocatedStorage | InstanceSetting::MaxAllocatedStorage)
        })
}
