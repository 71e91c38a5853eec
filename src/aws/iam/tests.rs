use super::{table::Call, *};
use clap::Parser;
use regex_lite::Regex;
use rstest::rstest;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longest managed policy, white space not counted: the IAM User Guide's "IAM and AWS STS quotas".
const MAX_POLICY: usize = 6144;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: PolicyArgs,
}

fn args(line: &str) -> PolicyArgs {
    Line::try_parse_from(std::iter::once("iam-policy").chain(line.split_whitespace())).unwrap().args
}

fn policy(line: &str) -> Value {
    args(line).document().unwrap()
}

/// The statements that hold an action.
fn allowing<'a>(policy: &'a Value, action: &str) -> Vec<&'a Value> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    statements.filter(|it| it["Action"].as_array().unwrap().iter().any(|held| held == action)).collect()
}

/// The source of a folder, without tests.
fn source(folder: &str) -> String {
    fn read(folder: &Path, text: &mut String) {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| !path.to_string_lossy().contains("test")) {
            if path.is_dir() {
                read(path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut text);
    assert!(text.len() > 10_000, "{folder} holds {} bytes", text.len());
    text
}

/// Operations as the SDK's methods are called, without underscores: `DB` in a name is `db` in a method.
fn method(operation: &str) -> String {
    operation.to_ascii_lowercase().replace('_', "")
}

fn listed(role: Role) -> Vec<&'static Call> {
    table::calls(role).iter().copied().flatten().collect()
}

/// Each call of the operator goes through a field of `Account`.
#[test]
fn the_operators_source_makes_the_calls_of_the_table_and_no_others() {
    let call = Regex::new(r"\.(sqs|s3|rds|elasticache|secrets)\s*\.\s*([a-z0-9_]+)\(\)").unwrap();
    let text = source("src");
    let made: BTreeSet<_> = call
        .captures_iter(&text)
        .map(|found| {
            let service =
                if &found[1] == "secrets" { "secretsmanager" } else { found.get(1).unwrap().as_str() };
            (service, method(&found[2]))
        })
        .collect();
    let known: BTreeSet<_> =
        listed(Role::Operator).iter().map(|call| (call.service, method(call.operation))).collect();
    assert_eq!(known, made, "left: src/aws/iam/table.rs, right: src/");
}

/// Requests of S3 name their bucket first, those of SQS their queue.
#[rstest]
#[case(Role::Transcoder, &["services/transcoder/src"])]
#[case(Role::Backend, &["services/backend/src", "services/catalog/src"])]
#[case(Role::Worker, &["services/worker/src", "services/catalog/src"])]
fn the_services_source_makes_the_calls_of_the_table_and_no_others(
    #[case] role: Role,
    #[case] folders: &[&str],
) {
    let call = Regex::new(r"\.([a-z0-9_]+)\(\)\s*\.(?:bucket|queue_url)\(").unwrap();
    let text: String = folders.iter().map(|folder| source(folder)).collect();
    let made: BTreeSet<_> = call.captures_iter(&text).map(|found| method(&found[1])).collect();
    let known: BTreeSet<_> = listed(role).iter().map(|call| method(call.operation)).collect();
    assert_eq!(known, made, "left: src/aws/iam/table.rs, right: {folders:?}");
}

#[test]
fn no_call_is_listed_twice_and_each_needs_something() {
    let operator = listed(Role::Operator);
    let names: BTreeSet<_> = operator.iter().map(|call| (call.service, call.operation)).collect();
    assert_eq!(names.len(), operator.len());
    for role in Role::value_variants() {
        for call in listed(*role) {
            assert!(!call.rights.is_empty(), "{}", call.operation);
            for (action, _) in call.rights {
                let (service, name) = action.split_once(':').unwrap();
                assert!(
                    ["ec2", "elasticache", "iam", "kms", "rds", "s3", "secretsmanager", "sqs"]
                        .contains(&service)
                        && !name.contains('*'),
                    "{action}"
                );
            }
        }
    }
}

#[test]
fn operations_are_allowed_under_the_names_that_iam_knows() {
    let policy = policy("");
    for action in
        ["s3:ListBucket", "s3:PutLifecycleConfiguration", "s3:GetBucketNotification", "s3:PutBucketCORS"]
    {
        assert_eq!(allowing(&policy, action).len(), 1, "{action}");
    }
    for action in ["s3:HeadBucket", "s3:DeleteObjects", "sqs:SendMessageBatch", "s3:PutPublicAccessBlock"] {
        assert!(allowing(&policy, action).is_empty(), "{action}");
    }
}

#[test]
fn a_policy_reaches_one_platform_in_one_account() {
    let policy = policy("--transcoding --platform media/tv --account 123456789012 --region eu-central-1");
    let receive = allowing(&policy, "sqs:ReceiveMessage")[0];
    assert_eq!(receive["Resource"][0], "arn:aws:sqs:eu-central-1:123456789012:tv-??????????-transcoding");
    let list = allowing(&policy, "s3:ListBucket")[0];
    assert_eq!(list["Resource"][0], "arn:aws:s3:::tv-??????????-input");
    assert_eq!(list["Condition"]["StringEquals"]["aws:ResourceAccount"], "123456789012");
    // A bucket that is not there belongs to no account.
    assert_eq!(allowing(&policy, "s3:CreateBucket")[0].get("Condition"), None);
    let resources =
        policy["Statement"].as_array().unwrap().iter().flat_map(|it| it["Resource"].as_array().unwrap());
    for resource in resources {
        assert!(resource.as_str().unwrap().contains(":tv-??????????-"), "{resource}");
    }
}

#[test]
fn only_queues_of_ours_are_deleted() {
    let mine = policy("--platform media/tv");
    let condition = &allowing(&mine, "sqs:DeleteQueue")[0]["Condition"]["StringEquals"];
    assert_eq!(condition["aws:ResourceTag/streamingplatform.dev/namespace"], "media");
    assert_eq!(condition["aws:ResourceTag/streamingplatform.dev/platform"], "tv");
    let any = policy("");
    let condition = &allowing(&any, "sqs:DeleteQueue")[0]["Condition"]["Null"];
    assert_eq!(condition["aws:ResourceTag/streamingplatform.dev/uid"], "false");
}

/// The spec may name a database, so that only tags tell whose it is.
#[test]
fn only_databases_of_ours_are_changed_and_deleted() {
    let mine = policy("--database --platform media/tv --account 123456789012 --region eu-central-1");
    for action in
        ["rds:ModifyDBInstance", "rds:DeleteDBInstance", "rds:StopDBCluster", "rds:DeleteDBParameterGroup"]
    {
        let on_servers = |it: &&Value| !it["Resource"].to_string().contains(":og:");
        let statements = allowing(&mine, action);
        let tagged = statements.into_iter().filter(|it| !it["Resource"].to_string().contains("snapshot"));
        for statement in tagged.filter(on_servers) {
            let condition = &statement["Condition"]["StringEquals"];
            assert_eq!(condition["aws:ResourceTag/streamingplatform.dev/platform"], "tv", "{action}");
        }
    }
    let read = allowing(&mine, "secretsmanager:GetSecretValue")[0];
    assert_eq!(read["Resource"], json!(["arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!*"]));
}

#[test]
fn only_proxies_of_ours_are_changed_and_only_secrets_of_ours_are_written() {
    let mine = policy("--proxy --platform media/tv --account 123456789012 --region eu-central-1");
    for action in ["rds:DeleteDBProxy", "rds:ModifyDBProxy"] {
        let condition = &allowing(&mine, action)[0]["Condition"]["StringEquals"];
        assert_eq!(condition["aws:ResourceTag/streamingplatform.dev/platform"], "tv", "{action}");
    }
    let write = allowing(&mine, "secretsmanager:PutSecretValue")[0];
    assert_eq!(
        write["Resource"],
        json!(["arn:aws:secretsmanager:eu-central-1:123456789012:secret:tv-??????????-login-?-??????"])
    );
    assert!(allowing(&policy("--database"), "secretsmanager:PutSecretValue").is_empty());
}

#[test]
fn only_roles_that_are_named_are_passed_and_only_to_rds() {
    assert!(allowing(&policy("--database"), "iam:PassRole").is_empty());
    let role = "arn:aws:iam::123456789012:role/proxy";
    let policy = policy(&format!("--database --pass-role {role}"));
    let pass = allowing(&policy, "iam:PassRole")[0];
    assert_eq!(pass["Resource"], json!([role]));
    let services = &pass["Condition"]["StringEquals"]["iam:PassedToService"];
    assert_eq!(services, &json!(["monitoring.rds.amazonaws.com", "rds.amazonaws.com"]));
}

#[test]
fn only_caches_of_ours_are_deleted_and_only_their_final_snapshots_are_made_untagged() {
    let mine = policy("--cache --platform media/tv --account 123456789012 --region eu-central-1");
    let delete = allowing(&mine, "elasticache:DeleteReplicationGroup");
    let tagged = delete.iter().find(|it| it["Resource"][0].as_str().unwrap().contains(":replicationgroup:"));
    let condition = &tagged.unwrap()["Condition"]["StringEquals"];
    assert_eq!(condition["aws:ResourceTag/streamingplatform.dev/platform"], "tv");
    let rest = delete.iter().find(|it| it.get("Condition").is_none()).unwrap();
    assert_eq!(rest["Resource"][0], "arn:aws:elasticache:eu-central-1:123456789012:snapshot:*-final-*");
    assert!(allowing(&mine, "sqs:ReceiveMessage").is_empty());
}

#[test]
fn the_key_of_queues_is_allowed_where_there_is_one() {
    assert!(allowing(&policy("--role backend"), "kms:Decrypt").is_empty());
    let key = "arn:aws:kms:eu-central-1:123456789012:key/1";
    let policy = policy(&format!("--role backend --kms-key {key}"));
    assert_eq!(allowing(&policy, "kms:GenerateDataKey")[0]["Resource"][0], key);
}

#[test]
fn the_keys_of_buckets_are_allowed_to_those_who_read_and_write_objects() {
    let keys = ["arn:aws:kms:eu-central-1:123456789012:key/1", "arn:aws:kms:eu-central-1:123456789012:key/2"];
    for (role, reads, writes) in [
        ("transcoder", true, true),
        ("backend", true, true),
        ("worker", true, false),
        ("operator", false, false),
    ] {
        let policy = policy(&format!("--role {role} --bucket-kms-key {}", keys.join(",")));
        for (action, allowed) in [("kms:Decrypt", reads), ("kms:GenerateDataKey", writes)] {
            let statements = allowing(&policy, action);
            assert_eq!(statements.len(), usize::from(allowed), "{role} {action}");
            assert!(statements.iter().all(|it| it["Resource"] == json!(keys)), "{role} {action}");
        }
    }
}

#[rstest]
#[case("eu-central-1", "arn:aws:")]
#[case("cn-north-1", "arn:aws-cn:")]
#[case("us-gov-west-1", "arn:aws-us-gov:")]
fn arns_are_of_the_regions_partition(#[case] region: &str, #[case] begin: &str) {
    let policy = policy(&format!("--region {region}"));
    for statement in policy["Statement"].as_array().unwrap().iter().filter(|it| it["Resource"][0] != "*") {
        assert!(statement["Resource"][0].as_str().unwrap().starts_with(begin), "{statement}");
    }
}

/// The role that platforms name is one thing, the right to assume it another.
#[test]
fn the_right_to_assume_roles_is_a_document_of_its_own() {
    let policy = policy("--assume arn:aws:iam::123456789012:role/media");
    assert_eq!(
        policy["Statement"],
        json!([{"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ["arn:aws:iam::123456789012:role/media"]}])
    );
}

/// A longest name, and everything that can be said. What the operator does takes a policy for each part.
#[rstest]
#[case("operator --transcoding")]
#[case("operator --database")]
#[case("operator --proxy")]
#[case("operator --cache")]
#[case("transcoder")]
#[case("backend")]
#[case("worker")]
fn every_policy_fits_into_one_managed_policy(#[case] role: &str) {
    let name = "p".repeat(crate::api::names::MAX_PLATFORM_NAME);
    let line = format!(
        "--role {role} --platform media/{name} --account 123456789012 --region ap-southeast-1 \
         --kms-key arn:aws:kms:ap-southeast-1:123456789012:key/12345678-1234-1234-1234-123456789012 \
         --bucket-kms-key arn:aws:kms:ap-southeast-1:123456789012:key/12345678-1234-1234-1234-123456789013,arn:aws:kms:ap-southeast-1:123456789012:key/12345678-1234-1234-1234-123456789014 \
         --pass-role arn:aws:iam::123456789012:role/some-path/rds-monitoring,arn:aws:iam::123456789012:role/some-path/rds-proxy"
    );
    let length = args(&line).document().map_or(0, |policy| policy.to_string().len());
    assert!(length <= MAX_POLICY, "{role}: {length}");
}

#[test]
fn an_empty_policy_is_an_error() {
    let error = args("--role transcoder --database").document().unwrap_err().to_string();
    assert!(error.contains("the transcoder makes no calls"), "{error}");
}

#[rstest]
#[case("--platform tv")]
#[case("--platform media/*")]
#[case("--account 1234")]
#[case("--assume arn:aws:iam::1:role/a --cache")]
fn nonsense_is_refused(#[case] line: &str) {
    let line = std::iter::once("iam-policy").chain(line.split_whitespace());
    assert!(Line::try_parse_from(line).is_err());
}
