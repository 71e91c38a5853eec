//! ElastiCache.

use super::{
    Place,
    fault::Fault,
    query::{Answer, Parameters},
};
use jiff::Timestamp;

/// ElastiCache in one account and region.
#[derive(Clone, Debug, Default)]
pub struct ElastiCache {}

impl ElastiCache {
    pub(super) fn advance(&mut self, _now: Timestamp) {}

    pub(super) fn call(
        &mut self,
        operation: &str,
        _parameters: &Parameters,
        _now: Timestamp,
        _place: &Place,
    ) -> Result<Answer, Fault> {
        Err(Fault::bad_request("InvalidAction", format!("Could not find operation {operation}")))
    }
}
