//! The restore drills of a database within a reconcile.

use super::Database;
use crate::{
    apply::{aws::Drilled, drill::ask, postgres::Existing, sessions::Postgres},
    aws::Account,
    kinds::PlatformKey,
    plan::{
        managed::DataPlan,
        rds::drill::{Answer, Step},
    },
    platform::Platform,
};
use kube::Api;
use tracing::{info, warn};

impl Database {
    /// Carries the planned step out.
    pub async fn drill(
        &self,
        key: &PlatformKey,
        platform: &Platform,
        plan: &DataPlan,
        postgres: &Postgres,
        account: Option<&Account>,
    ) -> Drilled {
        let step = plan.drill.as_ref().map_or(&Step::Rest, |drill| &drill.step);
        let Some(account) = account else { return Drilled::default() };
        match step {
            Step::Rest => {
                Drilled { applied: self.apply_drill(key, &[], account).await, ..Drilled::default() }
            }
            Step::Calls(calls) => {
                Drilled { applied: self.apply_drill(key, calls, account).await, ..Drilled::default() }
            }
            Step::Ask(question) => {
                let secrets = Api::namespaced(self.client.clone(), &platform.namespace);
                let answer = Box::pin(ask(postgres, account, &secrets, question, existing(platform))).await;
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
