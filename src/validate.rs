//! validate: spec and [`Observed`](crate::observe::Observed) become a [`Platform`] of checked values.
//!
//! Pure. What comes after never sees the raw resource.

/// A platform whose every field is decided and checked.
#[derive(Clone, Debug)]
pub struct Platform {}
