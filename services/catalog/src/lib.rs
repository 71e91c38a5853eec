//! The catalogue of videos, as the backend and the worker share it.
//!
//! - [`video`]: what a video is and which states it passes through; pure.
//! - [`store`]: the tables, each change in one transaction that also tells who listens.
//! - [`storage`]: where sources and outputs are in S3, and how a deleted video's objects are erased.
//!
//! The backend owns the schema (`services/backend/migrations`) and migrates it; others wait for it.

pub mod storage;
pub mod store;
pub mod video;

pub use storage::Storage;
pub use store::{Catalog, Edit, Page, StoreError};
pub use video::{Report, State, Transcode, Upload, Video};
