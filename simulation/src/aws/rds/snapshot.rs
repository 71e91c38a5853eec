//! Snapshots of instances, and what is restored from them or to a point in time.

mod cluster;

pub use cluster::ClusterSnapshot;

use super::{
    Fault, Parameters, Rds, Xml,
    groups::ParameterGroups,
    identifier,
    instance::{Finish, Instance, Origin, Settings, by_name, not_available},
    invalid_combination, invalid_value,
    progress::later,
    seed, tag, times,
    window::Window,
};
use crate::aws::{Place, query, secrets::Secrets};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A DB snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// `DBSnapshotIdentifier`.
    pub identifier: String,
    /// Identifier of its instance.
    pub instance: String,
    /// `DbiResourceId` of its instance.
    pub resource_id: String,
    /// Whether AWS made it, and lets it expire.
    pub automated: bool,
    /// What a restore begins with; its data is the snapshot's.
    pub origin: Origin,
    /// `SnapshotCreateTime`.
    pub at: Timestamp,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    instance_created: Option<Timestamp>,
    zone: char,
    ready: Option<Timestamp>,
}

impl Snapshot {
    /// `creating` or `available`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.ready.is_some() { "creating" } else { "available" }
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.ready
    }
}

impl Instance {
    /// What a copy begins with that is made of the state at a time.
    pub(super) fn origin(&self, until: Timestamp) -> Origin {
        Origin {
            engine: self.engine.clone(),
            settings: self.settings.clone(),
            cluster: None,
            master_username: self.master_username.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            key: self.key.clone(),
            data: self.data.until(until),
            used_storage: self.used_storage,
            tags: BTreeMap::new(),
        }
    }
}

impl Rds {
    pub(super) fn snapshot_happens(&mut self, name: &str) {
        if let Some(snapshot) = self.snapshots.get_mut(name) {
            snapshot.ready = None;
        }
    }

    /// An automated backup begins.
    pub(super) fn back_up(&mut self, name: &str, at: Timestamp, place: &Place) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        instance.progress.add(at, "backing-up", times::BACKUP, Finish::Nothing);
        instance.restorable_from.get_or_insert(at);
        let kept = SignedDuration::from_hours(24 * instance.settings.backup_retention);
        let oldest = at.saturating_sub(kept).unwrap_or(at);
        instance.restorable_from = instance.restorable_from.map(|from| from.max(oldest));
        let resource_id = instance.resource_id.clone();
        let identifier = format!("rds:{name}-{}", at.strftime("%Y-%m-%d-%H-%M"));
        self.take(name, identifier, true, BTreeMap::new(), at);
        self.snapshots.retain(|_, snapshot| {
            !snapshot.automated || snapshot.resource_id != resource_id || snapshot.at > oldest
        });
        self.instance_event(at, place, name, "backup", "Backing up DB instance");
    }

    fn take(
        &mut self,
        name: &str,
        identifier: String,
        automated: bool,
        mut tags: BTreeMap<String, String>,
        at: Timestamp,
    ) {
        let Some(instance) = self.instances.get(name) else { return };
        if instance.settings.copy_tags {
            let copied = instance.tags.iter().map(|(key, value)| (key.clone(), value.clone()));
            tags = copied.chain(tags).collect();
        }
        let snapshot = Snapshot {
            identifier: identifier.clone(),
            instance: name.to_owned(),
            resource_id: instance.resource_id.clone(),
            automated,
            origin: instance.origin(at),
            at,
            tags,
            instance_created: instance.created,
            zone: instance.zone,
            ready: Some(later(at, times::BACKUP)),
        };
        self.snapshots.insert(identifier, snapshot);
    }

    /// Makes a manual snapshot under the name that a parameter gives.
    pub(super) fn snapshot_instance(
        &mut self,
        name: &str,
        parameters: &Parameters,
        parameter: &str,
        now: Timestamp,
        place: &Place,
    ) -> Result<(), Fault> {
        let identifier = identifier(parameters, parameter)?;
        if self.snapshots.contains_key(&identifier) {
            return Err(Fault::bad_request(
                "DBSnapshotAlreadyExists",
                format!(
                    "Cannot create the snapshot because a snapshot with the identifier {identifier} already exists."
                ),
            ));
        }
        self.take(name, identifier, false, parameters.tags(), now);
        self.instance_event(now, place, name, "backup", "Creating manual snapshot");
        Ok(())
    }

    pub(super) fn create_snapshot(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        let instance = self.instance(&name)?;
        if instance.is_aurora() {
            return Err(invalid_combination(
                "Aurora instances have no snapshots: use CreateDBClusterSnapshot.",
            ));
        }
        if !instance.is_available() {
            return Err(not_available(instance));
        }
        self.snapshot_instance(&name, parameters, "DBSnapshotIdentifier", now, place)?;
        let instance = self.instance_mut(&name)?;
        instance.progress.add(now, "backing-up", times::BACKUP, Finish::Nothing);
        self.answer_snapshot(&identifier(parameters, "DBSnapshotIdentifier")?, place)
    }

    pub(super) fn copy_snapshot(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let source = parameters.required("SourceDBSnapshotIdentifier")?;
        let source = source.split_once(":snapshot:").map_or(source, |(_, name)| name).to_lowercase();
        let target = identifier(parameters, "TargetDBSnapshotIdentifier")?;
        if self.snapshots.contains_key(&target) {
            return Err(Fault::bad_request("DBSnapshotAlreadyExists", format!("{target} already exists")));
        }
        let mut copy = self.snapshot(&source)?.clone();
        if copy.status() != "available" {
            return Err(invalid_state(&copy));
        }
        if let Some(key) = parameters.get("KmsKeyId") {
            copy.origin.key = Some(self.key_arn(key, place)?);
        }
        if !parameters.boolean("CopyTags")?.unwrap_or(false) {
            copy.tags.clear();
        }
        copy.tags.extend(parameters.tags());
        (copy.automated, copy.ready) = (false, Some(later(now, times::BACKUP)));
        target.clone_into(&mut copy.identifier);
        self.snapshots.insert(target.clone(), copy);
        self.answer_snapshot(&target, place)
    }

    pub(super) fn delete_snapshot(&mut self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let name = parameters.required("DBSnapshotIdentifier")?.to_lowercase();
        let snapshot = self.snapshot(&name)?;
        if snapshot.automated {
            return Err(Fault::bad_request(
                "InvalidDBSnapshotState",
                "Only manual snapshots may be deleted.",
            ));
        }
        if snapshot.status() != "available" {
            return Err(invalid_state(snapshot));
        }
        let answer = self.answer_snapshot(&name, place);
        self.snapshots.remove(&name);
        answer
    }

    fn snapshot(&self, name: &str) -> Result<&Snapshot, Fault> {
        self.snapshots
            .get(name)
            .ok_or_else(|| Fault::not_found("DBSnapshotNotFound", format!("DBSnapshot {name} not found.")))
    }

    fn answer_snapshot(&self, name: &str, place: &Place) -> Result<Xml, Fault> {
        Ok(Xml::new().element("DBSnapshot", show(self.snapshot(name)?, place)))
    }

    pub(super) fn describe_snapshots(&self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let known = ["db-instance-id", "db-snapshot-id", "dbi-resource-id", "snapshot-type", "engine"];
        let filters = query::filters(parameters, &known)?;
        let wanted = parameters.get("DBSnapshotIdentifier");
        let wanted =
            wanted.map(|name| name.split_once(":snapshot:").map_or(name, |(_, name)| name).to_lowercase());
        if let Some(name) = &wanted {
            self.snapshot(name)?;
        }
        let instance = parameters.get("DBInstanceIdentifier").map(by_name);
        let kind = parameters.get("SnapshotType");
        let resource = parameters.get("DbiResourceId");
        let fits = |snapshot: &&Snapshot| {
            let has = |values: &BTreeSet<String>, text: &str| values.contains(text);
            wanted.as_ref().is_none_or(|name| *name == snapshot.identifier)
                && instance.as_ref().is_none_or(|name| *name == snapshot.instance)
                && kind.is_none_or(|kind| kind == snapshot.kind())
                && resource.is_none_or(|id| id == snapshot.resource_id)
                && filters.iter().all(|(filter, values)| match filter.as_str() {
                    "db-instance-id" => has(values, &snapshot.instance),
                    "db-snapshot-id" => has(values, &snapshot.identifier),
                    "dbi-resource-id" => has(values, &snapshot.resource_id),
                    "snapshot-type" => has(values, snapshot.kind()),
                    _ => has(values, &snapshot.origin.engine),
                })
        };
        let found = self.snapshots.values().filter(fits);
        let page = query::page(parameters, found.map(|one| (one.identifier.clone(), show(one, place))))?;
        Ok(Xml::new().list("DBSnapshots", "DBSnapshot", page.items).optional("Marker", page.marker))
    }

    pub(super) fn restore_snapshot(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        let snapshot = parameters.required("DBSnapshotIdentifier")?;
        let snapshot = snapshot.split_once(":snapshot:").map_or(snapshot, |(_, name)| name).to_lowercase();
        let snapshot = self.snapshot(&snapshot)?;
        if snapshot.status() != "available" {
            return Err(invalid_state(snapshot));
        }
        self.restore(&name, snapshot.origin.clone(), parameters, now, place, secrets)
    }

    pub(super) fn restore_to_time(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "TargetDBInstanceIdentifier")?;
        let source = match parameters.get("SourceDbiResourceId") {
            Some(id) => self.instances.values().find(|one| one.resource_id == id).ok_or_else(|| {
                Fault::not_found("DBInstanceNotFound", format!("DBInstance {id} not found."))
            })?,
            None => self.instance(&identifier(parameters, "SourceDBInstanceIdentifier")?)?,
        };
        if source.settings.backup_retention == 0 || source.is_aurora() {
            return Err(Fault::bad_request(
                "PointInTimeRestoreNotEnabled",
                format!("{} has no automated backups: its backup retention period is 0.", source.identifier),
            ));
        }
        let (Some(from), Some(latest)) = (source.restorable_from, source.latest_restorable(now)) else {
            return Err(invalid_value(format!("{} has no backup yet.", source.identifier)));
        };
        let until = restore_time(parameters, "RestoreTime", from, latest)?;
        self.restore(&name, source.origin(until), parameters, now, place, secrets)
    }

    fn restore(
        &mut self,
        name: &str,
        mut origin: Origin,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let size = origin.settings.allocated_storage;
        if parameters.integer("AllocatedStorage")?.is_some_and(|asked| asked < size) {
            return Err(invalid_value(format!(
                "The allocated storage can't be less than the source's {size} GiB."
            )));
        }
        // Of the source it has engine, class, storage and backup settings; the rest is as AWS chooses.
        let source = origin.settings;
        let mut settings =
            Settings::defaults(&origin.engine, source.version, &source.class, seed(&[&place.account, name]));
        settings.parameter_group = ParameterGroups::default_name(&source.version.family(&origin.engine));
        settings.allocated_storage = source.allocated_storage;
        settings.storage_type = source.storage_type;
        (settings.iops, settings.throughput) = (source.iops, source.throughput);
        settings.backup_retention = source.backup_retention;
        settings.port = source.port;
        if settings.maintenance_window.overlaps(source.backup_window) {
            settings.backup_window = Window::chosen_daily(seed(&[&place.account, name]));
        } else {
            settings.backup_window = source.backup_window;
        }
        origin.settings = settings;
        let mut parameters = parameters.clone();
        parameters.0.remove("MasterUserPassword");
        self.launch(name, origin, &parameters, now, place, secrets)
    }
}

/// The time to restore to, within the bounds.
pub(super) fn restore_time(
    parameters: &Parameters,
    name: &str,
    from: Timestamp,
    latest: Timestamp,
) -> Result<Timestamp, Fault> {
    let uses_latest = parameters.boolean("UseLatestRestorableTime")?.unwrap_or(false);
    match parameters.get(name) {
        Some(_) if uses_latest => {
            Err(invalid_combination(format!("{name} can't be specified if UseLatestRestorableTime is true.")))
        }
        None if !uses_latest => {
            Err(invalid_combination(format!("{name} or UseLatestRestorableTime must be specified.")))
        }
        None => Ok(latest),
        Some(text) => {
            let time: Timestamp =
                text.parse().map_err(|_| invalid_value(format!("{name} is no time: {text}")))?;
            if (from..=latest).contains(&time) {
                return Ok(time);
            }
            Err(invalid_value(format!(
                "The specified restore time {time} must be between the earliest {from} and the latest restorable time {latest}."
            )))
        }
    }
}

fn invalid_state(snapshot: &Snapshot) -> Fault {
    Fault::bad_request(
        "InvalidDBSnapshotState",
        format!("The snapshot {} is {}, not available.", snapshot.identifier, snapshot.status()),
    )
}

impl Snapshot {
    fn kind(&self) -> &'static str {
        if self.automated { "automated" } else { "manual" }
    }
}

fn show(snapshot: &Snapshot, place: &Place) -> Xml {
    let origin = &snapshot.origin;
    let is_ready = snapshot.ready.is_none();
    Xml::new()
        .text("DBSnapshotIdentifier", &snapshot.identifier)
        .text("DBSnapshotArn", place.arn("rds", &format!("snapshot:{}", snapshot.identifier)))
        .text("DBInstanceIdentifier", &snapshot.instance)
        .text("DbiResourceId", &snapshot.resource_id)
        .optional("SnapshotCreateTime", is_ready.then_some(snapshot.at))
        .text("Status", snapshot.status())
        .text("PercentProgress", if is_ready { 100 } else { 0 })
        .text("SnapshotType", snapshot.kind())
        .text("Engine", &origin.engine)
        .text("EngineVersion", origin.settings.version)
        .text("AllocatedStorage", origin.settings.allocated_storage)
        .text("StorageType", &origin.settings.storage_type)
        .optional("Iops", origin.settings.shown_iops())
        .text("Port", origin.settings.port)
        .text("MasterUsername", &origin.master_username)
        .text("Encrypted", origin.key.is_some())
        .optional("KmsKeyId", origin.key.as_ref())
        .text("AvailabilityZone", format!("{}{}", place.region, snapshot.zone))
        .optional("InstanceCreateTime", snapshot.instance_created)
        .list("TagList", "Tag", snapshot.tags.iter().map(|(key, value)| tag(key, value)))
}
