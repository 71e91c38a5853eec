//! Databases in RDS, and the login that the pods use.

mod drill;

use super::data::{Data, Kind};
use crate::{
    api::{StreamingPlatform, names},
    apply::{
        connection::{Connection, ConnectionError, Pending, Protocol, Target},
        master,
        sessions::Postgres,
    },
    aws::Account,
    kinds::PlatformKey,
    managed::{Failure, Seen, rds},
    observe::aws::{database::Databases, inventory::Observation},
    plan::{
        call::Call,
        login::Step,
        managed::{DataPlan, Removal},
        rds::teardown,
    },
    platform::{AwsDatabase, Platform},
};
use kube::{Api, Resource};
use std::time::Duration;
use tokio::time::Instant;

/// How often the login is tried.
const CHECK: Duration = Duration::from_secs(600);

pub(super) type Database = Data<Databases>;

/// What is remembered of the login.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked {
    /// When it was tried last.
    at: Option<Instant>,
    /// Whether the server refused it.
    refused: bool,
    /// Of the next one.
    pending: Pending,
}

impl Kind for Databases {
    const FIELD: &'static str = "database";
    type Wanted = AwsDatabase;
    type Resource = rds::Database;
    type Login = Checked;

    fn wanted(platform: &Platform) -> Option<&AwsDatabase> {
        platform.database_in_aws()
    }

    async fn observe(
        &self,
        resource: &StreamingPlatform,
        platform: &Platform,
        wanted: &AwsDatabase,
        account: Result<&Account, &Failure>,
        not_before: Instant,
    ) -> Observation<rds::Database> {
        self.observe(resource, platform, wanted, account, not_before).await
    }

    fn remind(login: &Checked, seen: &mut Seen<rds::Database>) {
        seen.login_refused = login.refused;
    }

    fn forget(&self, account: &Account, calls: &[Call]) {
        self.forget(account, calls);
    }

    fn teardown(platform: &Platform, wanted: &AwsDatabase, seen: &Seen<rds::Database>) -> Removal {
        teardown(platform, wanted, seen)
    }
}

impl Database {
    /// Makes the login that the pods use, as planned. True: the Secret, or what the proxy reads, was written.
    ///
    /// # Errors
    /// What stopped it, in a sentence.
    pub async fn log_in(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        plan: &DataPlan,
        postgres: &Postgres,
        account: Option<&Account>,
    ) -> Result<bool, String> {
        let (Some(login), Some(account)) = (&plan.login, account) else { return Ok(false) };
        let secrets = Api::namespaced(self.client.clone(), &key.namespace);
        let connection = Connection {
            secrets: secrets.clone(),
            metrics: self.metrics.clone(),
            target: Target {
                name: platform.name.child(names::DATABASE),
                labels: login.labels.clone(),
                owner: resource.controller_owner_ref(&()),
                retained: login.retained,
            },
            endpoint: login.endpoint.clone(),
            protocol: Protocol::Postgres,
            vault: login.vault.clone().map(|vault| (account.clone(), vault)),
        };
        let master = master::login(account, &secrets, &login.master);
        let existing = drill::existing(platform);
        let pending = self.remembered(key, |memory| memory.login.pending.clone());
        let (from, step) = (login.from.as_ref(), &login.step);
        let written = Box::pin(connection.carry_out(from, step, existing, postgres, master, &pending)).await;
        let written = written.map_err(|error| format!("the database's login: {error}"))?;
        if written {
            self.remembered(key, |memory| {
                memory.login.refused = false;
                memory.changed_at = Some(Instant::now());
            });
        } else if matches!(login.step, Step::Nothing { .. }) && self.is_check_due(key) {
            // Whether someone changed the password in the database, no description tells.
            let checked = connection.check(postgres).await;
            let refused = matches!(&checked, Err(ConnectionError::Login(error)) if error.is_refused());
            self.remembered(key, |memory| memory.login.refused = refused);
            checked.map_err(|error| format!("the database's login: {error}"))?;
        }
        Ok(written)
    }

    /// Whether the login was not tried for a while; then it is tried now.
    fn is_check_due(&self, key: &PlatformKey) -> bool {
        self.remembered(key, |memory| {
            let due = memory.login.at.is_none_or(|at| at.elapsed() >= CHECK);
            if due {
                memory.login.at = Some(Instant::now());
            }
            due
        })
    }
}
