//! apply: carries a plan out.
//!
//! Idempotent. One object that is refused or fails never stops the others: each gets its own result in
//! [`Applied`](cluster::Applied).

pub mod aws;
pub mod cache_login;
pub mod cluster;
pub mod connection;
pub mod drill;
pub mod master;
pub mod postgres;
pub mod rds_ca;
pub mod sessions;
pub mod vault;
