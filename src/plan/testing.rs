//! A cluster in memory, as far as plans can tell: server-side apply with owners of fields, defaults,
//! deletion of what is owned.

use super::{Plan, merge, plan, references};
use crate::{
    api::{StreamingPlatform, names},
    kinds::{Kind, ObjectKey},
    observe::{self, Observed, Reference, Referenced},
    platform::Platform,
    settings::{Images, Settings},
    validate::validate,
};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The name under which the autoscaler's controller changes `replicas`.
const AUTOSCALER: &str = "kube-controller-manager";

/// Settings with images of plain names.
pub(crate) fn settings() -> Settings {
    Settings {
        allowed_aws_endpoints: vec!["http://172.31.240.1:4566".to_owned()],
        operator_identity_namespaces: vec!["*".to_owned()],
        allowed_roles: vec![crate::settings::RolePattern {
            namespace: "media".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/media-*".to_owned(),
        }],
        ..Settings::new(Images::named(|name| format!("example.com/{name}:1")))
    }
}

/// A platform as the API server would hold it, from the YAML of its spec.
pub(crate) fn resource(spec: &str) -> StreamingPlatform {
    from_spec(serde_saphyr::from_str(spec).unwrap())
}

/// A platform as the API server would hold it, from its spec.
pub(crate) fn from_spec(spec: Value) -> StreamingPlatform {
    serde_json::from_value(json!({
        "apiVersion": "streamingplatform.dev/v1alpha1",
        "kind": "StreamingPlatform",
        "metadata": { "name": "tv", "namespace": "media", "uid": "uid-of-tv", "generation": 1 },
        "spec": spec,
    }))
    .unwrap()
}

/// A platform from an example's manifests, whose other documents are left out.
pub(crate) fn example(manifests: &str) -> StreamingPlatform {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifests).unwrap();
    let mut document =
        documents.into_iter().find(|document| document["kind"] == "StreamingPlatform").unwrap();
    document["metadata"]["uid"] = json!("uid-of-example");
    document["metadata"]["generation"] = json!(1);
    serde_json::from_value(document).unwrap()
}

/// An object and who holds which of its fields.
#[derive(Clone, Debug)]
struct Live {
    object: Value,
    /// What the operator applied last.
    applied: Value,
    /// Managers other than the operator that hold `spec.replicas`.
    other_owners: BTreeSet<String>,
}

/// A cluster with one platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    live: BTreeMap<ObjectKey, Live>,
    /// Secrets and ConfigMaps with their content.
    pub data: BTreeMap<Reference, BTreeMap<String, String>>,
    /// Kinds beyond the built-in ones.
    pub served: BTreeSet<Kind>,
    /// Whether queues are there.
    pub queues: bool,
    /// Counts UIDs.
    made: usize,
}

impl Cluster {
    /// A cluster with everything that the spec refers to and the operator does not make.
    pub fn with_references(resource: &StreamingPlatform) -> Self {
        let mut cluster = Self { queues: true, ..Self::default() };
        cluster.served.insert(Kind::HttpRoute);
        let name = resource.metadata.name.clone().unwrap();
        let ours = [names::DATABASE, names::CACHE, names::API_TOKEN]
            .map(|part| Reference::Secret(format!("{name}-{part}")));
        for reference in references(resource).into_iter().filter(|it| !ours.contains(it)) {
            let keys = ["uri", "accessKeyID", "secretAccessKey", "key"];
            let content = keys.map(|key| (key.to_owned(), "1".to_owned())).into();
            cluster.data.insert(reference, content);
        }
        cluster
    }

    /// What observe would tell of it.
    pub fn observed(&self, resource: &StreamingPlatform) -> Observed {
        let present = |content: &BTreeMap<String, String>| Referenced::Present {
            keys: content.keys().cloned().collect(),
            content_hash: format!("{content:?}"),
        };
        let queues = observe::aws::Transcoding {
            queue_url: Some("https://sqs/transcoding".to_owned()),
            events_queue_url: Some("https://sqs/events".to_owned()),
            ..Default::default()
        };
        Observed {
            objects: self.live.iter().map(|(key, live)| (key.clone(), live.observed(key.kind))).collect(),
            references: references(resource)
                .into_iter()
                .map(|it| (it.clone(), self.data.get(&it).map_or(Referenced::Missing, present)))
                .collect(),
            served: self.served.clone(),
            transcoding: self.queues.then_some(queues),
            ..Observed::default()
        }
    }

    /// The plan for a platform that is valid.
    #[track_caller]
    pub fn plan(&self, resource: &StreamingPlatform) -> (Platform, Plan) {
        let observed = self.observed(resource);
        let platform = validate(resource, &observed, &settings()).unwrap();
        let plan = plan(&platform, &observed, jiff::Timestamp::UNIX_EPOCH);
        (platform, plan)
    }

    /// Plans and applies until nothing is left to do, and returns how often it took.
    #[track_caller]
    pub fn converge(&mut self, resource: &StreamingPlatform) -> usize {
        for round in 0..6 {
            let (_, plan) = self.plan(resource);
            if is_empty(&plan) {
                return round;
            }
            self.apply(&plan);
        }
        panic!("not converged after six plans: {:#?}", self.plan(resource).1);
    }

    /// Carries a plan out.
    pub fn apply(&mut self, plan: &Plan) {
        let Plan { generate, hand_over, apply, prune, .. } = plan;
        for secret in generate {
            let content: BTreeMap<_, _> = secret
                .template
                .iter()
                .map(|(key, value)| (key.clone(), value.replace("{random}", "password")))
                .collect();
            self.data.insert(Reference::Secret(secret.name.clone()), content);
            let object = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": secret.name, "labels": secret.labels, "uid": self.uid() },
            });
            let live = Live { object, applied: Value::Null, other_owners: BTreeSet::new() };
            self.live.insert(ObjectKey::new(Kind::Secret, &secret.name), live);
        }
        for step in hand_over {
            let live = self.live.get_mut(&ObjectKey::new(Kind::Deployment, &step.deployment)).unwrap();
            live.other_owners.insert(names::HAND_OVER_MANAGER.to_owned());
        }
        for desired in apply {
            let fields = serde_json::to_value(&desired.object).unwrap();
            self.apply_one(&desired.key, fields);
        }
        for key in prune {
            self.delete(key);
        }
    }

    fn apply_one(&mut self, key: &ObjectKey, fields: Value) {
        let uid = self.uid();
        let live = self.live.entry(key.clone()).or_insert_with(|| {
            assert!(fields["metadata"]["uid"].is_null(), "{key} is meant to be there and is not");
            let object = json!({ "metadata": { "uid": uid } });
            Live { object, applied: Value::Null, other_owners: BTreeSet::new() }
        });
        let mut kept = live.applied.clone();
        let replicas = live.object.pointer("/spec/replicas").cloned();
        withdraw(&mut live.object, &kept, &fields);
        merge::strategic(&mut live.object, &fields);
        kept.clone_from(&fields);
        live.applied = kept;
        if key.kind == Kind::Deployment && live.object.pointer("/spec/replicas").is_none() {
            let held = replicas.filter(|_| !live.other_owners.is_empty());
            live.object["spec"]["replicas"] = held.unwrap_or(json!(1));
        }
        if key.kind == Kind::StatefulSet {
            self.claim(&key.name);
        }
    }

    /// The StatefulSet's controller makes the claim.
    fn claim(&mut self, stateful_set: &str) {
        let key = ObjectKey::new(Kind::PersistentVolumeClaim, format!("data-{stateful_set}-0"));
        let template = self.live[&ObjectKey::new(Kind::StatefulSet, stateful_set)]
            .object
            .pointer("/spec/volumeClaimTemplates/0")
            .cloned()
            .unwrap();
        let uid = self.uid();
        self.live.entry(key.clone()).or_insert_with(|| {
            let mut object = template;
            object["apiVersion"] = json!("v1");
            object["kind"] = json!("PersistentVolumeClaim");
            object["metadata"]["name"] = json!(key.name);
            object["metadata"]["uid"] = json!(uid);
            Live { object, applied: Value::Null, other_owners: BTreeSet::new() }
        });
    }

    /// Deletes an object, and with a StatefulSet the claim that its policy does not retain.
    pub fn delete(&mut self, key: &ObjectKey) {
        let Some(live) = self.live.remove(key) else { return };
        let policy = "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted";
        if live.object.pointer(policy).is_some_and(|policy| policy == "Delete") {
            self.live.remove(&ObjectKey::new(Kind::PersistentVolumeClaim, format!("data-{}-0", key.name)));
        }
        if key.kind == Kind::Secret {
            self.data.remove(&Reference::Secret(key.name.clone()));
        }
    }

    /// The autoscaler sets a number.
    pub fn autoscale(&mut self, deployment: &str, replicas: i64) {
        let live = self.live.get_mut(&ObjectKey::new(Kind::Deployment, deployment)).unwrap();
        live.object["spec"]["replicas"] = json!(replicas);
        live.other_owners = [AUTOSCALER.to_owned()].into();
        if let Some(spec) = live.applied.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("replicas");
        }
    }

    /// A field of an object.
    pub fn field(&self, kind: Kind, name: &str, pointer: &str) -> Option<&Value> {
        self.live.get(&ObjectKey::new(kind, name))?.object.pointer(pointer)
    }

    /// Someone else sets a field.
    pub fn edit(&mut self, kind: Kind, name: &str, patch: &Value) {
        let live = self.live.get_mut(&ObjectKey::new(kind, name)).unwrap();
        merge::strategic(&mut live.object, patch);
    }

    /// What is there.
    pub fn keys(&self) -> BTreeSet<String> {
        self.live.keys().map(ToString::to_string).collect()
    }

    fn uid(&mut self) -> String {
        self.made += 1;
        format!("uid-{}", self.made)
    }
}

impl Live {
    fn observed(&self, kind: Kind) -> DynamicObject {
        let mut object = self.object.clone();
        if kind == Kind::Deployment {
            let ours = self.applied.pointer("/spec/replicas").is_some();
            let owners = ours.then_some(names::FIELD_MANAGER).into_iter();
            object["metadata"]["managedFields"] = owners
                .chain(self.other_owners.iter().map(String::as_str))
                .map(|manager| {
                    json!({ "manager": manager, "fieldsType": "FieldsV1",
                        "fieldsV1": { "f:spec": { "f:replicas": {} } } })
                })
                .collect();
        }
        serde_json::from_value(object).unwrap()
    }
}

/// Takes out what was applied and is no longer.
fn withdraw(live: &mut Value, before: &Value, now: &Value) {
    let (Some(live), Some(before)) = (live.as_object_mut(), before.as_object()) else { return };
    for (field, value) in before {
        match now.get(field) {
            None => {
                live.remove(field);
            }
            Some(now) if value.is_object() => {
                if let Some(live) = live.get_mut(field) {
                    withdraw(live, value, now);
                }
            }
            // Lists are applied whole by this operator.
            Some(now) if value.is_array() && value != now => {
                live.remove(field);
            }
            Some(_) => {}
        }
    }
}

/// Whether a plan changes nothing.
pub(crate) fn is_empty(plan: &Plan) -> bool {
    let Plan {
        generate,
        hand_over,
        apply,
        prune,
        waiting: _,
        transcoding: _,
        database: _,
        cache: _,
        summary: _,
    } = plan;
    generate.is_empty() && hand_over.is_empty() && apply.is_empty() && prune.is_empty()
}

/// A plan as a golden file shows it.
pub(crate) fn golden(plan: &Plan) -> Value {
    let Plan { generate, hand_over, apply, prune, waiting, transcoding: _, database: _, cache: _, summary } =
        plan;
    json!({
        "generate": generate.iter().map(|it| json!({ "name": it.name, "template": it.template })).collect::<Value>(),
        "hand_over": hand_over.iter().map(|it| format!("{}: {} replicas", it.deployment, it.replicas)).collect::<Value>(),
        "apply": apply.iter().map(|it| serde_json::to_value(&it.object).unwrap()).collect::<Value>(),
        "prune": prune.iter().map(ToString::to_string).collect::<Value>(),
        "waiting": waiting.iter().map(|it| format!("{}: {:?}", it.what, it.reason)).collect::<Value>(),
        "endpoints": summary.endpoints,
    })
}

/// A plan by the names of what it touches.
pub(crate) fn outline(plan: &Plan) -> Vec<String> {
    let Plan {
        generate,
        hand_over,
        apply,
        prune,
        waiting,
        transcoding: _,
        database: _,
        cache: _,
        summary: _,
    } = plan;
    let generate = generate.iter().map(|it| format!("generate Secret/{}", it.name));
    let hand_over = hand_over.iter().map(|it| format!("hand over {} of {}", it.replicas, it.deployment));
    let apply = apply.iter().map(|it| format!("apply {}", it.key));
    let prune = prune.iter().map(|it| format!("prune {it}"));
    let waiting = waiting.iter().map(|it| format!("{} waits: {:?}", it.what, it.reason));
    generate.chain(hand_over).chain(apply).chain(prune).chain(waiting).collect()
}
