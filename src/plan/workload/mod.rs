//! The objects of components and of transcoding Jobs, one file a kind.

mod autoscaler;
mod deployment;
mod disruption_budget;
pub mod job;
pub(crate) mod network_policy;
pub(crate) mod pod;
pub(crate) mod route;
pub(super) mod service;
mod service_account;

use super::{GeneratedSecret, Intent, environment, object::Draft};
use crate::{
    api::names,
    kinds::{Kind, ObjectKey},
    observe::Observed,
    platform::{Component, Platform, Role},
};

/// Adds the objects of all components and of the Jobs.
pub(super) fn add(platform: &Platform, observed: &Observed, intent: &mut Intent) {
    for component in &platform.components {
        add_component(platform, component, observed, intent);
    }
    if platform.component(Role::Backend).is_some() {
        intent.generate.push(api_token(platform));
        intent.drafts.extend(owned_secret(platform, names::API_TOKEN, "backend", true, observed));
    }
    if let Some(transcoding) = &platform.transcoding {
        let account = &transcoding.job.service_account;
        intent.drafts.push(service_account::draft(platform, names::TRANSCODER, account));
        intent.drafts.push(network_policy::of_jobs(platform));
    }
}

fn add_component(platform: &Platform, component: &Component, observed: &Observed, intent: &mut Intent) {
    let draft = |kind: Kind, fields: serde_json::Value| {
        let key = ObjectKey::new(kind, platform.name.child(&component.name));
        Draft::new(platform, &component.name, key, fields)
    };
    let (replicas, hand_over) = autoscaler::replicas(platform, component, observed);
    intent.hand_over.extend(hand_over);
    intent.drafts.push(service_account::draft(platform, &component.name, &component.service_account));
    intent.drafts.push(network_policy::of_component(platform, component));
    intent.drafts.push(service::of_component(platform, component));
    let mut deployment = draft(Kind::Deployment, deployment::fields(platform, component, observed, replicas));
    deployment.needs_aws = environment::missing_in_aws(platform, component, observed);
    intent.drafts.push(deployment);
    intent
        .drafts
        .extend(autoscaler::fields(platform, component).map(|it| draft(Kind::HorizontalPodAutoscaler, it)));
    intent.drafts.extend(
        disruption_budget::fields(platform, component).map(|it| draft(Kind::PodDisruptionBudget, it)),
    );
    intent.drafts.extend(route::draft(platform, component));
}

/// The token that admits to what changes something in the backend.
fn api_token(platform: &Platform) -> GeneratedSecret {
    GeneratedSecret {
        name: platform.name.child(names::API_TOKEN),
        labels: platform.labels("backend"),
        template: [("token".to_owned(), "{random}".to_owned())].into(),
    }
}

/// The metadata of a generated Secret that is there: its labels, and its owner if it goes with the platform.
pub(super) fn owned_secret(
    platform: &Platform,
    part: &str,
    component: &str,
    owned: bool,
    observed: &Observed,
) -> Option<Draft> {
    let key = ObjectKey::new(Kind::Secret, platform.name.child(part));
    let uid = observed.objects.get(&key)?.metadata.uid.clone()?;
    let draft = Draft::new(platform, component, key, serde_json::json!({})).only(&uid);
    Some(if owned { draft } else { draft.unowned() })
}
