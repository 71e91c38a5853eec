//! A major upgrade by a blue/green deployment: green is made and looked at, someone approves, AWS switches over, and
//! what was blue is kept as the way back.
//!
//! How far it is, the tag [`names::TAG_UPGRADE`] says. It is there before the deployment is, so that whoever comes
//! next looks for one, and holds the approval of the last try: each approval is good for one.

use super::Planner;
use crate::{
    api::{ConditionReason, names},
    managed::{
        Effect, Settings, Value, is_version_met,
        rds::{
            self, Parameters, Phase,
            blue_green::{self, Deployment, GREEN, PREPARING, REPLACED, Stage},
            instance::{Instance, InstanceSetting},
            parameter_group,
        },
    },
    plan::{
        call::Call,
        managed::{Owner, Pending, Permits, State, missing_tags, owner, tags},
    },
    platform::{Platform, database::AwsDatabase},
};
use std::collections::{BTreeMap, BTreeSet};

/// The next calls of deleting a deployment, with its green instance where nobody uses that yet. Empty: AWS is at
/// something.
pub(super) fn abandonment(
    platform: &Platform,
    deployment: &Deployment,
    instances: &BTreeMap<String, Instance>,
) -> Vec<rds::Call> {
    let delete = |delete_target| {
        let deployment = deployment.identifier.clone();
        rds::Call::DeleteDeployment { deployment, delete_target }
    };
    let green = instances.get(&deployment.target);
    match (deployment.stage(), green) {
        (Stage::Moving, _) => Vec::new(),
        (Stage::SwitchedOver, _) => vec![delete(false)],
        (_, None) => vec![delete(true)],
        (_, Some(green)) => {
            let mut calls: Vec<_> = mark_green(platform, green).into_iter().collect();
            if !is_protected(green) {
                calls.push(delete(true));
            } else if green.phase() == Phase::Settled {
                let settings = Settings::from([(InstanceSetting::DeletionProtection, false.into())]);
                let identifier = green.identifier.clone();
                calls.push(rds::Call::ModifyInstance { identifier, settings, immediately: true });
            }
            calls
        }
    }
}

/// AWS asks for rights on green, which go by our tags.
fn mark_green(platform: &Platform, green: &Instance) -> Option<rds::Call> {
    let mut marks = tags(platform);
    marks.extend(stage_tag(GREEN));
    let tags = missing_tags(&marks, &green.tags);
    (!tags.is_empty()).then(|| rds::Call::Tag { arn: green.arn.clone(), tags })
}

fn is_protected(instance: &Instance) -> bool {
    instance.settings.get(&InstanceSetting::DeletionProtection).is_some_and(Value::flag)
}

fn version(instance: &Instance) -> &str {
    instance.settings.get(&InstanceSetting::EngineVersion).map(Value::text).unwrap_or_default()
}

fn stage_tag(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(names::TAG_UPGRADE.to_owned(), value.to_owned())])
}

impl<'a> Planner<'a> {
    /// The deployment that the instance in use takes part in.
    fn deployment(&self) -> Option<&'a Deployment> {
        let mut all = self.seen.resource.deployments.values();
        all.find(|it| it.concerns(&self.identifier))
    }

    /// Whether the names are being swapped, so that for a moment nothing may have ours.
    pub(super) fn is_switched_over(&self) -> bool {
        self.deployment().is_some_and(|it| matches!(it.stage(), Stage::Moving | Stage::SwitchedOver))
    }

    /// The next step of an upgrade that is wanted or under way.
    pub(super) fn upgrade(&mut self, instance: &Instance) {
        let wanted = self.blue.is_some().then(|| blue_green::name(self.platform, self.wanted));
        let Some(deployment) = self.deployment() else {
            match wanted {
                Some(_) => self.prepare(instance),
                None => self.unmark(instance),
            }
            return self.abandon_others();
        };
        if owner(self.platform, &deployment.tags) != Owner::Us {
            let message = format!(
                "blue/green deployment {} of {} was not made by the operator; switch it over or delete it in AWS",
                deployment.name, self.identifier
            );
            return self.plan.stuck(ConditionReason::NotOwned, message, true);
        }
        let name = &deployment.name;
        match deployment.stage() {
            Stage::SwitchedOver => self.conclude(deployment),
            Stage::Moving => self.moving(format!("blue/green deployment {name} is {}", deployment.status)),
            // Listed while the names were swapped.
            _ if deployment.target == self.identifier => self.moving("it is switched over"),
            _ if wanted.as_ref() != Some(name) => self.abandon(deployment),
            Stage::Provisioning => {
                self.announce(instance);
                self.moving(format!(
                    "an instance with version {} is being made beside {}",
                    self.wanted.version, self.identifier
                ));
            }
            Stage::Ready => self.check_green(instance, deployment),
            Stage::Invalid => self.invalid(instance, deployment),
            Stage::SwitchoverFailed => self.switch_over(instance, deployment),
        }
    }

    /// Brings the instance in use to where AWS makes a deployment of it, and makes one.
    fn prepare(&mut self, instance: &Instance) {
        let Some(blue) = &self.blue else { return };
        let group = parameter_group::name(self.platform, blue);
        let has_group = instance.settings.get(&InstanceSetting::ParameterGroup) == Some(&group.into());
        self.announce(instance);
        // Else that is pending, or under way.
        let replicates = has_group && instance.parameters == Parameters::InForce;
        if !replicates || !self.plan.calls.is_empty() {
            return;
        }
        if instance.master_secret.is_some() {
            return self.moving("RDS still keeps its master's password in Secrets Manager");
        }
        if !instance.tags.contains_key(names::TAG_UPGRADE) {
            self.call(rds::Call::Tag { arn: instance.arn.clone(), tags: stage_tag(PREPARING) });
        }
        self.call(blue_green::create(self.platform, self.wanted, instance, tags(self.platform)));
        self.moving(format!("an instance with version {} is made beside it", self.wanted.version));
    }

    /// Shows what is ahead. It can be approved when green is there to be looked at.
    fn announce(&mut self, instance: &Instance) {
        self.plan.pending.push(Pending {
            field: "version".to_owned(),
            from: version(instance).to_owned(),
            to: self.wanted.version.clone(),
            effect: Effect::Replaces,
            at: None,
        });
    }

    /// Whether green is as it shall be; then it may take over.
    fn check_green(&mut self, instance: &Instance, deployment: &Deployment) {
        let Some(green) = self.seen.resource.instances.get(&deployment.target) else {
            self.announce(instance);
            return self.moving(format!("{} is not described yet", deployment.target));
        };
        let identifier = green.identifier.clone();
        mark_green(self.platform, green).into_iter().for_each(|call| self.call(call));
        let waits = match (green.phase(), green.parameters) {
            (Phase::Broken(advice), _) => {
                let message = format!(
                    "green database {identifier} is {}: {advice}; {} goes on",
                    green.status, self.identifier
                );
                self.announce(instance);
                return self.plan.stuck(ConditionReason::Failed, message, true);
            }
            (Phase::Settled, Parameters::InForce) if is_version_met(&self.wanted.version, version(green)) => {
                return self.switch_over(instance, deployment);
            }
            (Phase::Settled, Parameters::PendingReboot) => {
                self.call(rds::Call::RebootInstance { identifier: identifier.clone() });
                "restarted for its parameters".to_owned()
            }
            (Phase::Settled, Parameters::Applying) => "applying its parameters".to_owned(),
            (Phase::Settled, Parameters::InForce) => format!("on version {}", version(green)),
            (Phase::Moving | Phase::Stopped | Phase::Deleting, _) => green.status.clone(),
        };
        self.announce(instance);
        self.moving(format!("green database {identifier} is {waits}"));
    }

    /// Which approval is good for the next try. One that a try was made with is not.
    fn switchover_permits(&self, instance: &Instance, deployment: &Deployment) -> Permits {
        let tried = instance.tags.get(names::TAG_UPGRADE);
        let subject = (self.wanted, &deployment.identifier, &deployment.status, tried);
        let since = self.seen.pending_since.unwrap_or(self.now);
        let AwsDatabase { restarts, maintenance_window, .. } = self.wanted;
        Permits::new(self.platform, *restarts, *maintenance_window, &subject, since, self.now)
    }

    /// Whether the next try is approved; else it is shown.
    fn is_approved(&mut self, instance: &Instance, deployment: &Deployment) -> bool {
        let permits = self.switchover_permits(instance, deployment);
        let (from, to) = (version(instance).to_owned(), self.wanted.version.clone());
        self.plan.permits_step("version", from, to, Effect::Replaces, &permits)
    }

    /// Switches over once that is approved. The approval is used up first: one that is lost is given again, one that
    /// stayed would try without end.
    fn switch_over(&mut self, instance: &Instance, deployment: &Deployment) {
        if self.is_approved(instance, deployment) {
            if !self.plan.calls.is_empty() {
                return self.moving("other changes are made before the switch-over");
            }
            let approval = self.platform.approved.clone().unwrap_or_default();
            self.call(rds::Call::Tag { arn: instance.arn.clone(), tags: stage_tag(&approval) });
            self.call(rds::Call::SwitchOver { deployment: deployment.identifier.clone() });
            return self.moving(format!("{} takes the place of {}", deployment.target, self.identifier));
        }
        let tried = instance.tags.get(names::TAG_UPGRADE).is_some_and(|tried| tried != PREPARING);
        if tried || deployment.stage() == Stage::SwitchoverFailed {
            let message = format!(
                "the switch-over to {} was not made{}; {} goes on as before. See its events in RDS, then approve status.database.approval to try again, or set database.aws.version back",
                deployment.target,
                details(deployment),
                self.identifier
            );
            return self.plan.stuck(ConditionReason::Failed, message, true);
        }
        self.tell(format!(
            "{} has the version {} and follows {}; try it, then approve status.database.approval to have it take its place",
            deployment.target, self.wanted.version, self.identifier
        ));
    }

    /// Green can't take over. It is made anew when someone mended the cause and approves.
    fn invalid(&mut self, instance: &Instance, deployment: &Deployment) {
        if self.is_approved(instance, deployment) {
            return self.abandon(deployment);
        }
        let message = format!(
            "green database {} can't take the place of {}, which goes on as before{}; mend that, then approve status.database.approval to have green made anew, or set database.aws.version back",
            deployment.target,
            self.identifier,
            details(deployment)
        );
        self.plan.stuck(ConditionReason::Failed, message, true);
    }

    /// What was blue is marked, so that only its own confirmation lets it go; then the deployment has done its work.
    fn conclude(&mut self, deployment: &Deployment) {
        if let Some(old) = self.seen.resource.instances.get(&deployment.source) {
            let mut marks = tags(self.platform);
            marks.extend(stage_tag(REPLACED));
            let missing = missing_tags(&marks, &old.tags);
            if !missing.is_empty() {
                self.call(rds::Call::Tag { arn: old.arn.clone(), tags: missing });
            }
        }
        let deployment = deployment.identifier.clone();
        self.call(rds::Call::DeleteDeployment { deployment, delete_target: false });
        self.moving("it is switched over");
    }

    /// Nothing is under way any more.
    fn unmark(&mut self, instance: &Instance) {
        if instance.tags.contains_key(names::TAG_UPGRADE) {
            let keys = BTreeSet::from([names::TAG_UPGRADE.to_owned()]);
            self.call(rds::Call::Untag { arn: instance.arn.clone(), keys });
        }
    }

    /// Nobody wants it any more.
    fn abandon(&mut self, deployment: &Deployment) {
        let calls = abandonment(self.platform, deployment, &self.seen.resource.instances);
        calls.into_iter().for_each(|call| self.call(call));
        self.moving(format!("{} is given up, and {} goes on", deployment.target, self.identifier));
    }

    /// Deployments of what a restore replaced.
    fn abandon_others(&mut self) {
        let seen = &self.seen.resource;
        for other in seen.deployments.values() {
            if other.concerns(&self.identifier) || owner(self.platform, &other.tags) != Owner::Us {
                continue;
            }
            self.abandon(other);
            // Else it would pass for one that an upgrade replaced. Until then the deployment is looked for.
            if let Some(Call::Rds(rds::Call::DeleteDeployment { .. })) = self.plan.calls.last() {
                seen.instances.get(&other.source).into_iter().for_each(|source| self.unmark(source));
            }
        }
    }

    /// What upgrades replaced, and what names it for ever.
    pub(super) fn replaced_by_upgrade(&self) -> BTreeMap<String, String> {
        let instances = self.seen.resource.instances.values();
        let marked = instances.filter(|it| it.tags.contains_key(names::TAG_UPGRADE));
        marked.map(|it| (it.identifier.clone(), it.resource_id.clone())).collect()
    }

    /// Says how to let go of what an upgrade replaced.
    pub(super) fn way_back(&mut self, identifier: &str, resource_id: &str) {
        if let State::Ready(message) = &mut self.plan.state {
            message.push_str(&format!(
                "; {identifier} is kept as the way back: set the annotation {} to {resource_id} to let it go",
                names::ANNOTATION_CONFIRM_UPGRADE
            ));
        }
    }

    /// Says how it is where nothing worse is to be said.
    fn tell(&mut self, message: String) {
        if !matches!(self.plan.state, State::Stuck { .. }) {
            self.plan.state = State::Ready(message);
        }
    }
}

fn details(deployment: &Deployment) -> String {
    deployment.details.as_ref().map(|details| format!(": {details}")).unwrap_or_default()
}
