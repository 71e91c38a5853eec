//! Secrets Manager.

use super::{
    Place,
    fault::Fault,
    query::{Answer, Parameters},
};
use jiff::Timestamp;

/// Secrets Manager in one account and region.
#[derive(Clone, Debug, Default)]
pub struct Secrets {}

impl Secrets {
    pub(super) fn advance(&mut self, _now: Timestamp) {}

    pub(super) fn call(
        &mut self,
        operation: &str,
        _parameters: &Parameters,
        _now: Timestamp,
        _place: &Place,
    ) -> Result<Answer, Fault> {
        Err(Fault::bad_request("UnknownOperationException", format!("no operation {operation}")))
    }
}
