//! The login of a database's master user, which no pod gets: read at the moment when it sets another one's.

use super::postgres::{Login, Password};
use crate::{
    aws::{self, Account},
    plan::managed::Master,
};
use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde::Deserialize;

/// The master's login, from where it is kept.
///
/// # Errors
/// What is missing, and where.
pub async fn login(account: &Account, secrets: &Api<Secret>, master: &Master) -> anyhow::Result<Login> {
    match master {
        Master::SecretsManager(arn) => {
            let secret = account.secrets.get_secret_value().secret_id(arn).send().await;
            let secret = secret.map_err(|error| anyhow!("{arn}: {}", aws::explain(&error)))?;
            let text = secret.secret_string.with_context(|| format!("{arn} holds no text"))?;
            let master: MasterLogin =
                serde_json::from_str(&text).map_err(|_| anyhow!("{arn} holds no username and password"))?;
            Ok(Login { username: master.username, password: Password::new(master.password) })
        }
        Master::Kubernetes(name) => {
            let secret =
                secrets.get_opt(name).await?.with_context(|| format!("there is no Secret {name}"))?;
            let mut data = secret.data.unwrap_or_default();
            let mut value = |key: &str| {
                let bytes = data.remove(key).with_context(|| format!("Secret {name} has no key {key}"))?;
                String::from_utf8(bytes.0).map_err(|_| anyhow!("Secret {name}: {key} is no text"))
            };
            Ok(Login { username: value("username")?, password: Password::new(value("password")?) })
        }
        Master::ElastiCache | Master::Unknown => Err(anyhow!("AWS has not made the master's secret yet")),
    }
}

/// What RDS keeps in Secrets Manager.
#[derive(Deserialize)]
struct MasterLogin {
    username: String,
    password: String,
}
