//! Serverless caches and their snapshots.

use super::{
    Due, ElastiCache,
    engine::{Engine, Release},
    fault::{combination, identifier, invalid_value},
    replication_group::endpoint,
    times,
    window::Window,
};
use crate::aws::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Rank of the oldest release that runs serverless.
const OLDEST_SERVERLESS: usize = 2;

/// A serverless cache.
#[derive(Clone, Debug)]
pub struct ServerlessCache {
    /// Name, in lower case.
    pub name: String,
    /// What can be changed.
    pub settings: Settings,
    /// KMS key, where it is not AWS's own.
    pub kms_key: Option<String>,
    /// Subnets.
    pub subnets: Vec<String>,
    /// ARN.
    pub arn: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created: Timestamp,
    /// What its clients see: the last value written.
    pub value: Option<String>,
    address: String,
    work: Option<Work>,
}

/// What of a serverless cache can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Description.
    pub description: Option<String>,
    /// Engine and version.
    pub release: Release,
    /// Bounds of storage, in GB.
    pub storage: Bounds,
    /// Bounds of ElastiCache Processing Units per second.
    pub ecpu: Bounds,
    /// The user group.
    pub user_group: Option<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Days that automatic snapshots are kept; 0: there are none.
    pub retention: i64,
    /// When automatic snapshots are made, `hh:mm` UTC.
    pub snapshot_time: String,
    snapshot_window: Window,
}

/// Least and most; `None`: AWS's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// At least.
    pub least: Option<i64>,
    /// At most.
    pub most: Option<i64>,
}

#[derive(Clone, Debug)]
struct Work {
    until: Timestamp,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Create,
    Modify(Box<Settings>),
    Delete,
}

/// A snapshot of a serverless cache.
#[derive(Clone, Debug)]
pub struct ServerlessSnapshot {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// Whether AWS made it, and removes it.
    pub is_automatic: bool,
    /// The cache as it was, its data included.
    pub config: ServerlessCache,
    /// When it was taken.
    pub taken: Timestamp,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    ready: Timestamp,
    is_ready: bool,
}

impl Bounds {
    /// Reads `CacheUsageLimits`. `allowed` and their source: ElastiCache User Guide, "Scaling ElastiCache
    /// Serverless".
    fn read(p: &Parameters, name: &str, allowed: (i64, i64)) -> Result<Option<Self>, Fault> {
        let Some(limits) = p.structure(&format!("CacheUsageLimits.{name}")) else { return Ok(None) };
        let bounds = Self { least: limits.integer("Minimum")?, most: limits.integer("Maximum")? };
        let outside = |value: i64| !(allowed.0..=allowed.1).contains(&value);
        let inverted = bounds.least.zip(bounds.most).is_some_and(|(least, most)| least > most);
        if inverted || bounds.least.is_some_and(outside) || bounds.most.is_some_and(outside) {
            let (least, most) = allowed;
            return Err(invalid_value(format!("{name} must be {least} to {most}, Minimum at most Maximum")));
        }
        Ok(Some(bounds))
    }

    fn xml(self) -> Xml {
        Xml::new().optional("Minimum", self.least).optional("Maximum", self.most)
    }
}

impl Settings {
    /// With what the parameters say.
    fn with(mut self, p: &Parameters) -> Result<Self, Fault> {
        if let Some(description) = p.get("Description") {
            self.description = Some(description.to_owned());
        }
        self.storage = Bounds::read(p, "DataStorage", (1, 5_000))?.unwrap_or(self.storage);
        self.ecpu = Bounds::read(p, "ECPUPerSecond", (1_000, 15_000_000))?.unwrap_or(self.ecpu);
        if p.boolean("RemoveUserGroup")?.unwrap_or(false) {
            self.user_group = None;
        }
        if let Some(id) = p.get("UserGroupId") {
            self.user_group = Some(id.to_ascii_lowercase());
        }
        if let Some(groups) = p.list("SecurityGroupIds") {
            self.security_groups = groups;
        }
        if let Some(days) = p.integer("SnapshotRetentionLimit")? {
            if !(0..=35).contains(&days) {
                return Err(invalid_value(format!(
                    "SnapshotRetentionLimit must be 0 to 35 days; it is {days}"
                )));
            }
            self.retention = days;
        }
        if let Some(time) = p.get("DailySnapshotTime") {
            self.snapshot_window = Window::daily_at(time).ok_or_else(|| {
                invalid_value(format!("DailySnapshotTime {time:?} must have the form hh:mm"))
            })?;
            self.snapshot_time = time.to_owned();
        }
        Ok(self)
    }
}

impl ServerlessCache {
    fn status(&self) -> &'static str {
        match self.work.as_ref().map(|work| &work.kind) {
            None => "available",
            Some(Kind::Create) => "creating",
            Some(Kind::Modify(_)) => "modifying",
            Some(Kind::Delete) => "deleting",
        }
    }

    pub(super) fn serves(&self) -> bool {
        !matches!(self.work.as_ref().map(|work| &work.kind), Some(Kind::Create | Kind::Delete))
    }

    fn must_be_available(&self) -> Result<(), Fault> {
        if self.work.is_none() {
            return Ok(());
        }
        let message = format!("Serverless cache {} is not available: it is {}", self.name, self.status());
        Err(Fault::bad_request("InvalidServerlessCacheStateFault", message))
    }

    fn xml(&self) -> Xml {
        let settings = &self.settings;
        let release = settings.release;
        let mut limits = Xml::new();
        if settings.storage != Bounds::default() {
            limits = limits.element("DataStorage", settings.storage.xml().text("Unit", "GB"));
        }
        if settings.ecpu != Bounds::default() {
            limits = limits.element("ECPUPerSecond", settings.ecpu.xml());
        }
        let major = release.series.split('.').next().unwrap_or_default();
        let mut xml = Xml::new()
            .text("ServerlessCacheName", &self.name)
            .text("Description", settings.description.as_deref().unwrap_or(" "))
            .text("CreateTime", self.created)
            .text("Status", self.status())
            .text("Engine", release.engine)
            .text("MajorEngineVersion", major)
            .text("FullEngineVersion", release.series)
            .element("CacheUsageLimits", limits)
            .optional("KmsKeyId", self.kms_key.as_ref())
            .texts("SecurityGroupIds", "SecurityGroupId", &settings.security_groups)
            .text("ARN", &self.arn)
            .optional("UserGroupId", settings.user_group.as_ref())
            .texts("SubnetIds", "SubnetId", &self.subnets)
            .text("SnapshotRetentionLimit", settings.retention)
            .text("DailySnapshotTime", &settings.snapshot_time);
        if self.serves() {
            xml = xml
                .element("Endpoint", endpoint(&self.address, 6379))
                .element("ReaderEndpoint", endpoint(&self.address, 6380));
        }
        xml
    }
}

impl ServerlessSnapshot {
    fn xml(&self) -> Xml {
        let config = Xml::new()
            .text("ServerlessCacheName", &self.config.name)
            .text("Engine", self.config.settings.release.engine);
        Xml::new()
            .text("ServerlessCacheSnapshotName", &self.name)
            .text("ARN", &self.arn)
            .text("SnapshotType", if self.is_automatic { "automated" } else { "manual" })
            .text("Status", if self.is_ready { "available" } else { "creating" })
            .text("CreateTime", self.taken)
            .optional("KmsKeyId", self.config.kms_key.as_ref())
            .element("ServerlessCacheConfiguration", config)
    }
}

impl ElastiCache {
    fn serverless_cache(&self, name: &str) -> Result<&ServerlessCache, Fault> {
        self.serverless.get(&name.to_ascii_lowercase()).ok_or_else(|| {
            Fault::not_found("ServerlessCacheNotFoundFault", format!("Serverless cache {name} not found."))
        })
    }

    fn serverless_snapshot(&self, name: &str) -> Result<&ServerlessSnapshot, Fault> {
        self.serverless_snapshots.get(&name.to_ascii_lowercase()).ok_or_else(|| {
            Fault::not_found(
                "ServerlessCacheSnapshotNotFoundFault",
                format!("Serverless cache snapshot {name} not found."),
            )
        })
    }

    pub(super) fn create_serverless(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let name = identifier("ServerlessCacheName", p.required("ServerlessCacheName")?, 40)?;
        if self.serverless.contains_key(&name) {
            return Err(Fault::bad_request(
                "ServerlessCacheAlreadyExistsFault",
                format!("Serverless cache {name} already exists."),
            ));
        }
        let restored = self.snapshot_to_restore(p)?;
        let engine = Engine::read(p.required("Engine")?)?;
        let release = Release::find(engine, p.get("MajorEngineVersion"))?;
        if release.rank() < OLDEST_SERVERLESS {
            return Err(invalid_value("A serverless cache needs MajorEngineVersion 7 of redis, or valkey"));
        }
        let window = Window::picked_daily(&name);
        let settings = Settings {
            description: None,
            release,
            storage: Bounds::default(),
            ecpu: Bounds::default(),
            user_group: None,
            security_groups: vec!["sg-default".to_owned()],
            retention: 0,
            snapshot_time: window.start(),
            snapshot_window: window,
        };
        let settings = settings.with(p)?;
        self.check_serverless(&settings)?;
        let cache = ServerlessCache {
            settings,
            kms_key: p.get("KmsKeyId").map(ToOwned::to_owned),
            subnets: p
                .list("SubnetIds")
                .unwrap_or_else(|| vec!["subnet-default-a".to_owned(), "subnet-default-b".to_owned()]),
            arn: place.arn("elasticache", &format!("serverlesscache:{name}")),
            tags: p.tags(),
            created: now,
            value: restored,
            address: format!("{name}.serverless.{}.cache.amazonaws.com", place.region),
            work: None,
            name: name.clone(),
        };
        self.due(cache.settings.snapshot_window.next(now), Due::ServerlessDaily(name.clone()));
        self.serverless.insert(name.clone(), cache);
        self.work_on_serverless(&name, Kind::Create, now + times::SERVERLESS_CREATE)
    }

    /// The data of the one snapshot in `SnapshotArnsToRestore`.
    fn snapshot_to_restore(&self, p: &Parameters) -> Result<Option<String>, Fault> {
        let Some(arn) = p.list("SnapshotArnsToRestore").and_then(|arns| arns.into_iter().next()) else {
            return Ok(None);
        };
        let by_arn = |snapshot: &&ServerlessSnapshot| snapshot.arn == arn && snapshot.is_ready;
        let found = self.serverless_snapshots.values().find(by_arn);
        let snapshot =
            found.ok_or_else(|| invalid_value(format!("{arn} is no snapshot that is available")))?;
        Ok(snapshot.config.value.clone())
    }

    fn check_serverless(&self, settings: &Settings) -> Result<(), Fault> {
        match &settings.user_group {
            Some(id) => self.user_group_for(id, settings.release).map(|_| ()),
            None => Ok(()),
        }
    }

    pub(super) fn modify_serverless(&mut self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let cache = self.serverless_cache(p.required("ServerlessCacheName")?)?;
        cache.must_be_available()?;
        let mut settings = cache.settings.clone().with(p)?;
        if p.get("Engine").is_some() || p.get("MajorEngineVersion").is_some() {
            let engine = p.get("Engine").map(Engine::read).transpose()?.unwrap_or(settings.release.engine);
            let release = Release::find(engine, p.get("MajorEngineVersion"))?;
            if release.rank() < settings.release.rank() {
                return Err(combination("A serverless cache can't go back to an older engine"));
            }
            settings.release = release;
        }
        if settings.user_group != cache.settings.user_group {
            self.check_serverless(&settings)?;
        }
        let name = cache.name.clone();
        self.work_on_serverless(&name, Kind::Modify(Box::new(settings)), now + times::SERVERLESS_CHANGE)
    }

    pub(super) fn delete_serverless(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let cache = self.serverless_cache(p.required("ServerlessCacheName")?)?;
        cache.must_be_available()?;
        let name = cache.name.clone();
        let mut until = now + times::SERVERLESS_CHANGE;
        if let Some(snapshot) = p.get("FinalSnapshotName") {
            self.take_serverless_snapshot(&name, snapshot, p, now, place)?;
            until += times::SNAPSHOT;
        }
        self.work_on_serverless(&name, Kind::Delete, until)
    }

    fn work_on_serverless(&mut self, name: &str, kind: Kind, until: Timestamp) -> Result<Answer, Fault> {
        if let Some(cache) = self.serverless.get_mut(name) {
            cache.work = Some(Work { until, kind });
        }
        self.due(until, Due::Serverless(name.to_owned()));
        Ok(Xml::new().element("ServerlessCache", self.serverless_cache(name)?.xml()).into())
    }

    pub(super) fn serverless_is_due(&mut self, name: &str, at: Timestamp) {
        let Some(cache) = self.serverless.get_mut(name) else { return };
        match cache.work.take_if(|work| work.until == at).map(|work| work.kind) {
            Some(Kind::Modify(settings)) => {
                let next = settings.snapshot_window.next(at);
                cache.settings = *settings;
                self.due(next, Due::ServerlessDaily(name.to_owned()));
            }
            Some(Kind::Delete) => {
                self.serverless.remove(name);
                self.serverless_snapshots
                    .retain(|_, snapshot| !(snapshot.is_automatic && snapshot.config.name == name));
            }
            Some(Kind::Create) | None => {}
        }
    }

    /// Makes the day's snapshot, and removes those that were kept long enough.
    pub(super) fn serverless_day_is_due(&mut self, name: &str, at: Timestamp, place: &Place) {
        let Some(cache) = self.serverless.get(name).filter(|cache| cache.settings.snapshot_window.begins(at))
        else {
            return;
        };
        let retention = cache.settings.retention;
        let serves = cache.serves();
        self.due(cache.settings.snapshot_window.next(at), Due::ServerlessDaily(name.to_owned()));
        if retention == 0 || !serves {
            return;
        }
        let kept = SignedDuration::from_hours(24 * retention);
        self.serverless_snapshots.retain(|_, snapshot| {
            let is_old = snapshot.is_automatic && at.duration_since(snapshot.taken) >= kept;
            !(is_old && snapshot.config.name == name)
        });
        let snapshot = format!("automatic.{name}-{}", at.strftime("%Y-%m-%d-%H-%M"));
        self.keep_serverless(name, snapshot, true, BTreeMap::new(), at, place);
    }

    pub(super) fn describe_serverless(&self, p: &Parameters) -> Result<Answer, Fault> {
        let caches: Vec<&ServerlessCache> = match p.get("ServerlessCacheName") {
            Some(name) => vec![self.serverless_cache(name)?],
            None => self.serverless.values().collect(),
        };
        let caches = caches.into_iter().map(|cache| (cache.name.clone(), cache.xml()));
        listing(p, "ServerlessCaches", "member", caches)
    }

    fn take_serverless_snapshot(
        &mut self,
        cache: &str,
        name: &str,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<String, Fault> {
        let name = identifier("ServerlessCacheSnapshotName", name, 255)?;
        if self.serverless_snapshots.contains_key(&name) {
            return Err(Fault::bad_request(
                "ServerlessCacheSnapshotAlreadyExistsFault",
                format!("Serverless cache snapshot {name} already exists."),
            ));
        }
        self.keep_serverless(cache, name.clone(), false, p.tags(), now, place);
        Ok(name)
    }

    fn keep_serverless(
        &mut self,
        cache: &str,
        name: String,
        is_automatic: bool,
        tags: BTreeMap<String, String>,
        now: Timestamp,
        place: &Place,
    ) {
        let Some(config) = self.serverless.get(cache).cloned() else { return };
        let snapshot = ServerlessSnapshot {
            arn: place.arn("elasticache", &format!("serverlesscachesnapshot:{name}")),
            name: name.clone(),
            is_automatic,
            config,
            taken: now,
            tags,
            ready: now + times::SNAPSHOT,
            is_ready: false,
        };
        self.due(snapshot.ready, Due::ServerlessSnapshot(name.clone()));
        self.serverless_snapshots.insert(name, snapshot);
    }

    pub(super) fn serverless_snapshot_is_due(&mut self, name: &str, at: Timestamp) {
        if let Some(snapshot) = self.serverless_snapshots.get_mut(name) {
            snapshot.is_ready |= snapshot.ready == at;
        }
    }

    pub(super) fn create_serverless_snapshot(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let cache = self.serverless_cache(p.required("ServerlessCacheName")?)?;
        cache.must_be_available()?;
        let cache = cache.name.clone();
        let name = p.required("ServerlessCacheSnapshotName")?;
        let name = self.take_serverless_snapshot(&cache, name, p, now, place)?;
        Ok(Xml::new().element("ServerlessCacheSnapshot", self.serverless_snapshot(&name)?.xml()).into())
    }

    pub(super) fn delete_serverless_snapshot(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let snapshot = self.serverless_snapshot(p.required("ServerlessCacheSnapshotName")?)?;
        if !snapshot.is_ready {
            return Err(Fault::bad_request(
                "InvalidServerlessCacheSnapshotStateFault",
                format!(
                    "Serverless cache snapshot {} is creating: wait until it is available",
                    snapshot.name
                ),
            ));
        }
        let (name, xml) = (snapshot.name.clone(), snapshot.xml());
        self.serverless_snapshots.remove(&name);
        Ok(Xml::new().element("ServerlessCacheSnapshot", xml).into())
    }

    pub(super) fn describe_serverless_snapshots(&self, p: &Parameters) -> Result<Answer, Fault> {
        let cache = p.get("ServerlessCacheName");
        let snapshots: Vec<&ServerlessSnapshot> = match p.get("ServerlessCacheSnapshotName") {
            Some(name) => vec![self.serverless_snapshot(name)?],
            None => self.serverless_snapshots.values().collect(),
        };
        let matching =
            snapshots.into_iter().filter(|found| cache.is_none_or(|name| name == found.config.name));
        let snapshots = matching.map(|snapshot| (snapshot.name.clone(), snapshot.xml()));
        listing(p, "ServerlessCacheSnapshots", "ServerlessCacheSnapshot", snapshots)
    }
}

/// A page by `MaxResults` and `NextToken`, 50 unless told.
fn listing(
    p: &Parameters,
    name: &str,
    item: &str,
    all: impl Iterator<Item = (String, Xml)>,
) -> Result<Answer, Fault> {
    let most = p.integer("MaxResults")?.unwrap_or(50);
    let most = usize::try_from(most).ok().filter(|most| (1..=100).contains(most));
    let most = most.ok_or_else(|| invalid_value("MaxResults must be 1 to 100"))?;
    let after = p.get("NextToken");
    let mut rest = all.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).peekable();
    let page: Vec<(String, Xml)> = rest.by_ref().take(most).collect();
    let next = page.last().map(|(key, _)| key.clone()).filter(|_| rest.peek().is_some());
    let xml = Xml::new().list(name, item, page.into_iter().map(|(_, xml)| xml));
    Ok(xml.optional("NextToken", next).into())
}
