//! The root of the API.

use super::{Aws, Cache, Component, Database, Service, StreamingPlatformStatus, Transcoding};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole streaming platform: its services, the transcoding of uploads, and the database and cache behind
/// them. A part that is not named is not made; `backend: {}` makes a backend with everything by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "streamingplatform.dev",
    version = "v1alpha1",
    kind = "StreamingPlatform",
    plural = "streamingplatforms",
    shortname = "sp",
    category = "all",
    namespaced,
    status = "StreamingPlatformStatus",
    derive = "PartialEq",
    doc = "One manifest that runs a whole streaming platform: services, autoscalers, transcoding Jobs, database and cache.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.transcoding.queue.visible"),
    printcolumn(name = "Running", type_ = "integer", json_path = ".status.transcoding.jobs.running"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",
        "metadata.name: at most 40 characters, lower-case letters, digits and `-`, beginning with a letter, because the names of Services and Jobs are made from it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.aws) || !has(self.transcoding)", "spec.aws is required by spec.transcoding: its queue and buckets live in AWS"))]
#[x_kube(validation = ("has(self.aws) || !has(self.database) || self.database.provider != 'AWS'", "spec.aws is required by spec.database with provider AWS"))]
#[x_kube(validation = ("has(self.aws) || !has(self.cache) || self.cache.provider != 'AWS'", "spec.aws is required by spec.cache with provider AWS"))]
#[x_kube(validation = ("!has(oldSelf.cache) || oldSelf.cache.provider != 'AWS' || has(self.cache)",
    "spec.cache can't be taken out while it is in AWS: delete the platform (cache.deletionPolicy says what becomes of it), or set cache.aws.management to ObserveOnly"))]
#[x_kube(validation = ("!has(oldSelf.database) || oldSelf.database.provider != 'AWS' || has(self.database)",
    "spec.database can't be taken out while it is in AWS: delete the platform (database.deletionPolicy says what becomes of the data), or set database.aws.management to ObserveOnly"))]
#[x_kube(validation = ("!has(oldSelf.transcoding) || has(self.transcoding)",
    "spec.transcoding can't be taken out while the platform lives: its queue would be left without a reader and its Jobs without an end; set suspend: true, or delete the platform"))]
#[x_kube(validation = ("!(has(oldSelf.transcoding) || (has(oldSelf.database) && oldSelf.database.provider == 'AWS') || (has(oldSelf.cache) && oldSelf.cache.provider == 'AWS')) || !has(oldSelf.aws) || !has(self.aws) || oldSelf.aws.region == self.aws.region",
    "spec.aws.region can't be changed: the platform's queues, buckets, database and cache are there; make another platform in the other region"))]
#[x_kube(validation = ("!has(self.frontend) || has(self.backend) || has(self.frontend.image)",
    "spec.frontend: the bundled frontend needs spec.backend; add `backend: {}` or set an image of your own"))]
#[x_kube(validation = ("!has(self.backend) || has(self.backend.image) || (has(self.database) && has(self.transcoding))",
    "spec.backend: the bundled backend needs spec.database and spec.transcoding; add them or set an image of your own"))]
#[x_kube(validation = ("!has(self.worker) || has(self.worker.image) || (has(self.database) && has(self.transcoding))",
    "spec.worker: the bundled worker needs spec.database and spec.transcoding; add them or set an image of your own"))]
#[x_kube(validation = ("(!(has(self.frontend) && has(self.frontend.route) && has(self.backend) && has(self.backend.route)) || self.frontend.route.hostname != self.backend.route.hostname || (has(self.frontend.route.path) ? self.frontend.route.path : '/') != (has(self.backend.route.path) ? self.backend.route.path : '/')) && (!(has(self.frontend) && has(self.frontend.route) && has(self.worker) && has(self.worker.route)) || self.frontend.route.hostname != self.worker.route.hostname || (has(self.frontend.route.path) ? self.frontend.route.path : '/') != (has(self.worker.route.path) ? self.worker.route.path : '/')) && (!(has(self.backend) && has(self.backend.route) && has(self.worker) && has(self.worker.route)) || self.backend.route.hostname != self.worker.route.hostname || (has(self.backend.route.path) ? self.backend.route.path : '/') != (has(self.worker.route.path) ? self.worker.route.path : '/'))",
    "spec: two components have a route with the same hostname and path; give one of them another path"))]
#[x_kube(validation = ("!has(self.services) || self.services.filter(s, has(s.route)).all(s, (!(has(self.frontend) && has(self.frontend.route)) || s.route.hostname != self.frontend.route.hostname || (has(s.route.path) ? s.route.path : '/') != (has(self.frontend.route.path) ? self.frontend.route.path : '/')) && (!(has(self.backend) && has(self.backend.route)) || s.route.hostname != self.backend.route.hostname || (has(s.route.path) ? s.route.path : '/') != (has(self.backend.route.path) ? self.backend.route.path : '/')) && (!(has(self.worker) && has(self.worker.route)) || s.route.hostname != self.worker.route.hostname || (has(s.route.path) ? s.route.path : '/') != (has(self.worker.route.path) ? self.worker.route.path : '/')))",
    "spec: two components have a route with the same hostname and path; give one of them another path"))]
#[x_kube(validation = ("[(has(self.frontend) && has(self.frontend.exposure) && has(self.frontend.exposure.nodePort) ? [self.frontend.exposure.nodePort] : []) + (has(self.backend) && has(self.backend.exposure) && has(self.backend.exposure.nodePort) ? [self.backend.exposure.nodePort] : []) + (has(self.worker) && has(self.worker.exposure) && has(self.worker.exposure.nodePort) ? [self.worker.exposure.nodePort] : []) + (has(self.services) ? self.services.filter(s, has(s.exposure) && has(s.exposure.nodePort)).map(s, s.exposure.nodePort) : [])].all(ports, ports.all(one, ports.exists_one(other, one == other)))",
    "spec: two components have the same exposure.nodePort; choose another one"))]
pub struct StreamingPlatformSpec {
    /// Sensible figures for what is left unsaid; `Small` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,

    /// While true nothing is changed and no new Job starts. Running Jobs go on and are settled, and status
    /// is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Account and region; needed as soon as something of AWS is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<Aws>,

    /// The web application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<Component>,

    /// The API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Component>,

    /// Background work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Component>,

    /// Further long-running components, such as a media server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(validation = ("self.all(s, !has(s.route) || self.exists_one(t, has(t.route) && t.route.hostname == s.route.hostname && (has(t.route.path) ? t.route.path : '/') == (has(s.route.path) ? s.route.path : '/')))",
        "services: two of them have a route with the same hostname and path; give one of them another path"))]
    pub services: Vec<Service>,

    /// Transcoding of uploads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcoding: Option<Transcoding>,

    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,

    /// The cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
}

/// How large the platform is: replicas, requests and slots where the manifest names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Size {
    /// To try out, or a few hundred jobs a day.
    #[default]
    Small,
    /// A few thousand jobs a day.
    Medium,
    /// Ten thousand jobs a day and more.
    Large,
}
