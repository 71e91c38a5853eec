//! The rights that the operator uses, and no other: the chart's rules come from here
//! (`streaming-operator rbac`), and the tests against a real API server run under them.

use crate::{api::names, kinds::Kind};
use k8s_openapi::api::rbac::v1::PolicyRule;

const READ: &[&str] = &["list", "watch"];
/// Server-side apply needs `patch`, and `create` where the object is not there yet.
const OWN: &[&str] = &["list", "watch", "create", "patch", "delete"];

/// Rights in each watched namespace.
pub fn rules() -> Vec<PolicyRule> {
    let mut rules = vec![
        rule(names::GROUP, &["streamingplatforms"], &["list", "watch", "patch"]),
        rule(names::GROUP, &["streamingplatforms/status"], &["patch"]),
        // What owner references with blockOwnerDeletion need where the API server enforces it.
        rule(names::GROUP, &["streamingplatforms/finalizers"], &["update"]),
        // Read by name: what platforms name. Listed and watched: metadata only.
        rule("", &["secrets"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("", &["configmaps"], &["get", "list", "watch"]),
        // A StatefulSet makes them; they are only let grow.
        rule("", &["persistentvolumeclaims"], &["list", "watch", "patch"]),
        rule("", &["pods"], READ),
        // Read one by one when its name turns out to be taken, or before its end is settled.
        rule("batch", &["jobs"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ];
    let special = [Kind::Secret, Kind::ConfigMap, Kind::PersistentVolumeClaim];
    for kind in Kind::ALL.into_iter().filter(|kind| !special.contains(kind)) {
        let resource = kind.api_resource();
        rules.push(rule(&resource.group, &[&resource.plural], OWN));
    }
    rules
}

/// Rights in the operator's own namespace, for leader election.
pub fn leader_election_rules() -> Vec<PolicyRule> {
    vec![rule("coordination.k8s.io", &["leases"], &["get", "list", "watch", "create", "update"])]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_star_and_no_resource_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for rule in rules().into_iter().chain(leader_election_rules()) {
            let group = rule.api_groups.unwrap().remove(0);
            for resource in rule.resources.unwrap() {
                assert!(seen.insert((group.clone(), resource.clone())), "{group}/{resource} is there twice");
                assert!(resource != "*" && !rule.verbs.contains(&"*".to_owned()));
            }
        }
    }
}
