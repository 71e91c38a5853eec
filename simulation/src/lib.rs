//! A deterministic world for the operator to act in: AWS with the states, times, pending values, cooldowns and
//! errors that emulators lack, on a virtual clock.
//!
//! The fakes answer the real SDK's requests, in the process ([`aws::Cloud::sdk_config`]) or on a socket
//! ([`aws::serve`]). They are as strict as AWS documents: what AWS refuses in a state, they refuse.

pub mod aws;
pub mod clock;
