//! A deterministic world for the operator to act in: AWS with the states, times, pending values, cooldowns and
//! errors that emulators lack, and Kubernetes with watches that lag and break, on a virtual clock.
//!
//! The fakes answer the real clients' requests, in the process ([`aws::Cloud::sdk_config`],
//! [`kubernetes::Cluster::client`]) or on a socket ([`aws::serve`]). They are as strict as AWS and Kubernetes
//! document: what those refuse in a state, they refuse.

pub mod aws;
pub mod clock;
pub mod kubernetes;
pub mod wire;
