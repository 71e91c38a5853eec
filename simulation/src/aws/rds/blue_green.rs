//! Blue/green deployments of instances (RDS guide, "Limitations and considerations for blue/green deployments").

use super::{
    AVAILABLE, Fault, Instance, ParameterState, Parameters, Rds, Xml,
    engine::Version,
    instance::{by_name, check_upgrade, not_available},
    invalid_combination, invalid_value,
    progress::{Progress, Status},
    tag, times,
};
use crate::aws::{Place, query, secrets::Secrets};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A blue/green deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// `BlueGreenDeploymentIdentifier`.
    pub identifier: String,
    /// `BlueGreenDeploymentName`.
    pub name: String,
    /// Identifier of the blue instance.
    pub source: String,
    /// Identifier of the green instance.
    pub target: String,
    /// `StatusDetails`.
    pub details: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// How the next switch-over fails, and why.
    failure: Option<(Status, String)>,
    created: Timestamp,
    progress: Progress<Finish>,
}

#[derive(Clone, Copy, Debug)]
enum Finish {
    Provisioned,
    SwitchedOver,
}

const COMPLETED: Status = "SWITCHOVER_COMPLETED";
const READY: Status = "AVAILABLE";

/// Parameters of the green instance, and what an instance calls them.
const TARGET: [(&str, &str); 7] = [
    ("TargetEngineVersion", "EngineVersion"),
    ("TargetDBParameterGroupName", "DBParameterGroupName"),
    ("TargetDBInstanceClass", "DBInstanceClass"),
    ("TargetAllocatedStorage", "AllocatedStorage"),
    ("TargetStorageType", "StorageType"),
    ("TargetIops", "Iops"),
    ("TargetStorageThroughput", "StorageThroughput"),
];

impl Deployment {
    /// Brings it into a status, such as `INVALID_CONFIGURATION`, for a reason.
    pub fn force_status(&mut self, status: Status, details: &str) {
        self.progress.rest_at(status);
        self.details = Some(details.to_owned());
    }

    /// Makes the next switch-over fail: all is led back, and it rests in this status.
    pub fn fail_switchover(&mut self, status: Status, details: &str) {
        self.failure = Some((status, details.to_owned()));
    }

    /// Its status as describes show it.
    #[must_use]
    pub fn status(&self) -> Status {
        self.progress.status()
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.progress.due()
    }
}

impl Rds {
    pub(super) fn deployment_happens(&mut self, id: &str, at: Timestamp) {
        let Some(deployment) = self.deployments.get_mut(id) else { return };
        match deployment.progress.finish(at) {
            Some(Finish::Provisioned) => deployment.progress.rest = READY,
            Some(Finish::SwitchedOver) => {
                if let Some((status, details)) = deployment.failure.take() {
                    return deployment.force_status(status, &details);
                }
                deployment.progress.rest = COMPLETED;
                let (blue, green) = (deployment.source.clone(), deployment.target.clone());
                let old = format!("{blue}-old1");
                old.clone_into(&mut deployment.source);
                blue.clone_into(&mut deployment.target);
                self.switch_over_to(&blue, &green, &old);
            }
            None => {}
        }
    }

    /// Green has what blue has, and its name, endpoint and tags. Blue keeps its tags.
    fn switch_over_to(&mut self, blue: &str, green: &str, old: &str) {
        let from = self.instances.get(blue).map(|instance| (instance.data.clone(), instance.tags.clone()));
        if let (Some((data, tags)), Some(green)) = (from, self.instances.get_mut(green)) {
            green.data = data;
            green.tags = tags;
        }
        self.rename(blue, old);
        self.rename(green, blue);
    }

    pub(super) fn perform_on_deployments(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        match operation {
            "CreateBlueGreenDeployment" => self.create_deployment(parameters, now, place, secrets),
            "DescribeBlueGreenDeployments" => self.describe_deployments(parameters, place),
            "SwitchoverBlueGreenDeployment" => self.switch_over(parameters, now, place),
            "DeleteBlueGreenDeployment" => self.delete_deployment(parameters, now, place),
            _ => Err(Fault::bad_request("InvalidAction", format!("Could not find operation {operation}"))),
        }
    }

    fn create_deployment(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = parameters.required("BlueGreenDeploymentName")?.to_owned();
        let source = parameters.required("Source")?;
        if source.contains(":cluster:") {
            return Err(Fault::bad_request(
                "SourceClusterNotSupportedFault",
                "The fake has blue/green deployments of DB instances only.",
            ));
        }
        let source = by_name(source);
        let taken = self
            .deployments
            .values()
            .any(|one| one.name == name || one.source == source && one.status() != COMPLETED);
        if taken {
            return Err(Fault::bad_request(
                "BlueGreenDeploymentAlreadyExistsFault",
                format!(
                    "A blue/green deployment with the name {name} or the source {source} already exists."
                ),
            ));
        }
        let blue = self.instance(&source)?;
        if !blue.is_available() {
            return Err(not_available(blue));
        }
        if blue.settings.backup_retention == 0 || blue.is_aurora() {
            return Err(Fault::bad_request(
                "SourceDatabaseNotSupportedFault",
                format!("{source} needs automated backups: set its backup retention period."),
            ));
        }
        let has_proxy = self
            .proxies
            .values()
            .any(|proxy| proxy.target.as_ref().is_some_and(|target| target.identifier == source));
        if blue.secret.is_some() || has_proxy {
            return Err(Fault::bad_request(
                "SourceDatabaseNotSupportedFault",
                format!(
                    "{source} has a managed master password or a proxy: blue/green deployments support neither."
                ),
            ));
        }
        let mut target = Parameters::default();
        for (theirs, ours) in TARGET {
            target.0.extend(parameters.get(theirs).map(|value| (ours.to_owned(), value.to_owned())));
        }
        let origin = blue.origin(now);
        let mut wanted = origin.settings.clone();
        wanted.apply(&origin.engine, &target)?;
        if wanted.version != origin.settings.version {
            let allowed = Parameters([("AllowMajorVersionUpgrade".to_owned(), "true".to_owned())].into());
            self.check_replication(blue, wanted.version)?;
            check_upgrade(&origin.engine, origin.settings.version, wanted.version, &allowed)?;
        }
        let id = self.next_token(place, &name, 17);
        let green = format!("{source}-green-{}", &id[..6]);
        self.launch(&green, origin, &target, now, place, secrets)?;
        let mut deployment = Deployment {
            identifier: format!("bgd-{id}"),
            name,
            source,
            target: green,
            details: None,
            failure: None,
            tags: parameters.tags(),
            created: now,
            progress: Progress::resting("PROVISIONING"),
        };
        deployment.progress.add(now, "PROVISIONING", times::GREEN, Finish::Provisioned);
        let shown = show(&deployment, place);
        self.deployments.insert(deployment.identifier.clone(), deployment);
        Ok(Xml::new().element("BlueGreenDeployment", shown))
    }

    /// To another major version, green follows by logical replication.
    fn check_replication(&self, blue: &Instance, version: Version) -> Result<(), Fault> {
        let settings = &blue.settings;
        let group = self.groups.groups.get(&settings.parameter_group);
        let value = group.and_then(|group| group.values.get("rds.logical_replication"));
        let is_on = value.is_some_and(|value| value == "1") && blue.parameters == ParameterState::InSync;
        if version.major == settings.version.major || is_on {
            return Ok(());
        }
        Err(Fault::bad_request(
            "SourceDatabaseNotSupportedFault",
            format!(
                "The parameter group {} must have rds.logical_replication 1, and be in force.",
                settings.parameter_group
            ),
        ))
    }

    fn describe_deployments(&self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let known = ["blue-green-deployment-identifier", "blue-green-deployment-name", "source", "target"];
        let filters = query::filters(parameters, &known)?;
        let wanted = parameters.get("BlueGreenDeploymentIdentifier");
        if let Some(id) = wanted
            && !self.deployments.contains_key(id)
        {
            return Err(no_deployment(id));
        }
        let found = self.deployments.values().filter(|one| {
            wanted.is_none_or(|id| id == one.identifier)
                && filters.iter().all(|(filter, values)| match filter.as_str() {
                    "blue-green-deployment-identifier" => values.contains(&one.identifier),
                    "blue-green-deployment-name" => values.contains(&one.name),
                    "source" => values.contains(&arn(&one.source, place)),
                    _ => values.contains(&arn(&one.target, place)),
                })
        });
        let page = query::page(parameters, found.map(|one| (one.identifier.clone(), show(one, place))))?;
        Ok(Xml::new().list("BlueGreenDeployments", "member", page.items).optional("Marker", page.marker))
    }

    fn switch_over(&mut self, parameters: &Parameters, now: Timestamp, place: &Place) -> Result<Xml, Fault> {
        if parameters.integer("SwitchoverTimeout")?.is_some_and(|seconds| !(30..=3600).contains(&seconds)) {
            return Err(invalid_value("SwitchoverTimeout must be between 30 and 3600 seconds."));
        }
        let id = parameters.required("BlueGreenDeploymentIdentifier")?;
        let deployment = self.deployments.get(id).ok_or_else(|| no_deployment(id))?;
        let up = |name: &str| self.instances.get(name).is_some_and(|one| one.status() == AVAILABLE);
        if deployment.status() != READY || !up(&deployment.source) || !up(&deployment.target) {
            return Err(invalid_state(deployment));
        }
        let deployment = self.deployments.get_mut(id).ok_or_else(|| no_deployment(id))?;
        deployment.progress.add(now, "SWITCHOVER_IN_PROGRESS", times::SWITCHOVER, Finish::SwitchedOver);
        Ok(Xml::new().element("BlueGreenDeployment", show(deployment, place)))
    }

    fn delete_deployment(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let id = parameters.required("BlueGreenDeploymentIdentifier")?;
        let deployment = self.deployments.get(id).ok_or_else(|| no_deployment(id))?;
        let deletes_target = parameters.boolean("DeleteTarget")?.unwrap_or(false);
        let is_busy = deployment.status() == "SWITCHOVER_IN_PROGRESS";
        // After a switchover, the target is production.
        if is_busy || deletes_target && deployment.status() == COMPLETED {
            return Err(invalid_state(deployment));
        }
        let target = deployment.target.clone();
        let green = self.instances.get(&target);
        if deletes_target && green.is_some_and(|green| green.settings.deletion_protection) {
            return Err(invalid_combination(
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            ));
        }
        let shown = show(deployment, place);
        self.deployments.remove(id);
        if deletes_target && let Some(green) = self.instances.get_mut(&target) {
            green.begin_deletion(now);
        }
        Ok(Xml::new().element("BlueGreenDeployment", shown))
    }
}

fn no_deployment(id: &str) -> Fault {
    Fault::not_found("BlueGreenDeploymentNotFoundFault", format!("BlueGreenDeployment {id} not found."))
}

fn invalid_state(deployment: &Deployment) -> Fault {
    Fault::bad_request(
        "InvalidBlueGreenDeploymentStateFault",
        format!(
            "The blue/green deployment {} or one of its instances is in no state for this: {}.",
            deployment.identifier,
            deployment.status()
        ),
    )
}

fn arn(name: &str, place: &Place) -> String {
    place.arn("rds", &format!("db:{name}"))
}

fn show(deployment: &Deployment, place: &Place) -> Xml {
    let (source, target) = (arn(&deployment.source, place), arn(&deployment.target, place));
    let detail = Xml::new()
        .text("SourceMember", &source)
        .text("TargetMember", &target)
        .text("Status", deployment.status());
    Xml::new()
        .text("BlueGreenDeploymentIdentifier", &deployment.identifier)
        .text("BlueGreenDeploymentName", &deployment.name)
        .text("Source", &source)
        .text("Target", &target)
        .text("Status", deployment.status())
        .optional("StatusDetails", deployment.details.clone())
        .text("CreateTime", deployment.created)
        .list("SwitchoverDetails", "member", [detail])
        .list("TagList", "Tag", deployment.tags.iter().map(|(key, value)| tag(key, value)))
}
