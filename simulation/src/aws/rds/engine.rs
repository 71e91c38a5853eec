//! Engine versions, their upgrade targets, and instance classes: a small true part of AWS's tables.

use super::{Fault, Parameters, Xml, invalid_value};
use crate::aws::query;
use std::collections::BTreeSet;

/// RDS for PostgreSQL.
pub const POSTGRES: &str = "postgres";
/// Aurora PostgreSQL.
pub const AURORA: &str = "aurora-postgresql";

/// Versions of both engines, with the order in which they came: those of one number came together. From the release
/// calendars of RDS for PostgreSQL and of Aurora PostgreSQL.
const VERSIONS: [(u32, u32, u32); 20] = [
    (14, 9, 1),
    (14, 12, 3),
    (14, 15, 5),
    (14, 18, 7),
    (15, 4, 1),
    (15, 5, 2),
    (15, 7, 3),
    (15, 10, 5),
    (15, 12, 6),
    (15, 13, 7),
    (16, 1, 2),
    (16, 3, 3),
    (16, 4, 4),
    (16, 6, 5),
    (16, 8, 6),
    (16, 9, 7),
    (17, 1, 4),
    (17, 2, 5),
    (17, 4, 6),
    (17, 5, 7),
];

/// A version of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `16` of 16.3.
    pub major: u32,
    /// `3` of 16.3.
    pub minor: u32,
    release: u32,
}

impl Version {
    fn all() -> impl DoubleEndedIterator<Item = Self> {
        VERSIONS.into_iter().map(|(major, minor, release)| Self { major, minor, release })
    }

    /// The version that `text` means: 16.3, or for 16 the newest of it.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(engine: &str, text: &str) -> Result<Self, Fault> {
        let named = |version: &Self| version.to_string() == text || version.major.to_string() == text;
        Self::all().rev().find(named).ok_or_else(|| {
            Fault::bad_request(
                "InvalidParameterCombination",
                format!("Cannot find version {text} for {engine}"),
            )
        })
    }

    /// What is created when no version is named.
    #[must_use]
    pub fn default_version() -> Self {
        Self { major: 17, minor: 4, release: 6 }
    }

    /// The parameter group family of this version.
    #[must_use]
    pub fn family(self, engine: &str) -> String {
        format!("{engine}{}", self.major)
    }

    /// Whether an upgrade goes to `target`: newer, and not released earlier.
    #[must_use]
    pub fn upgrades_to(self, target: Self) -> bool {
        target > self && target.release >= self.release
    }

    /// Versions to which it can be upgraded.
    pub fn targets(self) -> impl Iterator<Item = Self> {
        Self::all().filter(move |target| self.upgrades_to(*target))
    }

    /// The newest version of the same major.
    #[must_use]
    pub fn newest_minor(self) -> Self {
        Self::all().rev().find(|version| version.major == self.major).unwrap_or(self)
    }

    /// Whether Aurora Serverless v2 can pause at 0 ACU (Aurora guide, "Scaling to zero ACUs with automatic pause and
    /// resume": from 13.15, 14.12, 15.7 and 16.3 on).
    #[must_use]
    pub fn can_pause(self) -> bool {
        let least = match self.major {
            14 => 12,
            15 => 7,
            16 => 3,
            major => return major > 16,
        };
        self.minor >= least
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

const CLASSES: [(&str, bool); 16] = [
    ("db.t3.micro", false),
    ("db.t4g.micro", false),
    ("db.t4g.small", false),
    ("db.t4g.medium", true),
    ("db.t4g.large", true),
    ("db.m6g.large", false),
    ("db.m6g.xlarge", false),
    ("db.m7g.large", false),
    ("db.m7g.xlarge", false),
    ("db.m7g.2xlarge", false),
    ("db.r6g.large", true),
    ("db.r6g.xlarge", true),
    ("db.r7g.large", true),
    ("db.r7g.xlarge", true),
    ("db.r7g.2xlarge", true),
    (SERVERLESS, true),
];

/// The class of Aurora Serverless v2.
pub const SERVERLESS: &str = "db.serverless";

fn classes(engine: &str) -> impl Iterator<Item = &'static str> {
    let is_aurora = engine == AURORA;
    CLASSES
        .into_iter()
        .filter(move |(class, aurora)| if is_aurora { *aurora } else { *class != SERVERLESS })
        .map(|(class, _)| class)
}

pub(super) fn check_class(engine: &str, version: Version, class: &str) -> Result<(), Fault> {
    if classes(engine).any(|known| known == class) {
        return Ok(());
    }
    if !CLASSES.iter().any(|(known, _)| *known == class) {
        return Err(invalid_value(format!("Invalid DB Instance class: {class}")));
    }
    Err(Fault::bad_request(
        "InvalidParameterCombination",
        format!(
            "RDS does not support creating a DB instance with the following combination: DBInstanceClass={class}, Engine={engine}, EngineVersion={version}, LicenseModel=postgresql-license. For supported combinations of instance class and database engine version, see the documentation."
        ),
    ))
}

pub(super) fn check_engine(engine: &str) -> Result<(), Fault> {
    let known = engine == POSTGRES || engine == AURORA;
    known.then_some(()).ok_or_else(|| invalid_value(format!("Invalid DB engine: {engine}")))
}

fn engines<'a>(parameters: &'a Parameters) -> impl Iterator<Item = &'static str> + 'a {
    [AURORA, POSTGRES]
        .into_iter()
        .filter(|engine| parameters.get("Engine").is_none_or(|wanted| wanted == *engine))
}

pub(super) fn describe_versions(parameters: &Parameters) -> Result<Xml, Fault> {
    let wanted = parameters.get("EngineVersion");
    let family = parameters.get("DBParameterGroupFamily");
    let default_only = parameters.boolean("DefaultOnly")?.unwrap_or(false);
    let mut found = Vec::new();
    for engine in engines(parameters) {
        for version in Version::all() {
            let is_named = wanted
                .is_none_or(|text| version.to_string() == text || version.major.to_string() == text)
                && family.is_none_or(|family| version.family(engine) == family)
                && (!default_only || version == default_of(version.major, wanted));
            if is_named {
                let key = format!("{engine}/{:03}.{:03}", version.major, version.minor);
                found.push((key, describe_version(engine, version)));
            }
        }
    }
    let page = query::page(parameters, found)?;
    Ok(Xml::new().list("DBEngineVersions", "DBEngineVersion", page.items).optional("Marker", page.marker))
}

fn default_of(major: u32, wanted: Option<&str>) -> Version {
    match wanted {
        Some(_) => Version { major, ..Version::default_version() }.newest_minor(),
        None => Version::default_version(),
    }
}

fn describe_version(engine: &str, version: Version) -> Xml {
    let targets = version.targets().map(|target| {
        Xml::new()
            .text("Engine", engine)
            .text("EngineVersion", target)
            .text("AutoUpgrade", target.major == version.major && target == version.newest_minor())
            .text("IsMajorVersionUpgrade", target.major != version.major)
    });
    let mut xml = Xml::new()
        .text("Engine", engine)
        .text("MajorEngineVersion", version.major)
        .text("EngineVersion", version)
        .text("DBParameterGroupFamily", version.family(engine))
        .text("Status", "available")
        .list("ValidUpgradeTarget", "UpgradeTarget", targets)
        .texts("ExportableLogTypes", "member", log_types(engine))
        .text("SupportsLogExportsToCloudwatchLogs", true)
        .text("SupportsReadReplica", engine == POSTGRES)
        .text("SupportsCertificateRotationWithoutRestart", true)
        .texts("SupportedCACertificateIdentifiers", "member", CERTIFICATES);
    if engine == AURORA {
        let least = if version.can_pause() { 0.0 } else { 0.5 };
        let capacity = Xml::new().text("MinCapacity", least).text("MaxCapacity", 256.0);
        xml = xml.element("ServerlessV2FeaturesSupport", capacity);
    }
    xml
}

/// CAs whose certificates an instance can have.
pub const CERTIFICATES: [&str; 3] = ["rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1"];

fn log_types(engine: &str) -> &'static [&'static str] {
    if engine == AURORA {
        &["instance", "postgresql", "iam-db-auth-error"]
    } else {
        &["postgresql", "upgrade", "iam-db-auth-error"]
    }
}

pub(super) fn check_logs(engine: &str, logs: &BTreeSet<String>) -> Result<(), Fault> {
    match logs.iter().find(|log| !log_types(engine).contains(&log.as_str())) {
        None => Ok(()),
        Some(log) => Err(Fault::bad_request(
            "InvalidParameterCombination",
            format!("You cannot use the log types '{log}' with engine version {engine}."),
        )),
    }
}

pub(super) fn describe_orderable(parameters: &Parameters, region: &str) -> Result<Xml, Fault> {
    parameters.required("Engine")?;
    let mut found = Vec::new();
    for engine in engines(parameters) {
        let versions = Version::all().filter(|version| {
            parameters.get("EngineVersion").is_none_or(|wanted| version.to_string() == wanted)
        });
        for version in versions {
            for class in classes(engine) {
                if parameters.get("DBInstanceClass").is_some_and(|wanted| wanted != class) {
                    continue;
                }
                let storages: &[&str] =
                    if engine == AURORA { &["aurora"] } else { &["gp2", "gp3", "io1", "io2"] };
                for storage in storages {
                    let key = format!("{:03}.{:03}/{class}/{storage}", version.major, version.minor);
                    found.push((key, orderable(engine, version, class, storage, region)));
                }
            }
        }
    }
    let page = query::page(parameters, found)?;
    let options = ("OrderableDBInstanceOptions", "OrderableDBInstanceOption");
    Ok(Xml::new().list(options.0, options.1, page.items).optional("Marker", page.marker))
}

fn orderable(engine: &str, version: Version, class: &str, storage: &str, region: &str) -> Xml {
    let zones = ["a", "b", "c"].map(|zone| Xml::new().text("Name", format!("{region}{zone}")));
    let xml = Xml::new()
        .text("Engine", engine)
        .text("EngineVersion", version)
        .text("DBInstanceClass", class)
        .text("LicenseModel", "postgresql-license")
        .list("AvailabilityZones", "AvailabilityZone", zones)
        .text("MultiAZCapable", engine == POSTGRES)
        .text("StorageType", storage)
        .text("SupportsStorageEncryption", true)
        .text("SupportsPerformanceInsights", true)
        .text("SupportsStorageAutoscaling", engine == POSTGRES);
    if engine == POSTGRES { xml.text("MinStorageSize", 20).text("MaxStorageSize", 65_536) } else { xml }
}
