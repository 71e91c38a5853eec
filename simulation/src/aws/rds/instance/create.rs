//! CreateDBInstance, and what restores share with it.

use super::{Finish, Instance, ParameterState, Settings};
use crate::aws::{
    Place,
    query::Parameters,
    rds::{
        AVAILABLE, Fault, Rds, Xml,
        data::Data,
        engine::{self, AURORA, Version},
        identifier, invalid_combination, invalid_value,
        progress::Progress,
        seed, times, token,
    },
    secrets::Secrets,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What an instance is made of: nothing, a snapshot, another instance, or the volume of a cluster.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `postgres` or `aurora-postgresql`.
    pub engine: String,
    /// Settings that the call's parameters are set over.
    pub settings: Settings,
    /// The cluster that it joins.
    pub cluster: Option<String>,
    /// `MasterUsername`.
    pub master_username: String,
    /// The master's password, where it was not managed.
    pub password: Option<String>,
    /// `DBName`.
    pub database: Option<String>,
    /// ARN of the key of what is encrypted.
    pub key: Option<String>,
    /// What it holds.
    pub data: Data,
    /// Storage in use, GiB.
    pub used_storage: i64,
    /// Tags besides those of the call.
    pub tags: BTreeMap<String, String>,
}

impl Rds {
    pub(in crate::aws::rds) fn create_instance(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        let class = parameters.required("DBInstanceClass")?;
        let engine = parameters.required("Engine")?;
        engine::check_engine(engine)?;
        let origin = match parameters.get("DBClusterIdentifier") {
            Some(cluster) => self.of_cluster(&cluster.to_lowercase(), engine, class, parameters, place)?,
            None if engine == AURORA => {
                return Err(invalid_combination(
                    "The engine aurora-postgresql requires DBClusterIdentifier: create the DB cluster first.",
                ));
            }
            None => self.blank(&name, class, parameters, place)?,
        };
        self.launch(&name, origin, parameters, now, place, secrets)
    }

    fn blank(
        &self,
        name: &str,
        class: &str,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<Origin, Fault> {
        let engine = parameters.required("Engine")?;
        let version = match parameters.get("EngineVersion") {
            Some(version) => Version::find(engine, version)?,
            None => Version::default_version(),
        };
        let mut settings = Settings::defaults(engine, version, class, seed(&[&place.account, name]));
        settings.allocated_storage = parameters.integer("AllocatedStorage")?.ok_or_else(|| {
            invalid_combination(format!(
                "Invalid storage size for engine name {engine} and storage type gp2: 0"
            ))
        })?;
        if parameters.get("Iops").is_some() && parameters.get("StorageType").is_none() {
            "io1".clone_into(&mut settings.storage_type);
        }
        check_master(parameters)?;
        let encrypted = parameters.boolean("StorageEncrypted")?.unwrap_or(false);
        let key = self.encryption_key(parameters, encrypted, place)?;
        Ok(Origin {
            engine: engine.to_owned(),
            settings,
            cluster: None,
            master_username: parameters.required("MasterUsername")?.to_owned(),
            password: None,
            database: parameters.get("DBName").map(ToOwned::to_owned),
            key,
            data: Data::default(),
            used_storage: 1,
            tags: BTreeMap::new(),
        })
    }

    fn of_cluster(
        &self,
        cluster: &str,
        engine: &str,
        class: &str,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<Origin, Fault> {
        let cluster = self.cluster(cluster)?;
        for parameter in ["MasterUsername", "MasterUserPassword", "ManageMasterUserPassword", "DBName"] {
            if parameters.get(parameter).is_some() {
                return Err(invalid_combination(format!(
                    "The requested DB Instance will be a member of a DB Cluster. {parameter} is to be set for the DB Cluster."
                )));
            }
        }
        if cluster.engine != engine {
            return Err(invalid_combination(format!(
                "The engine name requested for your DB instance ({engine}) doesn't match the engine name of your DB cluster ({}).",
                cluster.engine
            )));
        }
        if class == engine::SERVERLESS && cluster.scaling.is_none() {
            return Err(invalid_combination(
                "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 DB instance.",
            ));
        }
        let name = parameters.get("DBInstanceIdentifier").unwrap_or_default();
        let mut settings = Settings::defaults(engine, cluster.version, class, seed(&[&place.account, name]));
        settings.backup_retention = cluster.backup_retention;
        settings.backup_window = cluster.backup_window;
        settings.port = cluster.port;
        settings.security_groups.clone_from(&cluster.security_groups);
        settings.subnet_group.clone_from(&cluster.subnet_group);
        settings.iam_authentication = cluster.iam_authentication;
        // The cluster's backup window is none of the instance's.
        if settings.backup_window.overlaps(settings.maintenance_window) {
            settings.maintenance_window = cluster.maintenance_window;
        }
        Ok(Origin {
            engine: engine.to_owned(),
            settings,
            cluster: Some(cluster.identifier.clone()),
            master_username: cluster.master_username.clone(),
            password: None,
            database: cluster.database.clone(),
            key: cluster.key.clone(),
            data: Data::default(),
            used_storage: 0,
            tags: BTreeMap::new(),
        })
    }

    /// Makes an instance of an origin, with the parameters of the call set over it.
    pub(in crate::aws::rds) fn launch(
        &mut self,
        name: &str,
        origin: Origin,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        if self.instances.contains_key(name) {
            return Err(Fault::bad_request("DBInstanceAlreadyExists", "DB instance already exists"));
        }
        let mut settings = origin.settings;
        settings.apply(&origin.engine, parameters)?;
        settings.check(&origin.engine, self, place)?;
        let secret_key = self.secret_key(parameters, place)?;
        let zone = self.zone(&settings.subnet_group, parameters.get("AvailabilityZone"))?;
        let resource_id = format!("db-{}", self.next_token(place, name, 26).to_uppercase());
        let managed = parameters.boolean("ManageMasterUserPassword")?.unwrap_or(false);
        let secret = managed
            .then(|| secrets.create_managed(now, place, &resource_id, &origin.master_username, &secret_key));
        let mut tags = origin.tags;
        tags.extend(parameters.tags());
        let mut instance = Instance {
            identifier: name.to_owned(),
            resource_id,
            engine: origin.engine,
            cluster: origin.cluster,
            pending: Parameters::default(),
            master_username: origin.master_username,
            password: parameters.get("MasterUserPassword").map(ToOwned::to_owned).or(origin.password),
            secret,
            database: origin.database,
            key: origin.key,
            zone,
            tags,
            created: None,
            data: origin.data,
            used_storage: origin.used_storage,
            endpoint: name.to_owned(),
            maintenance: Vec::new(),
            progress: Progress::resting(AVAILABLE),
            parameters: ParameterState::InSync,
            restorable_from: None,
            storage_changed: None,
            low_since: None,
            next_backup: settings.backup_window.next(now),
            next_window: settings.maintenance_window.next(now),
            stopped: None,
            settings,
        };
        let finish = match self.failures.pop_front() {
            Some((status, reason)) => Finish::Fail(status, reason),
            None => Finish::Created,
        };
        instance.progress.add(now, "creating", times::CREATE, finish);
        let shown = self.show_instance(&instance, now, place, secrets);
        if let Some(cluster) = &instance.cluster {
            self.join(cluster, name);
        }
        self.instances.insert(name.to_owned(), instance);
        Ok(Xml::new().element("DBInstance", shown))
    }

    /// An instance is there for the first time.
    pub(in crate::aws::rds) fn created(&mut self, name: &str, at: Timestamp, place: &Place) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        instance.created = Some(at);
        if instance.settings.monitoring_interval > 0 {
            let status = "configuring-enhanced-monitoring";
            instance.progress.add(at, status, times::MONITORING, Finish::Nothing);
        }
        let backs_up = !instance.is_aurora() && instance.settings.backup_retention > 0;
        self.instance_event(at, place, name, "creation", "DB instance created");
        if backs_up {
            self.back_up(name, at, place);
        }
    }

    pub(in crate::aws::rds) fn encryption_key(
        &self,
        parameters: &Parameters,
        encrypted: bool,
        place: &Place,
    ) -> Result<Option<String>, Fault> {
        match parameters.get("KmsKeyId") {
            Some(_) if !encrypted => Err(invalid_combination(
                "You must enable encryption (StorageEncrypted) in order to specify a KMS key.",
            )),
            Some(key) => self.key_arn(key, place).map(Some),
            None if encrypted => Ok(Some(own_key(place, "rds"))),
            None => Ok(None),
        }
    }

    /// The key of a managed secret.
    pub(in crate::aws::rds) fn secret_key(
        &self,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<String, Fault> {
        match parameters.get("MasterUserSecretKmsKeyId") {
            Some(key) => self.key_arn(key, place),
            None => Ok(own_key(place, "secretsmanager")),
        }
    }
}

/// ARN of the key that AWS manages for a service (`aws/rds`): created when it is needed first.
fn own_key(place: &Place, service: &str) -> String {
    place.arn("kms", &format!("key/{}", token(&[&place.account, &place.region, service], 32)))
}

pub(in crate::aws::rds) fn check_master(parameters: &Parameters) -> Result<(), Fault> {
    let user = parameters.required("MasterUsername")?;
    let is_name = user.len() <= 63
        && user.starts_with(|first: char| first.is_ascii_alphabetic())
        && user.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_reserved = ["admin", "postgres_admin", "rdsadmin", "master", "user"].contains(&user);
    if !is_name || is_reserved {
        return Err(invalid_value(format!(
            "MasterUsername {user} cannot be used as it is a reserved word used by the engine"
        )));
    }
    let managed = parameters.boolean("ManageMasterUserPassword")?.unwrap_or(false);
    match parameters.get("MasterUserPassword") {
        Some(_) if managed => Err(invalid_combination(
            "You can't specify MasterUserPassword when ManageMasterUserPassword is enabled.",
        )),
        Some(password) => check_password(password),
        None if managed => Ok(()),
        None => Err(invalid_combination(
            "The parameter MasterUserPassword must be provided and must not be blank.",
        )),
    }
}

pub(in crate::aws::rds) fn check_password(password: &str) -> Result<(), Fault> {
    let is_length = (8..=128).contains(&password.chars().count());
    let is_printable = password.chars().all(|c| c.is_ascii_graphic() && !"/\"@".contains(c));
    match (is_length, is_printable) {
        (true, true) => Ok(()),
        (false, _) => Err(invalid_value(
            "The parameter MasterUserPassword is not a valid password because it is shorter than 8 or longer than 128 characters.",
        )),
        (_, false) => Err(invalid_value(
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.",
        )),
    }
}

impl Rds {
    pub(in crate::aws::rds) fn instance_finishes(
        &mut self,
        name: &str,
        finish: Finish,
        at: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        match finish {
            Finish::Nothing => {}
            Finish::Created => self.created(name, at, place),
            Finish::Apply(change) => self.applied(name, &change, at, place),
            Finish::Rebooted => {
                instance.parameters = ParameterState::InSync;
                self.instance_event(at, place, name, "availability", "DB instance restarted");
            }
            Finish::Stopped => {
                instance.progress.rest = "stopped";
                instance.stopped = Some(at);
                self.instance_event(at, place, name, "notification", "DB instance stopped");
            }
            Finish::StoppedWithCluster => instance.progress.rest = "stopped",
            Finish::Started => {
                instance.parameters = ParameterState::InSync;
                instance.progress.rest = AVAILABLE;
                self.instance_event(at, place, name, "notification", "DB instance started");
            }
            Finish::Deleted => self.deleted(name, at, place, secrets),
            Finish::Fail(status, reason) => {
                instance.progress.rest_at(status);
                self.instance_event(at, place, name, "failure", &reason);
            }
        }
    }
}
