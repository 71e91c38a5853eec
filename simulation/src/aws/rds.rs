//! RDS.

use super::{
    Place,
    fault::Fault,
    query::{Answer, Parameters},
    secrets::Secrets,
};
use jiff::Timestamp;

/// RDS in one account and region.
#[derive(Clone, Debug, Default)]
pub struct Rds {}

impl Rds {
    pub(super) fn advance(&mut self, _now: Timestamp, _place: &Place, _secrets: &mut Secrets) {}

    pub(super) fn call(
        &mut self,
        operation: &str,
        _parameters: &Parameters,
        _now: Timestamp,
        _place: &Place,
        _secrets: &mut Secrets,
    ) -> Result<Answer, Fault> {
        Err(Fault::bad_request("InvalidAction", format!("Could not find operation {operation}")))
    }
}
