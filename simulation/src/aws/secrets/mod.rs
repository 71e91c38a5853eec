//! Secrets Manager.

mod managed;

pub use managed::Managed;

use super::{
    Place,
    fault::Fault,
    query::{Answer, Parameters},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
/// How long a proxy goes on with what it read before; AWS names no time.
const PROXY_READS: SignedDuration = SignedDuration::from_secs(5);
const PENDING: &str = "AWSPENDING";

/// Secrets Manager in one account and region.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// By name.
    pub secrets: BTreeMap<String, Secret>,
    made: u64,
}

/// A secret.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its ARN, which ends in six characters of its own.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// `Description`.
    pub description: Option<String>,
    /// Key that encrypts it; none: `aws/secretsmanager`.
    pub key: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Versions by id.
    pub versions: BTreeMap<String, Version>,
    /// What RDS manages in it.
    pub managed: Option<Managed>,
    created: Timestamp,
    changed: Timestamp,
    deleted: Option<Timestamp>,
    purged: Option<Timestamp>,
}

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// `SecretString`.
    pub value: String,
    /// Its staging labels, such as `AWSCURRENT`.
    pub stages: BTreeSet<String>,
    created: Timestamp,
}

impl Secret {
    /// The current value.
    #[must_use]
    pub fn current(&self) -> Option<&str> {
        self.staged(CURRENT).map(|(_, version)| version.value.as_str())
    }

    fn staged(&self, stage: &str) -> Option<(&String, &Version)> {
        self.versions.iter().find(|(_, version)| version.stages.contains(stage))
    }

    /// What a proxy goes by, which reads a secret again some seconds after it changed.
    #[must_use]
    pub fn seen_by_proxy(&self, now: Timestamp) -> Option<&str> {
        let (_, version) = self.staged(CURRENT)?;
        let is_known = version.created.saturating_add(PROXY_READS).unwrap_or(Timestamp::MAX) <= now;
        if is_known {
            Some(&version.value)
        } else {
            self.staged(PREVIOUS).map(|(_, version)| version.value.as_str())
        }
    }

    /// Gives it another value, as someone does by hand.
    pub fn overwrite(&mut self, value: &str, now: Timestamp) {
        let id = format!("by-hand-{}", now.as_second());
        self.put(id, value.to_owned(), &[CURRENT.to_owned()], now);
    }

    /// Adds a version with stages, which others lose; what was current is previous then.
    fn put(&mut self, id: String, value: String, stages: &[String], now: Timestamp) {
        let stages: BTreeSet<_> = stages.iter().cloned().collect();
        self.versions.insert(id.clone(), Version { value, stages: BTreeSet::new(), created: now });
        for stage in stages {
            self.stage(&stage, &id);
        }
        self.prune();
        self.changed = now;
    }

    fn stage(&mut self, stage: &str, id: &str) {
        let before = self.staged(stage).map(|(id, _)| id.clone()).filter(|before| before != id);
        if stage == CURRENT
            && let Some(before) = &before
        {
            self.stage(PREVIOUS, before);
        }
        for (other, version) in &mut self.versions {
            if other == id {
                version.stages.insert(stage.to_owned());
            } else {
                version.stages.remove(stage);
            }
        }
    }

    /// Versions without a label are deprecated: here they go at once.
    fn prune(&mut self) {
        self.versions.retain(|_, version| !version.stages.is_empty());
    }

    fn stages(&self) -> BTreeMap<&String, &BTreeSet<String>> {
        self.versions.iter().map(|(id, version)| (id, &version.stages)).collect()
    }

    fn due(&self) -> Option<Timestamp> {
        self.managed.as_ref().map(Managed::due).into_iter().chain(self.purged).min()
    }
}

impl Secrets {
    pub(super) fn advance(&mut self, now: Timestamp) {
        let next = |secrets: &Self| {
            let due = secrets.secrets.iter().filter_map(|(name, secret)| Some((secret.due()?, name.clone())));
            due.min().filter(|(at, _)| *at <= now)
        };
        while let Some((at, name)) = next(self) {
            let Some(secret) = self.secrets.get_mut(&name) else { return };
            if secret.purged == Some(at) {
                self.secrets.remove(&name);
            } else {
                let password = self.next_token(&name, 28);
                self.managed_happens(&name, at, &password);
            }
        }
    }

    pub(super) fn call(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let answer = match operation {
            "CreateSecret" => self.create(parameters, now, place)?,
            "DescribeSecret" => describe(self.find(parameters)?.1),
            "GetSecretValue" => self.value(parameters)?,
            "PutSecretValue" => self.put_value(parameters, now)?,
            "UpdateSecret" => self.update(parameters, now)?,
            "UpdateSecretVersionStage" => self.update_stage(parameters, now)?,
            "RotateSecret" => self.rotate(parameters, now)?,
            "DeleteSecret" => self.delete(parameters, now)?,
            "RestoreSecret" => self.restore(parameters)?,
            "ListSecrets" => self.list(parameters)?,
            "TagResource" => {
                let tags = parameters.tags();
                self.change(parameters)?.tags.extend(tags);
                json!({})
            }
            "UntagResource" => {
                let keys = parameters.list("TagKeys").unwrap_or_default();
                self.change(parameters)?.tags.retain(|key, _| !keys.contains(key));
                json!({})
            }
            _ => {
                return Err(Fault::bad_request(
                    "UnknownOperationException",
                    format!("no operation {operation}"),
                ));
            }
        };
        Ok(answer.into())
    }

    fn create(&mut self, parameters: &Parameters, now: Timestamp, place: &Place) -> Result<Value, Fault> {
        let name = required(parameters, "Name")?.to_owned();
        let is_valid =
            name.len() <= 512 && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+=.@-!".contains(c));
        if !is_valid {
            return Err(invalid_parameter(
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
            ));
        }
        let id = self.version_id(parameters, &name);
        let value = parameters.get("SecretString");
        if let Some(secret) = self.secrets.get(&name) {
            if secret.deleted.is_some() {
                return Err(invalid_request(
                    "You can't create this secret because a secret with this name is already scheduled for deletion.",
                ));
            }
            let same = secret.versions.get(&id).is_some_and(|version| Some(version.value.as_str()) == value);
            if !same {
                return Err(Fault::bad_request(
                    "ResourceExistsException",
                    format!("The operation failed because the secret {name} already exists."),
                ));
            }
            return Ok(json!({ "ARN": secret.arn, "Name": name, "VersionId": id }));
        }
        let mut secret = self.blank(&name, now, place);
        secret.description = parameters.get("Description").map(ToOwned::to_owned);
        secret.key = parameters.get("KmsKeyId").map(ToOwned::to_owned);
        secret.tags = parameters.tags();
        if let Some(value) = value {
            secret.put(id.clone(), value.to_owned(), &[CURRENT.to_owned()], now);
        }
        let answer = json!({ "ARN": secret.arn, "Name": name, "VersionId": id });
        self.secrets.insert(name, secret);
        Ok(answer)
    }

    fn blank(&mut self, name: &str, now: Timestamp, place: &Place) -> Secret {
        let suffix = self.next_token(name, 6);
        Secret {
            arn: place.arn("secretsmanager", &format!("secret:{name}-{suffix}")),
            name: name.to_owned(),
            description: None,
            key: None,
            tags: BTreeMap::new(),
            versions: BTreeMap::new(),
            managed: None,
            created: now,
            changed: now,
            deleted: None,
            purged: None,
        }
    }

    /// Whether a secret has a value.
    pub(super) fn is_set(&self, arn: &str) -> bool {
        self.secrets.values().any(|secret| secret.arn == arn && secret.staged(CURRENT).is_some())
    }

    fn value(&self, parameters: &Parameters) -> Result<Value, Fault> {
        let (_, secret) = self.find(parameters)?;
        check_kept(secret)?;
        let stage = parameters.get("VersionStage");
        let found = match parameters.get("VersionId") {
            Some(id) => secret
                .versions
                .get_key_value(id)
                .filter(|(_, version)| stage.is_none_or(|stage| version.stages.contains(stage))),
            None => secret.staged(stage.unwrap_or(CURRENT)),
        };
        let (id, version) = found.ok_or_else(|| {
            missing(&format!(
                "Secrets Manager can't find the specified secret value for staging label: {}",
                stage.unwrap_or(CURRENT)
            ))
        })?;
        Ok(json!({
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": id,
            "SecretString": version.value,
            "VersionStages": version.stages,
            "CreatedDate": seconds(version.created),
        }))
    }

    fn put_value(&mut self, parameters: &Parameters, now: Timestamp) -> Result<Value, Fault> {
        let value = required(parameters, "SecretString")?.to_owned();
        let name = self.find(parameters)?.0.clone();
        let id = self.version_id(parameters, &name);
        let stages = parameters.list("VersionStages").unwrap_or_else(|| vec![CURRENT.to_owned()]);
        let secret = self.change(parameters)?;
        check_unmanaged(secret)?;
        match secret.versions.get(&id) {
            Some(version) if version.value == value => {}
            Some(_) => {
                return Err(Fault::bad_request(
                    "ResourceExistsException",
                    "You can't use ClientRequestToken because that value is already in use for a version of this secret.",
                ));
            }
            None => secret.put(id.clone(), value, &stages, now),
        }
        let stages = &secret.versions[&id].stages;
        Ok(json!({ "ARN": secret.arn, "Name": name, "VersionId": id, "VersionStages": stages }))
    }

    fn update(&mut self, parameters: &Parameters, now: Timestamp) -> Result<Value, Fault> {
        let name = self.find(parameters)?.0.clone();
        let id = self.version_id(parameters, &name);
        let secret = self.change(parameters)?;
        check_unmanaged(secret)?;
        if let Some(description) = parameters.get("Description") {
            secret.description = Some(description.to_owned());
        }
        if let Some(key) = parameters.get("KmsKeyId") {
            secret.key = Some(key.to_owned());
        }
        let mut answer = json!({ "ARN": secret.arn, "Name": name });
        if let Some(value) = parameters.get("SecretString") {
            secret.put(id.clone(), value.to_owned(), &[CURRENT.to_owned()], now);
            answer["VersionId"] = json!(id);
        }
        Ok(answer)
    }

    fn update_stage(&mut self, parameters: &Parameters, now: Timestamp) -> Result<Value, Fault> {
        let stage = required(parameters, "VersionStage")?.to_owned();
        let secret = self.change(parameters)?;
        check_unmanaged(secret)?;
        let holder = secret.staged(&stage).map(|(id, _)| id.clone());
        if parameters.get("RemoveFromVersionId").map(ToOwned::to_owned) != holder {
            return Err(invalid_parameter(
                "The parameter RemoveFromVersionId must name the version that has the label.",
            ));
        }
        if let Some(id) = parameters.get("MoveToVersionId") {
            if !secret.versions.contains_key(id) {
                return Err(missing("Secrets Manager can't find the specified secret version."));
            }
            secret.stage(&stage, id);
        } else if let Some(version) = holder.and_then(|id| secret.versions.get_mut(&id)) {
            version.stages.remove(&stage);
        }
        secret.prune();
        secret.changed = now;
        Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
    }

    fn delete(&mut self, parameters: &Parameters, now: Timestamp) -> Result<Value, Fault> {
        let forced = parameters
            .boolean("ForceDeleteWithoutRecovery")
            .map_err(|fault| invalid_parameter(&fault.message))?;
        let days =
            parameters.integer("RecoveryWindowInDays").map_err(|fault| invalid_parameter(&fault.message))?;
        if forced == Some(true) && days.is_some() {
            return Err(invalid_parameter(
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
            ));
        }
        if days.is_some_and(|days| !(7..=30).contains(&days)) {
            return Err(invalid_parameter(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            ));
        }
        let (name, secret) = self.find(parameters)?;
        check_unmanaged(secret)?;
        let (name, arn) = (name.clone(), secret.arn.clone());
        let wait = SignedDuration::from_hours(24 * days.unwrap_or(30));
        let purged = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        if forced == Some(true) {
            self.secrets.remove(&name);
            return Ok(json!({ "ARN": arn, "Name": name, "DeletionDate": seconds(now) }));
        }
        if let Some(secret) = self.secrets.get_mut(&name) {
            check_kept(secret)?;
            (secret.deleted, secret.purged) = (Some(now), Some(purged));
        }
        Ok(json!({ "ARN": arn, "Name": name, "DeletionDate": seconds(purged) }))
    }

    fn restore(&mut self, parameters: &Parameters) -> Result<Value, Fault> {
        let name = self.find(parameters)?.0.clone();
        let secret = self.secrets.get_mut(&name).ok_or_else(unknown)?;
        (secret.deleted, secret.purged) = (None, None);
        Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
    }

    fn list(&self, parameters: &Parameters) -> Result<Value, Fault> {
        let includes_deleted = parameters.get("IncludePlannedDeletion") == Some("true");
        let most = parameters.integer("MaxResults")?.unwrap_or(100);
        let most = usize::try_from(most).ok().filter(|most| (1..=100).contains(most));
        let most = most.ok_or_else(|| invalid_parameter("MaxResults must be between 1 and 100"))?;
        let filters = parameters.structures("Filters").unwrap_or_default();
        let fits = |secret: &Secret| {
            filters.iter().all(|filter| {
                let values = filter.list("Values").unwrap_or_default();
                let begins = |text: &str| values.iter().any(|value| text.starts_with(value.as_str()));
                match filter.get("Key") {
                    Some("name") => begins(&secret.name),
                    Some("description") => secret.description.as_deref().is_some_and(begins),
                    Some("tag-key") => secret.tags.keys().any(|key| begins(key)),
                    Some("tag-value") => secret.tags.values().any(|value| begins(value)),
                    Some("owning-service") => secret.managed.is_some() && begins("rds"),
                    _ => true,
                }
            })
        };
        let after = parameters.get("NextToken").unwrap_or_default();
        let mut found = self
            .secrets
            .values()
            .filter(|secret| (includes_deleted || secret.deleted.is_none()) && fits(secret))
            .filter(|secret| secret.name.as_str() > after)
            .peekable();
        let page: Vec<_> = found.by_ref().take(most).collect();
        let mut answer =
            json!({ "SecretList": page.iter().map(|secret| describe(secret)).collect::<Vec<_>>() });
        if found.peek().is_some() {
            answer["NextToken"] = json!(page.last().map(|secret| &secret.name));
        }
        Ok(answer)
    }

    /// By name, ARN, or ARN without its last six characters.
    fn find(&self, parameters: &Parameters) -> Result<(&String, &Secret), Fault> {
        let id = required(parameters, "SecretId")?;
        let is_meant = |secret: &Secret| {
            secret.name == id
                || secret.arn == id
                || id.starts_with("arn:") && secret.arn.strip_prefix(id).is_some_and(|rest| rest.len() == 7)
        };
        self.secrets.iter().find(|(_, secret)| is_meant(secret)).ok_or_else(unknown)
    }

    /// The secret, to be changed: it is not being deleted.
    fn change(&mut self, parameters: &Parameters) -> Result<&mut Secret, Fault> {
        let name = self.find(parameters)?.0.clone();
        let secret = self.secrets.get_mut(&name).ok_or_else(unknown)?;
        check_kept(secret)?;
        Ok(secret)
    }

    fn version_id(&mut self, parameters: &Parameters, name: &str) -> String {
        match parameters.get("ClientRequestToken") {
            Some(token) => token.to_owned(),
            None => self.next_token(name, 32),
        }
    }

    /// Hexadecimal digits that nothing else ever gets.
    fn next_token(&mut self, name: &str, length: usize) -> String {
        self.made += 1;
        let hash = Sha256::digest(format!("{name}/{}", self.made).as_bytes());
        let mut text = hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        text.truncate(length);
        text
    }
}

fn describe(secret: &Secret) -> Value {
    let tags: Vec<_> = secret.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    let mut description = json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "Tags": tags,
        "VersionIdsToStages": secret.stages(),
        "SecretVersionsToStages": secret.stages(),
        "CreatedDate": seconds(secret.created),
        "LastChangedDate": seconds(secret.changed),
        "RotationEnabled": secret.managed.is_some(),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            description[name] = value;
        }
    };
    add("Description", secret.description.as_ref().map(|text| json!(text)));
    add("KmsKeyId", secret.key.as_ref().map(|key| json!(key)));
    add("DeletedDate", secret.deleted.map(|at| json!(seconds(at))));
    if let Some(managed) = &secret.managed {
        add("OwningService", Some(json!("rds")));
        add("RotationRules", Some(json!({ "AutomaticallyAfterDays": managed.days })));
        add("NextRotationDate", Some(json!(seconds(managed.next))));
        add("LastRotatedDate", managed.last.map(|at| json!(seconds(at))));
    }
    description
}

fn seconds(time: Timestamp) -> f64 {
    std::time::Duration::try_from(time.duration_since(Timestamp::UNIX_EPOCH))
        .unwrap_or_default()
        .as_secs_f64()
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Fault> {
    parameters
        .get(name)
        .ok_or_else(|| invalid_parameter(&format!("You must provide a value for the {name} parameter.")))
}

fn check_kept(secret: &Secret) -> Result<(), Fault> {
    match secret.deleted {
        None => Ok(()),
        Some(_) => Err(invalid_request(
            "You can't perform this operation on the secret because it was marked for deletion.",
        )),
    }
}

fn check_unmanaged(secret: &Secret) -> Result<(), Fault> {
    match secret.managed {
        None => Ok(()),
        Some(_) => Err(invalid_request(
            "You can't perform this operation on the secret because it is managed by another service: rds.",
        )),
    }
}

fn unknown() -> Fault {
    missing("Secrets Manager can't find the specified secret.")
}

fn missing(message: &str) -> Fault {
    Fault::bad_request("ResourceNotFoundException", message)
}

fn invalid_request(message: &str) -> Fault {
    Fault::bad_request("InvalidRequestException", message)
}

fn invalid_parameter(message: &str) -> Fault {
    Fault::bad_request("InvalidParameterException", message)
}
