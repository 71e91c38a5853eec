//! The API: `StreamingPlatform` of group `streamingplatform.dev`, version `v1alpha1`.
//!
//! Types and schema only: what a field means when it is left out is decided in [`crate::validate`],
//! because defaults in the schema would be persisted and could never be changed for existing platforms.

mod aws;
mod cache;
mod component;
mod data;
mod database;
mod drill;
pub mod names;
mod platform;
mod proxy;
mod schema;
mod status;
mod transcoding;

pub use aws::Aws;
pub use cache::{
    AwsCache, Cache, CacheEngine, CacheLog, CacheNetwork, CacheProvider, CacheSnapshots, LogDelivery,
    ServerlessCache,
};
pub use component::{
    Autoscaling, Component, Gateway, Port, Probes, Protocol, Route, RouteTls, Scheduling, Service,
    ServiceAccount, ServiceExposure, ServiceType,
};
pub use data::{DeletionPolicy, Embedded, ExternalConnection, Storage};
pub use database::{
    AwsDatabase, AwsStorage, Backup, Database, DatabaseDeletionPolicy, DatabaseEngine, DatabaseNetwork,
    DatabaseProvider, DriftPolicy, LogExport, Maintenance, MajorUpgrades, Management, MasterPassword,
    Monitoring, Restarts, Restore, Serverless, VolumeType, WhenSuspended,
};
pub use drill::{FinishedDrill, RestoreDrill, RestoreDrillStatus, RunningDrill};
pub use platform::{Size, StreamingPlatform, StreamingPlatformSpec};
pub use proxy::Proxy;
pub use status::{
    ComponentStatus, ConditionReason, ConditionType, DataStatus, Endpoint, JobCounts, JobFailure,
    PendingChange, QueueDepth, StreamingPlatformStatus, TranscodingStatus, WaitingFor, whole_seconds,
};
pub use transcoding::{
    Bucket, BucketDeletionPolicy, BucketEncryption, BucketLifecycle, JobTemplate, Profile, Queue, Rendition,
    Transcoding,
};
