//! The API: `StreamingPlatform` of group `streamingplatform.dev`, version `v1alpha1`.
//!
//! Types and schema only: what a field means when it is left out is decided in [`crate::validate`],
//! because defaults in the schema would be persisted and could never be changed for existing platforms.

mod aws;
mod component;
mod data;
pub mod names;
mod platform;
mod schema;
mod status;
mod transcoding;

pub use aws::Aws;
pub use component::{
    Autoscaling, Component, Gateway, Port, Probes, Protocol, Route, RouteTls, Scheduling, Service,
    ServiceAccount, ServiceExposure, ServiceType,
};
pub use data::{
    Cache, CacheProvider, Database, DatabaseProvider, DeletionPolicy, Embedded, ExternalConnection, Storage,
};
pub use platform::{Size, StreamingPlatform, StreamingPlatformSpec};
pub use status::{
    ComponentStatus, ConditionReason, ConditionType, DataStatus, Endpoint, JobCounts, JobFailure, QueueDepth,
    StreamingPlatformStatus, TranscodingStatus, WaitingFor,
};
pub use transcoding::{Bucket, JobTemplate, Profile, Queue, Rendition, Transcoding};
