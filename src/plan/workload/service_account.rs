//! Service accounts: who a component is to the cloud. Their tokens are not mounted.

use crate::{
    api::ServiceAccount,
    kinds::{Kind, ObjectKey},
    plan::object::Draft,
    platform::Platform,
};
use serde_json::json;

/// The ServiceAccount of a component or of the Jobs.
pub(super) fn draft(platform: &Platform, component: &str, account: &ServiceAccount) -> Draft {
    let mut fields = json!({ "automountServiceAccountToken": false });
    if !account.annotations.is_empty() {
        fields["metadata"]["annotations"] = json!(account.annotations);
    }
    let key = ObjectKey::new(Kind::ServiceAccount, platform.name.child(component));
    Draft::new(platform, component, key, fields)
}
