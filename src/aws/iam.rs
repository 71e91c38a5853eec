//! iam: the policies that AWS's IAM needs, made from the [table](table) of the calls in the code.

mod table;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use table::On;

/// IAM's name of the policy language; there is no newer one.
const VERSION: &str = "2012-10-17";
/// Which policy is printed, and for what.
#[derive(Clone, Debug, Args)]
pub struct PolicyArgs {
    /// Whose policy
    #[arg(long, value_enum, default_value_t = Role::Operator)]
    role: Role,
    /// What transcoding needs; without any of these four, everything
    #[arg(long)]
    transcoding: bool,
    /// What databases need
    #[arg(long)]
    database: bool,
    /// What proxies before databases need besides (database.aws.proxy)
    #[arg(long)]
    proxy: bool,
    /// What caches need
    #[arg(long)]
    cache: bool,
    /// Only for this platform; any platform when left out
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = platform)]
    platform: Option<(String, String)>,
    /// Only in this account
    #[arg(long, value_name = "NUMBER", value_parser = account)]
    account: Option<String>,
    /// Only in this region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Customer key of queues and databases (transcoding.queue.kmsKeyID, database.aws.kmsKeyID)
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
    /// Customer keys that buckets are encrypted with (transcoding.input/output.encryption.kmsKeyID)
    #[arg(long, value_name = "ARN", value_delimiter = ',')]
    bucket_kms_key: Vec<String>,
    /// Roles that databases name (database.aws.proxy.roleARN, database.aws.monitoring.roleARN)
    #[arg(long, value_name = "ARN", value_delimiter = ',')]
    pass_role: Vec<String>,
    /// Instead: what the operator's own identity needs where platforms name these roles (spec.aws.roleARN)
    #[arg(long, value_name = "ARN", value_delimiter = ',', conflicts_with_all = ["transcoding", "database", "proxy", "cache", "kms_key", "bucket_kms_key", "pass_role"])]
    assume: Vec<String>,
}

/// Who makes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// The operator, or the role that a platform has it assume
    Operator,
    /// Pods of transcoding Jobs
    Transcoder,
    /// Pods of the bundled backend
    Backend,
    /// Pods of the bundled worker
    Worker,
}

/// What of a platform calls are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Transcoding,
    Database,
    Proxy,
    Cache,
}

/// Where an action is allowed: resources and conditions, as JSON that can be compared.
type Place = (Vec<String>, String);

impl PolicyArgs {
    /// The policy document.
    ///
    /// # Errors
    /// When nothing that was asked for makes calls.
    pub fn document(&self) -> Result<Value> {
        if !self.assume.is_empty() {
            return Ok(json!({"Version": VERSION, "Statement": [
                {"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": self.assume}
            ]}));
        }
        let mut actions: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
        let calls = table::calls(self.role).iter().copied().flatten();
        for (action, on) in calls.filter(|call| self.asks_for(call.part)).flat_map(|call| call.rights) {
            if let Some(place) = self.place(*on) {
                actions.entry(place).or_default().insert(action);
            }
        }
        if actions.is_empty() {
            bail!("{} makes no calls to AWS for that", self.role);
        }
        let statements = actions.into_iter().map(|((resources, condition), actions)| {
            let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
            if !condition.is_empty() {
                statement["Condition"] = serde_json::from_str(&condition)?;
            }
            Ok(statement)
        });
        Ok(json!({"Version": VERSION, "Statement": statements.collect::<Result<Vec<_>>>()?}))
    }

    fn asks_for(&self, part: Part) -> bool {
        let asked = [
            (Part::Transcoding, self.transcoding),
            (Part::Database, self.database),
            (Part::Proxy, self.proxy),
            (Part::Cache, self.cache),
        ];
        asked.iter().all(|(_, asked)| !asked) || asked.contains(&(part, true))
    }

    /// Where an action on such a resource is allowed; `None`: the resource is not there.
    fn place(&self, on: On) -> Option<Place> {
        let partition = match self.region.as_deref() {
            Some(region) if region.starts_with("cn-") => "aws-cn",
            Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let region = self.region.as_deref().unwrap_or("*");
        let account = self.account.as_deref().unwrap_or("*");
        // As `Platform::aws_name` makes names: ten characters tell platforms of one name apart.
        let name = self.platform.as_ref().map_or("*", |(_, name)| name);
        let queue =
            |suffix: &&str| format!("arn:{partition}:sqs:{region}:{account}:{name}-??????????-{suffix}");
        let rds = |kind: &&str| format!("arn:{partition}:rds:{region}:{account}:{kind}:*");
        let bucket = |suffix: &str| format!("arn:{partition}:s3:::{name}-??????????-{suffix}");
        let cache = |rest: &str| format!("arn:{partition}:elasticache:{region}:{account}:{rest}");
        let mut conditions = Map::new();
        // ARNs of buckets name no account: another's bucket of such a name must not be taken for ours.
        let mut in_account = || {
            if let Some(account) = &self.account {
                conditions.insert("StringEquals".to_owned(), json!({"aws:ResourceAccount": account}));
            }
        };
        let resources = match on {
            On::Queues(suffixes) => suffixes.iter().map(queue).collect(),
            On::TaggedQueues(suffixes) => {
                conditions = self.tagged();
                suffixes.iter().map(queue).collect()
            }
            On::NewBuckets(suffixes) => suffixes.iter().map(|it| bucket(it)).collect(),
            On::Buckets(suffixes) => {
                in_account();
                suffixes.iter().map(|it| bucket(it)).collect()
            }
            On::Objects(suffix, keys) => {
                in_account();
                vec![format!("{}/{keys}", bucket(suffix))]
            }
            On::Rds(kinds) => kinds.iter().map(rds).collect(),
            On::TaggedRds(kinds) => {
                conditions = self.tagged();
                kinds.iter().map(rds).collect()
            }
            On::MasterSecrets => {
                vec![format!("arn:{partition}:secretsmanager:{region}:{account}:secret:rds!*")]
            }
            On::ServiceRole => vec![format!(
                "arn:{partition}:iam::{account}:role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS"
            )],
            On::CustomerKey => vec![self.kms_key.clone()?],
            On::BucketKeys if self.bucket_kms_key.is_empty() => return None,
            On::BucketKeys => self.bucket_kms_key.clone(),
            On::AllCaches => vec![cache("*")],
            On::TaggedCaches(kinds) => {
                conditions = self.tagged();
                kinds.iter().map(|kind| cache(&format!("{kind}:*"))).collect()
            }
            On::FinalSnapshots(kind) => vec![cache(&format!("{kind}:*-final-*"))],
            On::Everything => vec!["*".to_owned()],
            On::LoginSecrets => vec![format!(
                "arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-??????????-login-?-??????"
            )],
            On::PassedRoles if self.pass_role.is_empty() => return None,
            On::PassedRoles => {
                let services = ["monitoring.rds.amazonaws.com", "rds.amazonaws.com"];
                conditions.insert("StringEquals".to_owned(), json!({"iam:PassedToService": services}));
                self.pass_role.clone()
            }
        };
        let condition =
            if conditions.is_empty() { String::new() } else { Value::Object(conditions).to_string() };
        Some((resources, condition))
    }

    /// That a resource has the tags which the operator gives to what it makes.
    fn tagged(&self) -> Map<String, Value> {
        let tag = |name: &str| format!("aws:ResourceTag/streamingplatform.dev/{name}");
        let condition = match &self.platform {
            Some((namespace, name)) => {
                json!({"StringEquals": {tag("namespace"): namespace, tag("platform"): name}})
            }
            None => json!({"Null": {tag("uid"): "false"}}),
        };
        condition.as_object().cloned().unwrap_or_default()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator",
            Self::Transcoder => "the transcoder",
            Self::Backend => "the backend",
            Self::Worker => "the worker",
        })
    }
}

/// The calls that the operator's policy is made of, as service and operation.
pub fn operator_calls() -> impl Iterator<Item = (&'static str, &'static str)> {
    table::calls(Role::Operator).iter().copied().flatten().map(|call| (call.service, call.operation))
}

fn platform(text: &str) -> Result<(String, String), &'static str> {
    let wrong = "expected namespace/name, both of lower-case letters, digits and -";
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let (namespace, name) = text.split_once('/').ok_or(wrong)?;
    if is_name(namespace) && is_name(name) { Ok((namespace.to_owned(), name.to_owned())) } else { Err(wrong) }
}

fn account(text: &str) -> Result<String, &'static str> {
    let is_number = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.to_owned()).ok_or("expected the twelve digits of an account")
}

#[cfg(test)]
mod tests;
