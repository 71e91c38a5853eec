//! Secrets that RDS keeps for its master users.

use super::{CURRENT, PENDING, Secrets, invalid_parameter, invalid_request};
use crate::aws::{
    Place,
    fault::Fault,
    query::{Parameters, Xml},
    rds::times,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How often RDS rotates (RDS guide, "Password management with Amazon RDS and AWS Secrets Manager").
const DAYS: i64 = 7;

/// The state of a managed secret.
#[derive(Clone, Debug)]
pub struct Managed {
    /// Days between rotations.
    pub days: i64,
    /// The user whose password it is.
    pub user: String,
    pub(super) next: Timestamp,
    pub(super) last: Option<Timestamp>,
    /// What it is doing, and until when.
    work: Option<(Work, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Creating,
    Rotating,
}

impl Managed {
    pub(super) fn due(&self) -> Timestamp {
        self.work.map_or(self.next, |(_, until)| until)
    }

    fn status(&self) -> &'static str {
        match self.work {
            None => "active",
            Some((Work::Creating, _)) => "creating",
            Some((Work::Rotating, _)) => "rotating",
        }
    }
}

impl Secrets {
    /// A secret for a master user; its ARN.
    pub(in crate::aws) fn create_managed(
        &mut self,
        now: Timestamp,
        place: &Place,
        resource: &str,
        user: &str,
        key: &str,
    ) -> String {
        // `db-ABC` has the secret `rds!db-abc`, `cluster-ABC` the secret `rds!cluster-abc`.
        let name = format!("rds!{}", resource.to_lowercase());
        let mut secret = self.blank(&name, now, place);
        secret.key = Some(key.to_owned());
        secret.managed = Some(Managed {
            days: DAYS,
            user: user.to_owned(),
            next: after(now, days(DAYS)),
            last: None,
            work: Some((Work::Creating, after(now, times::SECRET))),
        });
        let (id, password) = (self.next_token(&name, 32), self.next_token(&name, 28));
        secret.put(id, value(user, &password), &[CURRENT.to_owned()], now);
        let arn = secret.arn.clone();
        self.secrets.insert(name, secret);
        arn
    }

    /// Removes a master user's secret, without recovery.
    pub(in crate::aws) fn remove_managed(&mut self, arn: &str) {
        self.secrets.retain(|_, secret| secret.arn != arn);
    }

    /// Rotates a master user's secret now.
    pub(in crate::aws) fn rotate_managed(&mut self, arn: &str, now: Timestamp) {
        let found = self.secrets.values_mut().find(|secret| secret.arn == arn);
        if let Some(managed) = found.and_then(|secret| secret.managed.as_mut()) {
            managed.next = now;
            if managed.work.is_some_and(|(work, _)| work == Work::Creating) {
                managed.work = None;
            }
        }
        self.advance(now);
    }

    /// Content of `MasterUserSecret`.
    pub(in crate::aws) fn show_managed(&self, arn: &str) -> Xml {
        let secret = self.secrets.values().find(|secret| secret.arn == arn);
        let status = secret.and_then(|secret| secret.managed.as_ref()).map_or("impaired", Managed::status);
        let key = secret.and_then(|secret| secret.key.as_ref());
        Xml::new().text("SecretArn", arn).text("SecretStatus", status).optional("KmsKeyId", key)
    }

    pub(super) fn managed_happens(&mut self, name: &str, at: Timestamp, password: &str) {
        let id = self.next_token(name, 32);
        let Some(secret) = self.secrets.get_mut(name) else { return };
        let pending = secret.staged(PENDING).map(|(id, _)| id.clone());
        let Some(managed) = &mut secret.managed else { return };
        let new_value = value(&managed.user, password);
        match managed.work.take() {
            Some((Work::Creating, _)) => {}
            Some((Work::Rotating, _)) => {
                managed.last = Some(at);
                if let Some(id) = pending {
                    secret.stage(CURRENT, &id);
                    secret.changed = at;
                    if let Some(version) = secret.versions.get_mut(&id) {
                        version.stages.remove(PENDING);
                    }
                    secret.prune();
                }
            }
            None => {
                managed.next = after(at, days(managed.days));
                managed.work = Some((Work::Rotating, after(at, times::SECRET)));
                secret.put(id, new_value, &[PENDING.to_owned()], at);
            }
        }
    }

    pub(super) fn rotate(&mut self, parameters: &Parameters, now: Timestamp) -> Result<Value, Fault> {
        let rule = parameters
            .integer("RotationRules.AutomaticallyAfterDays")
            .map_err(|fault| invalid_parameter(&fault.message))?;
        if rule.is_some_and(|days| !(1..=1000).contains(&days)) {
            return Err(invalid_parameter("AutomaticallyAfterDays must be between 1 and 1000 days."));
        }
        let at_once = parameters.get("RotateImmediately") != Some("false");
        let secret = self.change(parameters)?;
        let arn = secret.arn.clone();
        let Some(managed) = &mut secret.managed else {
            return Err(invalid_request("No Lambda rotation function ARN is associated with this secret."));
        };
        if managed.work.is_some() {
            return Err(invalid_request(
                "A previous rotation isn't complete. That rotation will be reattempted.",
            ));
        }
        if let Some(rule) = rule {
            managed.days = rule;
            managed.next = after(now, days(rule));
        }
        let answer = json!({ "ARN": arn, "Name": secret.name });
        if at_once {
            self.rotate_managed(&arn, now);
        }
        Ok(answer)
    }
}

fn value(user: &str, password: &str) -> String {
    json!({ "username": user, "password": password }).to_string()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn after(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
