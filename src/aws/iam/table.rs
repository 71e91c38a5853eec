//! table: each call to AWS in the code, and the IAM actions that allow it.
//!
//! What action an operation needs is in AWS's Service Authorization Reference; most bear the operation's name.
//! Those that don't, and those that need more than one, are the reason for this table. A test compares it with
//! the source: no call is missing, and none is here that the code does not make.

use super::{
    Part::{self, Cache, Database, Proxy, Transcoding},
    Role,
};

/// An operation that the code calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// What it is called for.
    pub part: Part,
    /// The service, as in the metrics.
    pub service: &'static str,
    /// The operation's name in the service's API.
    pub operation: &'static str,
    /// What it needs.
    pub rights: &'static [(&'static str, On)],
}

/// What an action is allowed on: suffixes of the names that [`crate::platform::Platform::aws_name`] makes.
#[derive(Clone, Copy, Debug)]
pub(super) enum On {
    /// Queues.
    Queues(&'static [&'static str]),
    /// Queues that bear the operator's tags: for what can't be undone.
    TaggedQueues(&'static [&'static str]),
    /// Buckets that are not there yet, so that they belong to no account.
    NewBuckets(&'static [&'static str]),
    /// Buckets.
    Buckets(&'static [&'static str]),
    /// Objects of a bucket whose keys match the pattern.
    Objects(&'static str, &'static str),
    /// The customer key of queues and databases.
    CustomerKey,
    /// Everything of these kinds in RDS, whatever its name: the spec may name a database.
    Rds(&'static [&'static str]),
    /// The same, where it bears the operator's tags.
    TaggedRds(&'static [&'static str]),
    /// The secrets that RDS makes for the masters of databases.
    MasterSecrets,
    /// The secrets of logins that a proxy reads.
    LoginSecrets,
    /// Everything of the account: what has no ARN of its own, or none yet.
    Everything,
    /// Roles that the spec names for RDS to act with.
    PassedRoles,
    /// The role that RDS acts with in the account. The first database of an account makes it.
    ServiceRole,
    /// The customer keys of buckets.
    BucketKeys,
    /// Everything in ElastiCache: what is listed, what is made, and what that refers to.
    AllCaches,
    /// What ElastiCache has of these kinds and bears the operator's tags.
    TaggedCaches(&'static [&'static str]),
    /// Final snapshots of that kind, which are not there yet.
    FinalSnapshots(&'static str),
}

const WORK: &str = crate::observe::aws::WORK_QUEUE;
const EVENTS: &str = crate::observe::aws::EVENTS_QUEUE;
const ALL_QUEUES: On = On::Queues(&[WORK, crate::observe::aws::DEAD_LETTER_QUEUE, EVENTS]);
const INPUT: &str = "input";
const OUTPUT: &str = "output";
const BUCKETS: On = On::Buckets(&[INPUT, OUTPUT]);
/// What an object of ours is under in the output bucket: a folder for each piece of work.
const ANY: &str = "*";

/// Messages of a queue with a customer key are written and read with it: the SQS Developer Guide's "Key
/// management". AWS asks for both rights of who sends.
const SEAL: (&str, On) = ("kms:GenerateDataKey", On::CustomerKey);
const UNSEAL: (&str, On) = ("kms:Decrypt", On::CustomerKey);
/// Objects of a bucket with a customer key are written and read with it. Parts of an upload are read, too: the
/// S3 User Guide's "Using server-side encryption with AWS KMS keys".
const ENCRYPT: (&str, On) = ("kms:GenerateDataKey", On::BucketKeys);
const DECRYPT: (&str, On) = ("kms:Decrypt", On::BucketKeys);

const fn call(service: &'static str, operation: &'static str, rights: &'static [(&'static str, On)]) -> Call {
    Call { part: Transcoding, service, operation, rights }
}

/// The calls of a role, in groups.
pub(super) const fn calls(role: Role) -> &'static [&'static [Call]] {
    match role {
        Role::Operator => &[QUEUES, MESSAGES, BUCKET_SETTINGS, RESYNC, DATABASES, OF_PROXIES, CACHES],
        Role::Transcoder => &[TRANSCODER],
        Role::Backend => &[BACKEND, CATALOG],
        Role::Worker => &[WORKER, CATALOG],
    }
}

/// The operator: queues.
const QUEUES: &[Call] = &[
    call("sqs", "GetQueueUrl", &[("sqs:GetQueueUrl", ALL_QUEUES)]),
    call("sqs", "GetQueueAttributes", &[("sqs:GetQueueAttributes", ALL_QUEUES)]),
    call("sqs", "ListQueueTags", &[("sqs:ListQueueTags", ALL_QUEUES)]),
    // Tags in the same call need the right to tag.
    call("sqs", "CreateQueue", &[("sqs:CreateQueue", ALL_QUEUES), ("sqs:TagQueue", ALL_QUEUES)]),
    call("sqs", "SetQueueAttributes", &[("sqs:SetQueueAttributes", ALL_QUEUES)]),
    call("sqs", "TagQueue", &[("sqs:TagQueue", ALL_QUEUES)]),
    call(
        "sqs",
        "DeleteQueue",
        &[("sqs:DeleteQueue", On::TaggedQueues(&[WORK, crate::observe::aws::DEAD_LETTER_QUEUE, EVENTS]))],
    ),
];

const fn of_cache(operation: &'static str, rights: &'static [(&'static str, On)]) -> Call {
    Call { part: Cache, service: "elasticache", operation, rights }
}

/// The operator: caches. What calls refer to, besides what they are about, needs the right, too: "Actions,
/// resources, and condition keys for Amazon ElastiCache".
const CACHES: &[Call] = &[
    of_cache("DescribeReplicationGroups", &[("elasticache:DescribeReplicationGroups", On::AllCaches)]),
    of_cache("DescribeCacheClusters", &[("elasticache:DescribeCacheClusters", On::AllCaches)]),
    of_cache("DescribeServerlessCaches", &[("elasticache:DescribeServerlessCaches", On::AllCaches)]),
    of_cache("DescribeCacheSubnetGroups", &[("elasticache:DescribeCacheSubnetGroups", On::AllCaches)]),
    of_cache("DescribeCacheParameterGroups", &[("elasticache:DescribeCacheParameterGroups", On::AllCaches)]),
    of_cache("DescribeCacheParameters", &[("elasticache:DescribeCacheParameters", On::AllCaches)]),
    of_cache("DescribeUsers", &[("elasticache:DescribeUsers", On::AllCaches)]),
    of_cache("DescribeUserGroups", &[("elasticache:DescribeUserGroups", On::AllCaches)]),
    of_cache("ListTagsForResource", &[("elasticache:ListTagsForResource", On::AllCaches)]),
    of_cache("AddTagsToResource", &[("elasticache:AddTagsToResource", On::AllCaches)]),
    of_cache(
        "RemoveTagsFromResource",
        &[("elasticache:RemoveTagsFromResource", On::TaggedCaches(&["replicationgroup", "serverlesscache"]))],
    ),
    of_cache("CreateReplicationGroup", &[("elasticache:CreateReplicationGroup", On::AllCaches)]),
    of_cache("ModifyReplicationGroup", &[("elasticache:ModifyReplicationGroup", On::AllCaches)]),
    of_cache(
        "IncreaseReplicaCount",
        &[("elasticache:IncreaseReplicaCount", On::TaggedCaches(&["replicationgroup"]))],
    ),
    of_cache(
        "DecreaseReplicaCount",
        &[("elasticache:DecreaseReplicaCount", On::TaggedCaches(&["replicationgroup"]))],
    ),
    of_cache(
        "ModifyReplicationGroupShardConfiguration",
        &[("elasticache:ModifyReplicationGroupShardConfiguration", On::TaggedCaches(&["replicationgroup"]))],
    ),
    // A final snapshot is made under its own right.
    of_cache(
        "DeleteReplicationGroup",
        &[
            ("elasticache:DeleteReplicationGroup", On::TaggedCaches(&["replicationgroup"])),
            ("elasticache:DeleteReplicationGroup", On::FinalSnapshots("snapshot")),
            ("elasticache:CreateSnapshot", On::AllCaches),
        ],
    ),
    // Its endpoint in the VPC is made with the caller's rights: the ElastiCache User Guide's "Getting started with
    // serverless caches".
    of_cache(
        "CreateServerlessCache",
        &[
            ("elasticache:CreateServerlessCache", On::AllCaches),
            ("ec2:CreateVpcEndpoint", On::Everything),
            ("ec2:DescribeVpcEndpoints", On::Everything),
            ("ec2:DescribeVpcs", On::Everything),
            ("ec2:DescribeSubnets", On::Everything),
            ("ec2:DescribeSecurityGroups", On::Everything),
            ("ec2:CreateTags", On::Everything),
            ("ec2:DescribeTags", On::Everything),
        ],
    ),
    of_cache("ModifyServerlessCache", &[("elasticache:ModifyServerlessCache", On::AllCaches)]),
    of_cache(
        "DeleteServerlessCache",
        &[
            ("elasticache:DeleteServerlessCache", On::TaggedCaches(&["serverlesscache"])),
            ("elasticache:DeleteServerlessCache", On::FinalSnapshots("serverlesscachesnapshot")),
            ("elasticache:CreateServerlessCacheSnapshot", On::AllCaches),
        ],
    ),
    of_cache("CreateCacheParameterGroup", &[("elasticache:CreateCacheParameterGroup", On::AllCaches)]),
    of_cache(
        "ModifyCacheParameterGroup",
        &[("elasticache:ModifyCacheParameterGroup", On::TaggedCaches(&["parametergroup"]))],
    ),
    of_cache(
        "ResetCacheParameterGroup",
        &[("elasticache:ResetCacheParameterGroup", On::TaggedCaches(&["parametergroup"]))],
    ),
    of_cache(
        "DeleteCacheParameterGroup",
        &[("elasticache:DeleteCacheParameterGroup", On::TaggedCaches(&["parametergroup"]))],
    ),
    of_cache("CreateCacheSubnetGroup", &[("elasticache:CreateCacheSubnetGroup", On::AllCaches)]),
    of_cache(
        "ModifyCacheSubnetGroup",
        &[("elasticache:ModifyCacheSubnetGroup", On::TaggedCaches(&["subnetgroup"]))],
    ),
    of_cache(
        "DeleteCacheSubnetGroup",
        &[("elasticache:DeleteCacheSubnetGroup", On::TaggedCaches(&["subnetgroup"]))],
    ),
    of_cache("CreateUser", &[("elasticache:CreateUser", On::AllCaches)]),
    of_cache("ModifyUser", &[("elasticache:ModifyUser", On::TaggedCaches(&["user"]))]),
    of_cache("DeleteUser", &[("elasticache:DeleteUser", On::TaggedCaches(&["user"]))]),
    of_cache("CreateUserGroup", &[("elasticache:CreateUserGroup", On::AllCaches)]),
    of_cache("DeleteUserGroup", &[("elasticache:DeleteUserGroup", On::TaggedCaches(&["usergroup"]))]),
];

/// The operator: messages. Batches are allowed under the names of the single operations.
const MESSAGES: &[Call] = &[
    call("sqs", "ReceiveMessage", &[("sqs:ReceiveMessage", ALL_QUEUES), UNSEAL]),
    call("sqs", "SendMessage", &[("sqs:SendMessage", ALL_QUEUES), SEAL, UNSEAL]),
    call("sqs", "SendMessageBatch", &[("sqs:SendMessage", ALL_QUEUES), SEAL, UNSEAL]),
    call("sqs", "DeleteMessage", &[("sqs:DeleteMessage", ALL_QUEUES)]),
    call("sqs", "DeleteMessageBatch", &[("sqs:DeleteMessage", ALL_QUEUES)]),
    call("sqs", "ChangeMessageVisibility", &[("sqs:ChangeMessageVisibility", ALL_QUEUES)]),
    call("sqs", "ChangeMessageVisibilityBatch", &[("sqs:ChangeMessageVisibility", ALL_QUEUES)]),
];

/// The operator: buckets.
const BUCKET_SETTINGS: &[Call] = &[
    call("s3", "HeadBucket", &[("s3:ListBucket", BUCKETS)]),
    call("s3", "GetBucketVersioning", &[("s3:GetBucketVersioning", BUCKETS)]),
    call("s3", "PutBucketVersioning", &[("s3:PutBucketVersioning", BUCKETS)]),
    call("s3", "GetBucketNotificationConfiguration", &[("s3:GetBucketNotification", BUCKETS)]),
    call("s3", "PutBucketNotificationConfiguration", &[("s3:PutBucketNotification", BUCKETS)]),
    call("s3", "GetPublicAccessBlock", &[("s3:GetBucketPublicAccessBlock", BUCKETS)]),
    call("s3", "PutPublicAccessBlock", &[("s3:PutBucketPublicAccessBlock", BUCKETS)]),
    call("s3", "GetBucketOwnershipControls", &[("s3:GetBucketOwnershipControls", BUCKETS)]),
    call("s3", "PutBucketOwnershipControls", &[("s3:PutBucketOwnershipControls", BUCKETS)]),
    call("s3", "GetBucketEncryption", &[("s3:GetEncryptionConfiguration", BUCKETS)]),
    call("s3", "PutBucketEncryption", &[("s3:PutEncryptionConfiguration", BUCKETS)]),
    call("s3", "GetBucketCors", &[("s3:GetBucketCORS", BUCKETS)]),
    call("s3", "PutBucketCors", &[("s3:PutBucketCORS", BUCKETS)]),
    call("s3", "DeleteBucketCors", &[("s3:PutBucketCORS", BUCKETS)]),
    call("s3", "GetBucketLifecycleConfiguration", &[("s3:GetLifecycleConfiguration", BUCKETS)]),
    call("s3", "PutBucketLifecycleConfiguration", &[("s3:PutLifecycleConfiguration", BUCKETS)]),
    call("s3", "GetBucketTagging", &[("s3:GetBucketTagging", BUCKETS)]),
    call("s3", "PutBucketTagging", &[("s3:PutBucketTagging", BUCKETS)]),
    call("s3", "CreateBucket", &[("s3:CreateBucket", On::NewBuckets(&[INPUT, OUTPUT]))]),
    call("s3", "DeleteBucket", &[("s3:DeleteBucket", BUCKETS)]),
    call("s3", "ListObjectVersions", &[("s3:ListBucketVersions", BUCKETS)]),
    call(
        "s3",
        "DeleteObjects",
        &[
            ("s3:DeleteObject", On::Objects(INPUT, ANY)),
            ("s3:DeleteObject", On::Objects(OUTPUT, ANY)),
            ("s3:DeleteObjectVersion", On::Objects(INPUT, ANY)),
            ("s3:DeleteObjectVersion", On::Objects(OUTPUT, ANY)),
        ],
    ),
];

/// `queue resync`: which outputs are finished. Without the right to list, one that is not there is a 403.
const RESYNC: &[Call] = &[call(
    "s3",
    "HeadObject",
    &[("s3:GetObject", On::Objects(OUTPUT, "*/job.json")), ("s3:ListBucket", BUCKETS)],
)];

const fn rds(operation: &'static str, rights: &'static [(&'static str, On)]) -> Call {
    Call { part: Database, service: "rds", operation, rights }
}

/// What instances and clusters stand on: groups of options, parameters, security and subnets.
const GROUPS: On = On::Rds(&["cluster-pg", "og", "pg", "secgrp", "subgrp"]);
const SERVERS: On = On::Rds(&["cluster", "db"]);
const OUR_SERVERS: On = On::TaggedRds(&["cluster", "db"]);
const SNAPSHOTS: On = On::Rds(&["cluster-snapshot", "snapshot"]);
/// Tags in a call that makes something need the right to tag.
const TAG: (&str, On) = ("rds:AddTagsToResource", On::Rds(&["cluster", "cluster-pg", "db", "pg", "subgrp"]));
/// RDS acts with a role only where who names it may pass it on: that of a proxy, and that of enhanced monitoring.
const PASS_ROLE: (&str, On) = ("iam:PassRole", On::PassedRoles);
/// What AWS asks for when RDS is to keep the master's password: "Password management with Amazon RDS and AWS
/// Secrets Manager" of its guide.
const KEEP_MASTER: (&str, On) = ("secretsmanager:CreateSecret", On::MasterSecrets);
const TAG_MASTER: (&str, On) = ("secretsmanager:TagResource", On::MasterSecrets);
const SEE_KEY: (&str, On) = ("kms:DescribeKey", On::CustomerKey);
const GRANT_KEY: (&str, On) = ("kms:CreateGrant", On::CustomerKey);
const SERVICE_ROLE: (&str, On) = ("iam:CreateServiceLinkedRole", On::ServiceRole);

/// The operator: databases in RDS.
const DATABASES: &[Call] = &[
    rds("DescribeDBInstances", &[("rds:DescribeDBInstances", On::Rds(&["db"]))]),
    rds("DescribeDBClusters", &[("rds:DescribeDBClusters", On::Rds(&["cluster"]))]),
    rds(
        "DescribeBlueGreenDeployments",
        &[("rds:DescribeBlueGreenDeployments", On::Rds(&["cluster", "db", "deployment"]))],
    ),
    rds("DescribeDBSubnetGroups", &[("rds:DescribeDBSubnetGroups", On::Rds(&["subgrp"]))]),
    rds("DescribeDBParameterGroups", &[("rds:DescribeDBParameterGroups", On::Rds(&["pg"]))]),
    rds("DescribeEvents", &[("rds:DescribeEvents", On::Rds(&["*"]))]),
    rds(
        "DescribeDBClusterParameterGroups",
        &[("rds:DescribeDBClusterParameterGroups", On::Rds(&["cluster-pg"]))],
    ),
    rds("DescribeDBParameters", &[("rds:DescribeDBParameters", On::Rds(&["pg"]))]),
    rds("DescribeDBClusterParameters", &[("rds:DescribeDBClusterParameters", On::Rds(&["cluster-pg"]))]),
    rds(
        "CreateDBInstance",
        &[
            ("rds:CreateDBInstance", SERVERS),
            ("rds:CreateDBInstance", GROUPS),
            TAG,
            KEEP_MASTER,
            TAG_MASTER,
            SEE_KEY,
            GRANT_KEY,
            SERVICE_ROLE,
            PASS_ROLE,
        ],
    ),
    rds(
        "RestoreDBInstanceFromDBSnapshot",
        &[
            ("rds:RestoreDBInstanceFromDBSnapshot", SERVERS),
            ("rds:RestoreDBInstanceFromDBSnapshot", SNAPSHOTS),
            ("rds:RestoreDBInstanceFromDBSnapshot", GROUPS),
            TAG,
            KEEP_MASTER,
            TAG_MASTER,
        ],
    ),
    rds(
        "RestoreDBInstanceToPointInTime",
        &[
            ("rds:RestoreDBInstanceToPointInTime", SERVERS),
            ("rds:RestoreDBInstanceToPointInTime", GROUPS),
            TAG,
            KEEP_MASTER,
            TAG_MASTER,
        ],
    ),
    rds(
        "ModifyDBInstance",
        &[("rds:ModifyDBInstance", OUR_SERVERS), ("rds:ModifyDBInstance", GROUPS), PASS_ROLE],
    ),
    rds("RebootDBInstance", &[("rds:RebootDBInstance", OUR_SERVERS)]),
    rds("StopDBInstance", &[("rds:StopDBInstance", OUR_SERVERS)]),
    rds("StartDBInstance", &[("rds:StartDBInstance", OUR_SERVERS)]),
    rds(
        "DeleteDBInstance",
        &[
            ("rds:DeleteDBInstance", OUR_SERVERS),
            ("rds:CreateDBSnapshot", OUR_SERVERS),
            ("rds:CreateDBSnapshot", SNAPSHOTS),
        ],
    ),
    // AWS makes, changes and deletes green with the caller's rights: the RDS guide's "Authorizing access to Amazon RDS
    // blue/green deployment operations". Green bears our tags only after it was made.
    rds(
        "CreateBlueGreenDeployment",
        &[
            ("rds:CreateBlueGreenDeployment", On::Rds(&["db", "deployment", "pg"])),
            ("rds:CreateDBInstanceReadReplica", On::Rds(&["db", "og", "pg", "subgrp"])),
            ("rds:AddTagsToResource", On::Rds(&["deployment"])),
        ],
    ),
    rds(
        "SwitchoverBlueGreenDeployment",
        &[
            ("rds:SwitchoverBlueGreenDeployment", On::TaggedRds(&["db", "deployment"])),
            ("rds:ModifyDBInstance", OUR_SERVERS),
            ("rds:PromoteReadReplica", OUR_SERVERS),
        ],
    ),
    rds(
        "DeleteBlueGreenDeployment",
        &[
            ("rds:DeleteBlueGreenDeployment", On::TaggedRds(&["db", "deployment"])),
            ("rds:DeleteDBInstance", OUR_SERVERS),
        ],
    ),
    rds(
        "CreateDBCluster",
        &[("rds:CreateDBCluster", SERVERS), ("rds:CreateDBCluster", GROUPS), TAG, KEEP_MASTER, TAG_MASTER],
    ),
    rds(
        "RestoreDBClusterFromSnapshot",
        &[
            ("rds:RestoreDBClusterFromSnapshot", SERVERS),
            ("rds:RestoreDBClusterFromSnapshot", SNAPSHOTS),
            ("rds:RestoreDBClusterFromSnapshot", GROUPS),
            TAG,
        ],
    ),
    rds(
        "RestoreDBClusterToPointInTime",
        &[("rds:RestoreDBClusterToPointInTime", SERVERS), ("rds:RestoreDBClusterToPointInTime", GROUPS), TAG],
    ),
    rds("ModifyDBCluster", &[("rds:ModifyDBCluster", OUR_SERVERS), ("rds:ModifyDBCluster", GROUPS)]),
    rds("StopDBCluster", &[("rds:StopDBCluster", OUR_SERVERS)]),
    rds("StartDBCluster", &[("rds:StartDBCluster", OUR_SERVERS)]),
    rds("DeleteDBCluster", &[("rds:DeleteDBCluster", OUR_SERVERS), ("rds:DeleteDBCluster", SNAPSHOTS)]),
    // Also what is adopted, which bears no tag of ours yet.
    rds("AddTagsToResource", &[TAG]),
    rds("RemoveTagsFromResource", &[("rds:RemoveTagsFromResource", OUR_SERVERS)]),
    rds("CreateDBParameterGroup", &[("rds:CreateDBParameterGroup", On::Rds(&["pg"])), TAG]),
    rds(
        "CreateDBClusterParameterGroup",
        &[("rds:CreateDBClusterParameterGroup", On::Rds(&["cluster-pg"])), TAG],
    ),
    rds("ModifyDBParameterGroup", &[("rds:ModifyDBParameterGroup", On::TaggedRds(&["pg"]))]),
    rds(
        "ModifyDBClusterParameterGroup",
        &[("rds:ModifyDBClusterParameterGroup", On::TaggedRds(&["cluster-pg"]))],
    ),
    rds("ResetDBParameterGroup", &[("rds:ResetDBParameterGroup", On::TaggedRds(&["pg"]))]),
    rds(
        "ResetDBClusterParameterGroup",
        &[("rds:ResetDBClusterParameterGroup", On::TaggedRds(&["cluster-pg"]))],
    ),
    rds("DeleteDBParameterGroup", &[("rds:DeleteDBParameterGroup", On::TaggedRds(&["pg"]))]),
    rds(
        "DeleteDBClusterParameterGroup",
        &[("rds:DeleteDBClusterParameterGroup", On::TaggedRds(&["cluster-pg"]))],
    ),
    rds("CreateDBSubnetGroup", &[("rds:CreateDBSubnetGroup", On::Rds(&["subgrp"])), TAG]),
    rds("ModifyDBSubnetGroup", &[("rds:ModifyDBSubnetGroup", On::TaggedRds(&["subgrp"]))]),
    rds("DeleteDBSubnetGroup", &[("rds:DeleteDBSubnetGroup", On::TaggedRds(&["subgrp"]))]),
    Call {
        part: Database,
        service: "secretsmanager",
        operation: "GetSecretValue",
        rights: &[("secretsmanager:GetSecretValue", On::MasterSecrets)],
    },
];

const fn of_proxy(
    service: &'static str,
    operation: &'static str,
    rights: &'static [(&'static str, On)],
) -> Call {
    Call { part: Proxy, service, operation, rights }
}

const PROXIES: On = On::Rds(&["db-proxy", "target-group"]);
const TAG_PROXY: (&str, On) = ("rds:AddTagsToResource", On::Rds(&["db-proxy"]));
const UNTAG_PROXY: (&str, On) = ("rds:RemoveTagsFromResource", On::TaggedRds(&["db-proxy"]));

/// The operator: proxies before databases, and the secrets that they read.
const OF_PROXIES: &[Call] = &[
    // Target groups bear no tags.
    of_proxy("rds", "DescribeDBProxies", &[("rds:DescribeDBProxies", On::Rds(&["db-proxy"]))]),
    of_proxy("rds", "DescribeDBProxyTargetGroups", &[("rds:DescribeDBProxyTargetGroups", PROXIES)]),
    of_proxy(
        "rds",
        "DescribeDBProxyTargets",
        &[("rds:DescribeDBProxyTargets", PROXIES), ("rds:DescribeDBProxyTargets", SERVERS)],
    ),
    of_proxy(
        "rds",
        "CreateDBProxy",
        &[("rds:CreateDBProxy", On::Everything), TAG_PROXY, UNTAG_PROXY, PASS_ROLE],
    ),
    of_proxy("rds", "ModifyDBProxy", &[("rds:ModifyDBProxy", On::TaggedRds(&["db-proxy"])), PASS_ROLE]),
    of_proxy(
        "rds",
        "ModifyDBProxyTargetGroup",
        &[("rds:ModifyDBProxyTargetGroup", On::Rds(&["target-group"]))],
    ),
    of_proxy(
        "rds",
        "RegisterDBProxyTargets",
        &[("rds:RegisterDBProxyTargets", PROXIES), ("rds:RegisterDBProxyTargets", OUR_SERVERS)],
    ),
    of_proxy(
        "rds",
        "DeregisterDBProxyTargets",
        &[("rds:DeregisterDBProxyTargets", PROXIES), ("rds:DeregisterDBProxyTargets", SERVERS)],
    ),
    of_proxy("rds", "DeleteDBProxy", &[("rds:DeleteDBProxy", On::TaggedRds(&["db-proxy"]))]),
    of_proxy("rds", "ListTagsForResource", &[("rds:ListTagsForResource", On::Rds(&["db-proxy"]))]),
    of_proxy("secretsmanager", "ListSecrets", &[("secretsmanager:ListSecrets", On::Everything)]),
    of_proxy(
        "secretsmanager",
        "CreateSecret",
        &[
            ("secretsmanager:CreateSecret", On::LoginSecrets),
            ("secretsmanager:TagResource", On::LoginSecrets),
        ],
    ),
    of_proxy("secretsmanager", "PutSecretValue", &[("secretsmanager:PutSecretValue", On::LoginSecrets)]),
    of_proxy(
        "secretsmanager",
        "UpdateSecretVersionStage",
        &[("secretsmanager:UpdateSecretVersionStage", On::LoginSecrets)],
    ),
    of_proxy("secretsmanager", "DeleteSecret", &[("secretsmanager:DeleteSecret", On::LoginSecrets)]),
];

/// Transcoding Jobs: a version of the source, and the output.
const TRANSCODER: &[Call] = &[
    call(
        "s3",
        "HeadObject",
        &[
            ("s3:GetObject", On::Objects(INPUT, ANY)),
            ("s3:GetObjectVersion", On::Objects(INPUT, ANY)),
            ("s3:ListBucket", BUCKETS),
        ],
    ),
    call(
        "s3",
        "GetObject",
        &[
            ("s3:GetObject", On::Objects(INPUT, ANY)),
            ("s3:GetObjectVersion", On::Objects(INPUT, ANY)),
            ("s3:GetObject", On::Objects(OUTPUT, ANY)),
            DECRYPT,
        ],
    ),
    call("s3", "PutObject", &[("s3:PutObject", On::Objects(OUTPUT, ANY)), ENCRYPT]),
];

/// The backend: uploads in parts, which the browser sends by presigned URLs under the signer's rights.
const BACKEND: &[Call] = &[
    call("s3", "CreateMultipartUpload", &[("s3:PutObject", On::Objects(INPUT, ANY)), ENCRYPT]),
    call("s3", "UploadPart", &[("s3:PutObject", On::Objects(INPUT, ANY)), ENCRYPT, DECRYPT]),
    call("s3", "CompleteMultipartUpload", &[("s3:PutObject", On::Objects(INPUT, ANY)), DECRYPT]),
    call("s3", "ListParts", &[("s3:ListMultipartUploadParts", On::Objects(INPUT, ANY))]),
    call("s3", "HeadObject", &[("s3:GetObject", On::Objects(INPUT, ANY)), ("s3:ListBucket", BUCKETS)]),
    call("s3", "GetObject", &[("s3:GetObject", On::Objects(OUTPUT, ANY)), DECRYPT]),
    call("sqs", "SendMessage", &[("sqs:SendMessage", On::Queues(&[WORK])), SEAL, UNSEAL]),
];

/// The worker: outcomes, and the progress in the output bucket.
const WORKER: &[Call] = &[
    call("sqs", "ReceiveMessage", &[("sqs:ReceiveMessage", On::Queues(&[EVENTS])), UNSEAL]),
    call("sqs", "DeleteMessage", &[("sqs:DeleteMessage", On::Queues(&[EVENTS]))]),
    call(
        "s3",
        "HeadObject",
        &[
            ("s3:GetObject", On::Objects(INPUT, ANY)),
            ("s3:GetObjectVersion", On::Objects(INPUT, ANY)),
            ("s3:ListBucket", BUCKETS),
        ],
    ),
    call(
        "s3",
        "GetObject",
        &[("s3:GetObject", On::Objects(OUTPUT, ANY)), ("s3:ListBucket", BUCKETS), DECRYPT],
    ),
];

/// What backend and worker share: the objects of a video, and their end.
const CATALOG: &[Call] = &[
    call("s3", "GetObject", &[("s3:GetObject", On::Objects(OUTPUT, ANY)), DECRYPT]),
    call("s3", "ListObjectsV2", &[("s3:ListBucket", BUCKETS)]),
    call("s3", "ListObjectVersions", &[("s3:ListBucketVersions", On::Buckets(&[INPUT]))]),
    call("s3", "AbortMultipartUpload", &[("s3:AbortMultipartUpload", On::Objects(INPUT, ANY))]),
    call(
        "s3",
        "DeleteObject",
        &[("s3:DeleteObject", On::Objects(INPUT, ANY)), ("s3:DeleteObjectVersion", On::Objects(INPUT, ANY))],
    ),
    call("s3", "DeleteObjects", &[("s3:DeleteObject", On::Objects(OUTPUT, ANY))]),
];
