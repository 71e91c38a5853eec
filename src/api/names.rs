//! Names that are part of the API: labels, annotations, the field manager and the finalizer.

/// API group of the resource and prefix of our labels and annotations.
pub const GROUP: &str = "streamingplatform.dev";
/// The one field manager that applies everything.
pub const FIELD_MANAGER: &str = "streaming-operator";
/// The field manager that holds `replicas` of a Deployment between [`FIELD_MANAGER`], which stops to apply
/// it, and an autoscaler, which has not changed it yet.
pub const HAND_OVER_MANAGER: &str = "streaming-operator-hand-over";
/// The field manager of a platform's status.
pub const STATUS_MANAGER: &str = "streaming-operator-status";
/// On a platform that has something outside the cluster to settle before it goes.
pub const FINALIZER: &str = "streamingplatform.dev/settle";

/// `app.kubernetes.io/managed-by`, always [`FIELD_MANAGER`]: what the operator watches and prunes by.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// `app.kubernetes.io/name`: the component's name (frontend, database, transcoder, ...).
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// `app.kubernetes.io/instance`: the platform's name.
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// `app.kubernetes.io/part-of`: the platform's name, as dashboards expect it.
pub const LABEL_PART_OF: &str = "app.kubernetes.io/part-of";
/// On a transcoding Job and its pods: the identity of the work.
pub const LABEL_IDENTITY: &str = "streamingplatform.dev/identity";
/// On a transcoding Job and its pods: which attempt it is.
pub const LABEL_ATTEMPT: &str = "streamingplatform.dev/attempt";

/// SHA-256 of the intent that was last applied to an object.
pub const ANNOTATION_APPLIED: &str = "streamingplatform.dev/applied";
/// On a pod template: SHA-256 over the content of the Secrets and ConfigMaps that its containers read.
pub const ANNOTATION_CONFIG: &str = "streamingplatform.dev/config-hash";
/// On the connection Secret of a managed database: which login it holds, as JSON.
pub const ANNOTATION_LOGIN: &str = "streamingplatform.dev/login";
/// On the same Secret, since an attempt to set a login for it began: a random name of that attempt. A Secret with this
/// one alone holds no login yet.
pub const ANNOTATION_CLAIM: &str = "streamingplatform.dev/login-claim";
/// On a platform: each new value asks once for a new password of its managed database.
pub const ANNOTATION_ROTATE_LOGIN: &str = "streamingplatform.dev/rotate-login";

/// On a resource in AWS: namespace of the platform that it belongs to.
pub const TAG_NAMESPACE: &str = "streamingplatform.dev/namespace";
/// On a resource in AWS: name of the platform that it belongs to.
pub const TAG_PLATFORM: &str = "streamingplatform.dev/platform";
/// On a resource in AWS: UID of the platform that it belongs to.
pub const TAG_UID: &str = "streamingplatform.dev/uid";
/// On a resource in AWS that was kept when its platform was deleted: whose it was.
pub const TAG_RETAINED: &str = "streamingplatform.dev/retained-from";
/// On a restored database whose master still has the password of its source.
pub const TAG_MASTER: &str = "streamingplatform.dev/master-password";
/// On what a restore drill made: which drill, and when it began.
pub const TAG_DRILL: &str = "streamingplatform.dev/restore-drill";
/// On an instance that takes part in a blue/green upgrade: how far that is, see `plan::rds`. While an instance has it,
/// blue/green deployments are looked at.
pub const TAG_UPGRADE: &str = "streamingplatform.dev/upgrade";

/// On a platform: the token of the pending changes that may be made at once (`status.database.approval`).
pub const ANNOTATION_APPROVE: &str = "streamingplatform.dev/approve";
/// On a platform: name of the restore that is confirmed, so that what it replaced can go.
pub const ANNOTATION_CONFIRM_RESTORE: &str = "streamingplatform.dev/confirm-restore";
/// On a platform: `DbiResourceId` of the instance that a blue/green upgrade replaced and that can go.
pub const ANNOTATION_CONFIRM_UPGRADE: &str = "streamingplatform.dev/confirm-upgrade";

/// Suffix of the database's objects, and of the Secret with which to connect to it.
pub const DATABASE: &str = "database";
/// Suffix of the Secret with the password of the database's master, where the operator keeps it.
pub const DATABASE_MASTER: &str = "database-master";
/// Suffix of the cache's objects, and of the Secret with which to connect to it.
pub const CACHE: &str = "cache";
/// Suffix of the objects that transcoding Jobs share.
pub const TRANSCODER: &str = "transcoder";
/// Suffix of the Secret whose key `token` admits to what changes something in the backend.
pub const API_TOKEN: &str = "api-token";

/// Longest name of a platform, so that every child's name stays within 63 characters.
pub const MAX_PLATFORM_NAME: usize = 40;
