//! ModifyDBInstance: what is changed at once, what in the maintenance window.

use super::{Finish, Instance, ParameterState, Settings, create::check_password};
use crate::aws::{
    Place,
    query::Parameters,
    rds::{
        AVAILABLE, Fault, Rds, Xml, identifier, invalid_combination, invalid_value, progress::later, times,
    },
    secrets::Secrets,
};
use jiff::Timestamp;

/// Parameters that wait for the maintenance window unless `ApplyImmediately` (RDS guide, "Settings for DB instances").
/// What is not here is changed at once in any case.
const DEFERRED: [&str; 14] = [
    "AllocatedStorage",
    "BackupRetentionPeriod",
    "CACertificateIdentifier",
    "DBInstanceClass",
    "DBSubnetGroupName",
    "EnableIAMDatabaseAuthentication",
    "EngineVersion",
    "Iops",
    "LicenseModel",
    "MultiAZ",
    "NewDBInstanceIdentifier",
    "StorageThroughput",
    "StorageType",
    // Only with a new major version.
    "DBParameterGroupName",
];

const STORAGE: [&str; 4] = ["AllocatedStorage", "Iops", "StorageThroughput", "StorageType"];

/// What is no setting, but says how the call is meant.
const MODIFIERS: [&str; 7] = [
    "DBInstanceIdentifier",
    "ApplyImmediately",
    "AllowMajorVersionUpgrade",
    "CertificateRotationRestart",
    "ManageMasterUserPassword",
    "RotateMasterUserPassword",
    "MasterUserSecretKmsKeyId",
];

impl Rds {
    pub(in crate::aws::rds) fn modify_instance(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        let instance = self.instance(&name)?;
        let may_change = instance.is_available() || instance.progress.is_idle() && instance.can_be_mended();
        if !may_change {
            return Err(not_available(instance));
        }
        let immediately = parameters.boolean("ApplyImmediately")?.unwrap_or(false);
        let mut change = parameters.clone();
        change.0.retain(|key, _| !MODIFIERS.contains(&key.as_str()));
        let wanted = self.check_change(instance, parameters, &change, place)?;
        // A major version stands for its newest minor one.
        change
            .0
            .entry("EngineVersion".to_owned())
            .and_modify(|version| *version = wanted.version.to_string());
        let upgrades_major = wanted.version.major != instance.settings.version.major;
        let (mut at_once, mut deferred) = (Parameters::default(), Parameters::default());
        let mut unchanged = Vec::new();
        for (key, value) in change.0 {
            let one = Parameters([(key.clone(), value.clone())].into());
            if DEFERRED.contains(&key.as_str()) && instance.settings_have(&one) {
                // Asking for what is in effect takes back what was pending.
                unchanged.push(key);
            } else if is_deferred(instance, &key, &value, upgrades_major) {
                deferred.0.insert(key, value);
            } else {
                at_once.0.insert(key, value);
            }
        }
        self.change_secret(&name, parameters, immediately, now, place, secrets)?;
        self.change_at_once(&name, &at_once, now)?;
        let instance = self.instance_mut(&name)?;
        for key in unchanged {
            instance.pending.0.remove(&key);
        }
        instance.pending.0.extend(deferred.0);
        if immediately {
            instance.begin_pending(now);
        }
        let instance = self.instance(&name)?;
        Ok(Xml::new().element("DBInstance", self.show_instance(instance, now, place, secrets)))
    }

    fn check_change(
        &self,
        instance: &Instance,
        parameters: &Parameters,
        change: &Parameters,
        place: &Place,
    ) -> Result<Settings, Fault> {
        let before = &instance.settings;
        let mut wanted = before.clone();
        wanted.apply(&instance.engine, &instance.pending)?;
        let mut over = change.clone();
        over.0.remove("MasterUserPassword");
        wanted.apply(&instance.engine, &over)?;
        if let Some(password) = change.get("MasterUserPassword") {
            if instance.secret.is_some() && parameters.boolean("ManageMasterUserPassword")? != Some(false) {
                return Err(invalid_combination(
                    "You can't specify MasterUserPassword for an instance with ManageMasterUserPassword enabled.",
                ));
            }
            check_password(password)?;
        }
        if let Some(new) = change.get("NewDBInstanceIdentifier") {
            let new = identifier(&Parameters([("New".to_owned(), new.to_owned())].into()), "New")?;
            if self.instances.contains_key(&new) && new != instance.identifier {
                return Err(Fault::bad_request("DBInstanceAlreadyExists", "DB instance already exists"));
            }
        }
        if change.get("EngineVersion").is_some() {
            check_version(instance, &wanted, parameters)?;
        }
        if !instance.is_aurora() {
            check_storage(instance, &wanted, change)?;
        }
        wanted.check(&instance.engine, self, place)?;
        Ok(wanted)
    }

    fn change_secret(
        &mut self,
        name: &str,
        parameters: &Parameters,
        immediately: bool,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<(), Fault> {
        let key = self.secret_key(parameters, place)?;
        let instance = self.instance_mut(name)?;
        let manage = parameters.boolean("ManageMasterUserPassword")?;
        match (manage, instance.secret.clone()) {
            (Some(_), _) if instance.cluster.is_some() => {
                return Err(invalid_combination("ManageMasterUserPassword is to be set for the DB Cluster."));
            }
            (Some(true), None) => {
                let user = instance.master_username.clone();
                instance.secret =
                    Some(secrets.create_managed(now, place, &instance.resource_id, &user, &key));
                instance.password = None;
            }
            (Some(false), Some(secret)) => {
                if parameters.get("MasterUserPassword").is_none() {
                    return Err(invalid_combination(
                        "MasterUserPassword must be specified when ManageMasterUserPassword is turned off.",
                    ));
                }
                secrets.remove_managed(&secret);
                instance.secret = None;
            }
            _ => {}
        }
        if parameters.boolean("RotateMasterUserPassword")? == Some(true) {
            let secret = instance.secret.clone().ok_or_else(|| {
                invalid_combination("RotateMasterUserPassword needs ManageMasterUserPassword.")
            })?;
            if !immediately {
                return Err(invalid_combination("RotateMasterUserPassword needs ApplyImmediately."));
            }
            secrets.rotate_managed(&secret, now);
        }
        Ok(())
    }

    fn change_at_once(&mut self, name: &str, change: &Parameters, now: Timestamp) -> Result<(), Fault> {
        let instance = self.instance_mut(name)?;
        let before = instance.settings.clone();
        let mut quiet = change.clone();
        let port = quiet.0.remove("DBPortNumber");
        let password = quiet.0.remove("MasterUserPassword");
        instance.settings.apply(&instance.engine, &quiet)?;
        let settings = &instance.settings;
        if settings.parameter_group != before.parameter_group {
            instance.parameters = ParameterState::PendingReboot;
        }
        if settings.backup_window != before.backup_window {
            instance.next_backup = settings.backup_window.next(now);
        }
        if settings.maintenance_window != before.maintenance_window {
            instance.next_window = settings.maintenance_window.next(now);
        }
        if settings.backup_retention != before.backup_retention {
            instance.next_backup = settings.backup_window.next(now);
        }
        if settings.monitoring_interval != before.monitoring_interval {
            let status = "configuring-enhanced-monitoring";
            instance.progress.add(now, instance.progress.rest, times::NOTICE, Finish::Nothing);
            instance.progress.add(now, status, times::MONITORING, Finish::Nothing);
        }
        if let Some(port) = port.filter(|port| *port != before.port.to_string()) {
            let change = Parameters([("DBPortNumber".to_owned(), port)].into());
            instance.pending.0.extend(change.0.clone());
            instance.progress.add(now, instance.progress.rest, times::NOTICE, Finish::Nothing);
            instance.progress.add(now, "modifying", times::MODIFY, Finish::Apply(change));
            instance.progress.add(now, "rebooting", times::REBOOT, Finish::Rebooted);
        }
        if let Some(password) = password {
            let change = Parameters([("MasterUserPassword".to_owned(), password)].into());
            instance.pending.0.extend(change.0.clone());
            let status = "resetting-master-credentials";
            instance.progress.add(now, instance.progress.rest, times::NOTICE, Finish::Nothing);
            instance.progress.add(now, status, times::CREDENTIALS, Finish::Apply(change));
        }
        instance.watch_storage(now);
        Ok(())
    }

    /// The maintenance window begins for an available instance.
    pub(super) fn instance_window(&mut self, name: &str, at: Timestamp) {
        self.maintain_in_window(name, at);
        if let Some(instance) = self.instances.get_mut(name) {
            instance.begin_pending(at);
        }
    }

    /// Pending values are in effect.
    pub(super) fn applied(&mut self, name: &str, change: &Parameters, at: Timestamp, place: &Place) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let before = instance.settings.clone();
        if instance.settings.apply(&instance.engine, change).is_err() {
            return;
        }
        instance.pending.0.retain(|key, value| change.get(key) != Some(value));
        if let Some(password) = change.get("MasterUserPassword") {
            instance.password = Some(password.to_owned());
        }
        let settings = instance.settings.clone();
        if (settings.backup_retention == 0) != (before.backup_retention == 0) {
            instance.next_backup = settings.backup_window.next(at);
            instance.restorable_from = None;
        }
        let storage_changed = before.allocated_storage != settings.allocated_storage
            || before.storage_type != settings.storage_type
            || (before.iops, before.throughput) != (settings.iops, settings.throughput);
        if storage_changed {
            instance.storage_changed = Some(at);
        }
        if before.version != settings.version {
            instance.parameters = ParameterState::InSync;
        }
        instance.watch_storage(at);
        let backs_up = before.backup_retention == 0 && settings.backup_retention > 0;
        let new_name = change.get("NewDBInstanceIdentifier").map(str::to_lowercase);
        self.instance_event(
            at,
            place,
            name,
            "configuration change",
            "Finished applying modification to the DB instance",
        );
        if backs_up {
            self.back_up(name, at, place);
        }
        if let Some(new_name) = new_name {
            self.rename(name, &new_name);
        }
    }

    pub(in crate::aws::rds) fn rename(&mut self, name: &str, new_name: &str) {
        if let Some(mut instance) = self.instances.remove(name) {
            new_name.clone_into(&mut instance.identifier);
            new_name.clone_into(&mut instance.endpoint);
            if let Some(cluster) = instance.cluster.as_ref().and_then(|name| self.clusters.get_mut(name)) {
                cluster.renamed(name, new_name);
            }
            self.instances.insert(new_name.to_owned(), instance);
        }
    }
}

impl Instance {
    /// Whether it can be modified to leave a status that is not `available`.
    fn can_be_mended(&self) -> bool {
        ["storage-full", "incompatible-parameters", "incompatible-credentials", "incompatible-option-group"]
            .contains(&self.status())
    }

    /// Begins what is pending: from now on it is in work, though still shown as pending.
    pub(in crate::aws::rds) fn begin_pending(&mut self, now: Timestamp) {
        let mut change = self.pending.clone();
        for finish in self.progress.finishes() {
            if let Finish::Apply(begun) = finish {
                change.0.retain(|key, value| begun.get(key) != Some(value));
            }
        }
        if change.0.is_empty() {
            return;
        }
        let rest = self.progress.rest;
        self.progress.add(now, rest, times::NOTICE, Finish::Nothing);
        let take = |change: &mut Parameters, keys: &[&str]| {
            let taken = keys.iter().filter_map(|key| change.0.remove_entry(*key)).collect();
            Parameters(taken)
        };
        let upgrade = take(&mut change, &["EngineVersion", "DBParameterGroupName"]);
        let rename = take(&mut change, &["NewDBInstanceIdentifier"]);
        if !change.0.is_empty() {
            self.progress.add(now, "modifying", times::MODIFY, Finish::Apply(change));
        }
        if !upgrade.0.is_empty() {
            self.progress.add(now, "upgrading", times::UPGRADE, Finish::Apply(upgrade));
        }
        if !rename.0.is_empty() {
            self.progress.add(now, "renaming", times::RENAME, Finish::Apply(rename));
        }
    }

    fn settings_have(&self, change: &Parameters) -> bool {
        if let Some(name) = change.get("NewDBInstanceIdentifier") {
            return name.eq_ignore_ascii_case(&self.identifier);
        }
        let mut changed = self.settings.clone();
        changed.apply(&self.engine, change).is_ok()
            && format!("{changed:?}") == format!("{:?}", self.settings)
    }
}

fn is_deferred(instance: &Instance, key: &str, value: &str, upgrades_major: bool) -> bool {
    match key {
        "BackupRetentionPeriod" => (instance.settings.backup_retention == 0) != (value == "0"),
        "DBParameterGroupName" => upgrades_major,
        key => DEFERRED.contains(&key),
    }
}

pub(in crate::aws::rds) fn not_available(instance: &Instance) -> Fault {
    Fault::bad_request(
        "InvalidDBInstanceState",
        format!(
            "Database instance is not in available state: {} is {}",
            instance.identifier,
            instance.status()
        ),
    )
}

fn check_version(instance: &Instance, wanted: &Settings, parameters: &Parameters) -> Result<(), Fault> {
    let before = instance.settings.version;
    let version = wanted.version;
    if version == before {
        return Ok(());
    }
    if instance.is_aurora() {
        return Err(invalid_combination("EngineVersion is to be set for the DB Cluster."));
    }
    check_upgrade(&instance.engine, before, version, parameters)?;
    let default = crate::aws::rds::groups::ParameterGroups::default_name(&before.family(&instance.engine));
    let keeps_group = wanted.parameter_group == instance.settings.parameter_group;
    if version.major != before.major && instance.settings.parameter_group != default && keeps_group {
        return Err(invalid_combination(
            "The current DB instance has a custom DB parameter group. Specify a DB parameter group of the new major version.",
        ));
    }
    Ok(())
}

pub(in crate::aws::rds) fn check_upgrade(
    engine: &str,
    before: crate::aws::rds::engine::Version,
    version: crate::aws::rds::engine::Version,
    parameters: &Parameters,
) -> Result<(), Fault> {
    if !before.upgrades_to(version) {
        return Err(invalid_combination(format!(
            "Cannot upgrade {engine} from {before} to {version}. Choose a version from the valid upgrade targets."
        )));
    }
    let allowed = parameters.boolean("AllowMajorVersionUpgrade")?.unwrap_or(false);
    if version.major != before.major && !allowed {
        return Err(invalid_combination(
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
        ));
    }
    Ok(())
}

fn check_storage(instance: &Instance, wanted: &Settings, change: &Parameters) -> Result<(), Fault> {
    let before = &instance.settings;
    let changes_storage = STORAGE
        .iter()
        .filter_map(|key| change.0.get_key_value(*key))
        .any(|(key, value)| !instance.settings_have(&Parameters([(key.clone(), value.clone())].into())));
    if !changes_storage {
        return Ok(());
    }
    if instance.storage_changed.is_some() {
        return Err(invalid_combination(
            "You can't currently modify the storage of this DB instance because the previous storage change is being optimized.",
        ));
    }
    let (old, new) = (before.allocated_storage, wanted.allocated_storage);
    if new < old {
        return Err(invalid_combination(format!(
            "Invalid storage size: the allocated storage can't be reduced from {old} to {new}."
        )));
    }
    if new > old && new * 10 < old * 11 {
        return Err(invalid_combination(format!(
            "Invalid storage size {new}: the allocated storage must be increased by at least 10 percent of {old}."
        )));
    }
    let kept_iops = change.get("StorageType").is_none() || change.get("Iops").is_some();
    if ["io1", "io2"].contains(&wanted.storage_type.as_str()) && !kept_iops && wanted.iops.is_none() {
        return Err(invalid_value("Iops must be provided with storage type io1 or io2."));
    }
    Ok(())
}

/// Dynamic parameters changed in the group of an instance, or static ones.
pub(in crate::aws::rds) fn parameters_changed(instance: &mut Instance, needs_reboot: bool, now: Timestamp) {
    instance.parameters = match instance.parameters {
        _ if needs_reboot => ParameterState::PendingReboot,
        ParameterState::PendingReboot => ParameterState::PendingReboot,
        _ => ParameterState::Applying(later(now, times::PARAMETERS)),
    };
    if instance.progress.rest == "incompatible-parameters" {
        instance.progress.rest = AVAILABLE;
    }
}
