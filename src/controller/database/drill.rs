//! The restore drills of a database within a reconcile.

use super::Database;
use crate::{
    apply::{
        aws::{Drilled, Passwords, apply_in_order},
        drill::ask,
        postgres::Existing,
    },
    aws::Account,
    kinds::PlatformKey,
    plan::{
        managed::DataPlan,
        rds::drill::{Answer, Step},
    },
    platform::Platform,
};
use kube::Api;
use tokio::time::Instant;
use tracing::{info, warn};

impl Database {
    /// Carries the planned step out.
    pub async fn drill(
        &self,
        key: &PlatformKey,
        platform: &Platform,
        plan: &DataPlan,
        account: Option<&Account>,
    ) -> Drilled {
        let step = plan.drill.as_ref().map_or(&Step::Rest, |drill| &drill.step);
        let Some(account) = account else { return Drilled::default() };
        match step {
            Step::Calls(calls) if !calls.is_empty() => {
                if let Some(held) = self.drill_brake.holds(key, calls) {
                    return Drilled::of_failure(held);
                }
                let passwords = Passwords::new(self.client.clone(), &platform.namespace);
                let applied = apply_in_order(account, &passwords, calls).await;
                self.memory().entry(key.clone()).or_default().changed_at = Some(Instant::now());
                if applied.failures.is_empty() {
                    self.drill_brake.made_calls(key, calls);
                }
                Drilled { applied, answer: None }
            }
            Step::Rest | Step::Calls(_) => {
                self.drill_brake.release(key);
                Drilled::default()
            }
            Step::Ask(question) => {
                let secrets = Api::namespaced(self.client.clone(), &platform.namespace);
                let answer = Box::pin(ask(account, &secrets, question, existing(platform))).await;
                match &answer {
                    Answer::Passed => info!("a restore drill passed"),
                    Answer::Failed(message) => warn!(message, "a restore drill failed"),
                    Answer::NotYet(message) => info!(message, "a restored database is asked again"),
                }
                Drilled { answer: Some(answer), ..Drilled::default() }
            }
        }
    }
}

/// What becomes of the master's tables when a login is set.
pub(super) fn existing(platform: &Platform) -> Existing {
    let adopted = platform.database_in_aws().is_some_and(|it| it.adopt);
    if adopted { Existing::HandOver } else { Existing::Grant }
}
