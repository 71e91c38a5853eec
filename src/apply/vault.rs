//! The secrets in Secrets Manager from which a proxy reads the logins of the pods.

use super::postgres::Login;
use crate::{
    aws::{self, Account},
    plan::login::{Record, Vault},
};
use anyhow::{Context, anyhow};
use serde_json::json;

/// The label of the version that is read.
const CURRENT: &str = "AWSCURRENT";

/// Makes a login the one that the proxy reads for its user. May be repeated: a version is named by its record.
///
/// # Errors
/// What Secrets Manager says.
pub async fn store(account: &Account, vault: &Vault, record: &Record, login: &Login) -> anyhow::Result<()> {
    let secret = vault.logins.get(&record.user).context("there is no secret for the login")?;
    let failed = |said: String| anyhow!("secret {}: {said}", secret.name);
    let value = json!({"username": login.username, "password": login.password.reveal()}).to_string();
    let version = record.version();
    let request = account
        .secrets
        .put_secret_value()
        .secret_id(&secret.arn)
        .client_request_token(&version)
        .secret_string(value);
    request.send().await.map_err(|error| failed(aws::explain(&error)))?;
    let Some(other) = secret.current.as_ref().filter(|it| **it != version) else { return Ok(()) };
    if secret.versions.contains(&version) {
        // It was there, and someone put another version in its place.
        let request = account
            .secrets
            .update_secret_version_stage()
            .secret_id(&secret.arn)
            .version_stage(CURRENT)
            .move_to_version_id(&version)
            .remove_from_version_id(other);
        request.send().await.map_err(|error| failed(aws::explain(&error)))?;
    }
    Ok(())
}
