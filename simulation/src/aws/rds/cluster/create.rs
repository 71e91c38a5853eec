//! CreateDBCluster, and what restores share with it.

use super::{Cluster, Finish, Scaling};
use crate::aws::{
    Place,
    query::Parameters,
    rds::{
        AVAILABLE, Fault, Rds, Xml,
        data::Data,
        engine::{self, AURORA, Version},
        groups::ParameterGroups,
        identifier,
        instance::check_master,
        invalid_combination, invalid_value,
        progress::Progress,
        seed, times,
        window::Window,
    },
    secrets::Secrets,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What a cluster is made of: nothing, a snapshot, or another cluster's volume.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `EngineVersion`.
    pub version: Version,
    /// `MasterUsername`.
    pub master_username: String,
    /// The master's password, where it was not managed.
    pub password: Option<String>,
    /// `DatabaseName`.
    pub database: Option<String>,
    /// ARN of the key of what is encrypted.
    pub key: Option<String>,
    /// `BackupRetentionPeriod`, days.
    pub backup_retention: i64,
    /// Port of the database.
    pub port: i64,
    /// What it holds.
    pub data: Data,
}

impl Cluster {
    /// What a copy begins with that is made of the state at a time.
    pub(in crate::aws::rds) fn origin(&self, until: Timestamp) -> Origin {
        Origin {
            version: self.version,
            master_username: self.master_username.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            key: self.key.clone(),
            backup_retention: self.backup_retention,
            port: self.port,
            data: self.data.until(until),
        }
    }

    /// Takes over what `parameters` name, and no more.
    pub(super) fn apply(&mut self, parameters: &Parameters) -> Result<(), Fault> {
        let text = |name: &str, before: &String| parameters.get(name).unwrap_or(before).to_owned();
        self.subnet_group = text("DBSubnetGroupName", &self.subnet_group).to_lowercase();
        self.storage_type = text("StorageType", &self.storage_type);
        self.port = parameters.integer("Port")?.unwrap_or(self.port);
        self.backup_retention = parameters.integer("BackupRetentionPeriod")?.unwrap_or(self.backup_retention);
        self.deletion_protection =
            parameters.boolean("DeletionProtection")?.unwrap_or(self.deletion_protection);
        self.copy_tags = parameters.boolean("CopyTagsToSnapshot")?.unwrap_or(self.copy_tags);
        let iam = parameters.boolean("EnableIAMDatabaseAuthentication")?;
        self.iam_authentication = iam.unwrap_or(self.iam_authentication);
        if let Some(window) = parameters.get("PreferredBackupWindow") {
            self.backup_window = Window::daily(window)?;
        }
        if let Some(window) = parameters.get("PreferredMaintenanceWindow") {
            self.maintenance_window = Window::weekly(window)?;
        }
        if let Some(groups) = parameters.list("VpcSecurityGroupIds") {
            self.security_groups = groups;
        }
        if let Some(scaling) = parameters.structure("ServerlessV2ScalingConfiguration") {
            self.scaling = Some(Scaling::read(&scaling, self.scaling)?);
        }
        let before = self.version;
        if let Some(version) =
            parameters.get("EngineVersion").filter(|text| *text != before.major.to_string())
        {
            self.version = Version::find(AURORA, version)?;
        }
        if self.parameter_group == ParameterGroups::default_name(&before.family(AURORA)) {
            self.parameter_group = ParameterGroups::default_name(&self.version.family(AURORA));
        }
        self.parameter_group = text("DBClusterParameterGroupName", &self.parameter_group).to_lowercase();
        let change = |name: &str| {
            parameters.list(&format!("CloudwatchLogsExportConfiguration.{name}")).unwrap_or_default()
        };
        self.logs.extend(parameters.list("EnableCloudwatchLogsExports").unwrap_or_default());
        self.logs.extend(change("EnableLogTypes"));
        for log in change("DisableLogTypes") {
            self.logs.remove(&log);
        }
        Ok(())
    }

    /// What AWS checks of any settings.
    pub(super) fn check(&self, rds: &Rds) -> Result<(), Fault> {
        engine::check_logs(&self.engine, &self.logs)?;
        rds.subnet_group(&self.subnet_group)?;
        rds.cluster_groups.check(&self.parameter_group, &self.version.family(AURORA)).map_err(|fault| {
            match fault.code.as_str() {
                "DBParameterGroupNotFound" => {
                    Fault::not_found("DBClusterParameterGroupNotFound", fault.message)
                }
                _ => fault,
            }
        })?;
        if !(1..=35).contains(&self.backup_retention) {
            return Err(invalid_value(format!(
                "Invalid backup retention period: {}. Must be between 1 and 35",
                self.backup_retention
            )));
        }
        if !["aurora", "aurora-iopt1"].contains(&self.storage_type.as_str()) {
            return Err(invalid_value(format!("Invalid storage type: {}", self.storage_type)));
        }
        if self.backup_window.overlaps(self.maintenance_window) {
            return Err(invalid_combination("The backup window and maintenance window must not overlap."));
        }
        match self.scaling {
            Some(scaling) => scaling.check(self.version),
            None => Ok(()),
        }
    }
}

impl Scaling {
    fn read(parameters: &Parameters, before: Option<Self>) -> Result<Self, Fault> {
        let needed = |name: &str, before: Option<f64>| {
            parameters
                .number(name)?
                .or(before)
                .ok_or_else(|| invalid_combination(format!("ServerlessV2ScalingConfiguration needs {name}.")))
        };
        Ok(Self {
            least: needed("MinCapacity", before.map(|before| before.least))?,
            most: needed("MaxCapacity", before.map(|before| before.most))?,
            pause: parameters.integer("SecondsUntilAutoPause")?.or(before.and_then(|before| before.pause)),
        })
    }

    /// Aurora guide, "Aurora Serverless v2 scaling configuration".
    fn check(self, version: Version) -> Result<(), Fault> {
        let halves = |number: f64| (number * 2.0).fract() == 0.0;
        let floor = if version.can_pause() { 0.0 } else { 0.5 };
        let fits = halves(self.least)
            && halves(self.most)
            && (floor..=256.0).contains(&self.least)
            && (1.0..=256.0).contains(&self.most)
            && self.least <= self.most;
        if !fits {
            return Err(invalid_value(format!(
                "Serverless v2 capacity {} to {} isn't valid for {version}: the minimum is {floor}, the maximum 1 to 256, in steps of 0.5",
                self.least, self.most
            )));
        }
        match self.pause {
            Some(_) if self.least > 0.0 => Err(invalid_combination(
                "SecondsUntilAutoPause can be specified only with a minimum capacity of 0.",
            )),
            Some(pause) if !(300..=86_400).contains(&pause) => {
                Err(invalid_value("SecondsUntilAutoPause must be between 300 and 86400."))
            }
            _ => Ok(()),
        }
    }
}

impl Rds {
    pub(in crate::aws::rds) fn create_cluster(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let engine = parameters.required("Engine")?;
        if engine != AURORA {
            return Err(invalid_value(format!("Invalid DB engine of a cluster: {engine}")));
        }
        check_master(parameters)?;
        let version = match parameters.get("EngineVersion") {
            Some(version) => Version::find(AURORA, version)?,
            None => Version::default_version(),
        };
        let encrypted = parameters.boolean("StorageEncrypted")?.unwrap_or(false);
        let origin = Origin {
            version,
            master_username: parameters.required("MasterUsername")?.to_owned(),
            password: None,
            database: parameters.get("DatabaseName").map(ToOwned::to_owned),
            key: self.encryption_key(parameters, encrypted, place)?,
            backup_retention: 1,
            port: 5432,
            data: Data::default(),
        };
        self.launch_cluster(&name, origin, parameters, now, place, secrets)
    }

    pub(in crate::aws::rds) fn launch_cluster(
        &mut self,
        name: &str,
        origin: Origin,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        if self.clusters.contains_key(name) {
            return Err(Fault::bad_request("DBClusterAlreadyExistsFault", "DB Cluster already exists"));
        }
        let chosen = seed(&[&place.account, name]);
        let (backup_window, maintenance_window) =
            (Window::chosen_daily(chosen), Window::chosen_weekly(chosen));
        let mut cluster = Cluster {
            identifier: name.to_owned(),
            resource_id: String::new(),
            engine: AURORA.to_owned(),
            version: origin.version,
            parameter_group: ParameterGroups::default_name(&origin.version.family(AURORA)),
            subnet_group: "default".to_owned(),
            security_groups: vec!["sg-default".to_owned()],
            port: origin.port,
            master_username: origin.master_username,
            password: parameters.get("MasterUserPassword").map(ToOwned::to_owned).or(origin.password),
            secret: None,
            database: origin.database,
            key: origin.key,
            backup_retention: origin.backup_retention,
            backup_window,
            maintenance_window,
            deletion_protection: false,
            copy_tags: false,
            iam_authentication: false,
            logs: BTreeSet::new(),
            storage_type: "aurora".to_owned(),
            scaling: None,
            members: Vec::new(),
            pending: Parameters::default(),
            tags: BTreeMap::new(),
            data: origin.data,
            created: None,
            progress: Progress::resting(AVAILABLE),
            restorable_from: None,
            next_backup: backup_window.next(now),
            next_window: maintenance_window.next(now),
            stopped: None,
        };
        cluster.apply(parameters)?;
        cluster.check(self)?;
        cluster.next_backup = cluster.backup_window.next(now);
        cluster.next_window = cluster.maintenance_window.next(now);
        cluster.tags = parameters.tags();
        let secret_key = self.secret_key(parameters, place)?;
        cluster.resource_id = format!("cluster-{}", self.next_token(place, name, 26).to_uppercase());
        if parameters.boolean("ManageMasterUserPassword")?.unwrap_or(false) {
            let user = &cluster.master_username;
            cluster.secret =
                Some(secrets.create_managed(now, place, &cluster.resource_id, user, &secret_key));
            cluster.password = None;
        }
        cluster.progress.add(now, "creating", times::CREATE, Finish::Created);
        self.clusters.insert(name.to_owned(), cluster);
        self.answer_cluster(name, now, place, secrets)
    }
}
