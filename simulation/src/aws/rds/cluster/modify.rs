//! ModifyDBCluster.

use super::{Finish, Rds};
use crate::aws::{
    Place,
    query::Parameters,
    rds::{
        Fault, Xml, identifier,
        instance::{check_password, check_upgrade},
        invalid_combination, times,
    },
    secrets::Secrets,
};
use jiff::Timestamp;

/// Parameters that wait for the maintenance window unless `ApplyImmediately` (Aurora guide, "Settings for Amazon
/// Aurora").
const DEFERRED: [&str; 3] = ["EnableIAMDatabaseAuthentication", "EngineVersion", "NewDBClusterIdentifier"];

/// What is no setting, but says how the call is meant.
const MODIFIERS: [&str; 6] = [
    "DBClusterIdentifier",
    "ApplyImmediately",
    "AllowMajorVersionUpgrade",
    "ManageMasterUserPassword",
    "RotateMasterUserPassword",
    "MasterUserSecretKmsKeyId",
];

impl Rds {
    pub(in crate::aws::rds) fn modify_cluster(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let cluster = self.cluster(&name)?;
        cluster.check_available()?;
        let immediately = parameters.boolean("ApplyImmediately")?.unwrap_or(false);
        let mut change = parameters.clone();
        change.0.retain(|key, _| !MODIFIERS.contains(&key.as_str()));
        let password = change.0.remove("MasterUserPassword");
        let mut wanted = cluster.clone();
        wanted.apply(&change)?;
        wanted.check(self)?;
        if wanted.version != cluster.version {
            check_upgrade(&cluster.engine, cluster.version, wanted.version, parameters)?;
        }
        change
            .0
            .entry("EngineVersion".to_owned())
            .and_modify(|version| *version = wanted.version.to_string());
        if let Some(new) = change.get("NewDBClusterIdentifier") {
            let new = identifier(&Parameters([("New".to_owned(), new.to_owned())].into()), "New")?;
            if self.clusters.contains_key(&new) {
                return Err(Fault::bad_request("DBClusterAlreadyExistsFault", "DB Cluster already exists"));
            }
        }
        if let Some(password) = &password {
            if cluster.secret.is_some() && parameters.boolean("ManageMasterUserPassword")? != Some(false) {
                return Err(invalid_combination(
                    "You can't specify MasterUserPassword for a cluster with ManageMasterUserPassword enabled.",
                ));
            }
            check_password(password)?;
        }
        self.change_cluster_secret(&name, parameters, password.is_some(), immediately, now, place, secrets)?;
        let cluster = self.cluster_mut(&name)?;
        let (before, port) = (cluster.clone(), change.0.remove("Port"));
        let (deferred, at_once): (std::collections::BTreeMap<_, _>, _) =
            change.0.into_iter().partition(|(key, _)| DEFERRED.contains(&key.as_str()));
        cluster.apply(&Parameters(at_once))?;
        cluster.pending.0.extend(deferred);
        if wanted.version == before.version {
            cluster.pending.0.remove("EngineVersion");
        }
        cluster.next_backup = cluster.backup_window.next(now);
        cluster.next_window = cluster.maintenance_window.next(now);
        let mut begun = Parameters::default();
        begun.0.extend(password.map(|password| ("MasterUserPassword".to_owned(), password)));
        begun.0.extend(
            port.filter(|port| *port != before.port.to_string()).map(|port| ("Port".to_owned(), port)),
        );
        let changes_storage = cluster.storage_type != before.storage_type;
        let reboots = cluster.parameter_group != before.parameter_group;
        if !begun.0.is_empty() || changes_storage {
            let rest = cluster.progress.rest;
            cluster.progress.add(now, rest, times::NOTICE, Finish::Nothing);
            cluster.progress.add(now, "modifying", times::MODIFY, Finish::Apply(begun));
        }
        if reboots {
            for member in before.members {
                if let Some(instance) = self.instances.get_mut(&member.identifier) {
                    crate::aws::rds::instance::parameters_changed(instance, true, now);
                }
            }
        }
        if immediately {
            self.begin_cluster_changes(&name, now);
        }
        self.answer_cluster(&name, now, place, secrets)
    }

    #[expect(clippy::too_many_arguments, reason = "what a call has, and two facts of it")]
    fn change_cluster_secret(
        &mut self,
        name: &str,
        parameters: &Parameters,
        has_password: bool,
        immediately: bool,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<(), Fault> {
        let key = self.secret_key(parameters, place)?;
        let cluster = self.cluster_mut(name)?;
        match (parameters.boolean("ManageMasterUserPassword")?, cluster.secret.clone()) {
            (Some(true), None) => {
                let (id, user) = (&cluster.resource_id, &cluster.master_username);
                cluster.secret = Some(secrets.create_managed(now, place, id, user, &key));
                cluster.password = None;
            }
            (Some(false), Some(secret)) => {
                if !has_password {
                    return Err(invalid_combination(
                        "MasterUserPassword must be specified when ManageMasterUserPassword is turned off.",
                    ));
                }
                secrets.remove_managed(&secret);
                cluster.secret = None;
            }
            _ => {}
        }
        if parameters.boolean("RotateMasterUserPassword")? == Some(true) {
            match &cluster.secret {
                Some(secret) if immediately => secrets.rotate_managed(secret, now),
                Some(_) => {
                    return Err(invalid_combination("RotateMasterUserPassword needs ApplyImmediately."));
                }
                None => {
                    return Err(invalid_combination(
                        "RotateMasterUserPassword needs ManageMasterUserPassword.",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Begins what is pending.
    pub(super) fn begin_cluster_changes(&mut self, name: &str, now: Timestamp) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let mut change = cluster.pending.clone();
        for finish in cluster.progress.finishes() {
            if let Finish::Apply(begun) = finish {
                change.0.retain(|key, value| begun.get(key) != Some(value));
            }
        }
        if change.0.is_empty() {
            return;
        }
        let upgrades = change.get("EngineVersion").is_some();
        let (status, lasts) = match upgrades {
            true => ("upgrading", times::UPGRADE),
            false => ("modifying", times::MODIFY),
        };
        let rest = cluster.progress.rest;
        cluster.progress.add(now, rest, times::NOTICE, Finish::Nothing);
        cluster.progress.add(now, status, lasts, Finish::Apply(change));
        if upgrades {
            for member in cluster.members.clone() {
                if let Some(instance) = self.instances.get_mut(&member.identifier) {
                    instance.pass(now, times::NOTICE, status, lasts);
                }
            }
        }
    }

    pub(super) fn cluster_applied(&mut self, name: &str, change: &Parameters, at: Timestamp, place: &Place) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        if cluster.apply(change).is_err() {
            return;
        }
        cluster.pending.0.retain(|key, value| change.get(key) != Some(value));
        if let Some(password) = change.get("MasterUserPassword") {
            cluster.password = Some(password.to_owned());
        }
        let (version, port, iam) = (cluster.version, cluster.port, cluster.iam_authentication);
        for member in cluster.members.clone() {
            if let Some(instance) = self.instances.get_mut(&member.identifier) {
                instance.follow(version, port, iam);
            }
        }
        self.cluster_event(
            at,
            place,
            name,
            "configuration change",
            "Finished applying modification to the DB cluster",
        );
        if let Some(new_name) = change.get("NewDBClusterIdentifier").map(str::to_lowercase)
            && let Some(mut cluster) = self.clusters.remove(name)
        {
            new_name.clone_into(&mut cluster.identifier);
            for member in &cluster.members {
                if let Some(instance) = self.instances.get_mut(&member.identifier) {
                    instance.cluster = Some(new_name.clone());
                }
            }
            self.clusters.insert(new_name, cluster);
        }
    }
}
