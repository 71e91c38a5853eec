//! One life: what a seed chose happens, then all is calm, and what the users want must come about.

use crate::{
    chaos::{self, lock},
    inspector::{self, images},
    script::{self, Script},
    world::World,
};
use jiff::Timestamp;
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simulation::kubernetes::resource::{DEPLOYMENTS, JOBS, LEASES};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};
use streaming_operator::dispatch::attempt::ANNOTATION_SETTLED;
use tokio::time::Instant;

/// A Wednesday at noon.
pub const EPOCH: &str = "2026-07-01T12:00:00Z";
/// How long it takes, once all is calm, until everyone knows: what hung then is given up, and a watch begun again
/// (kube waits 30 s at most).
const LINGERS: Duration = chaos::LONGEST.saturating_add(Duration::from_secs(30));
/// How long the world may take, once all is calm, until everything is as the specs say.
const CONVERGES: Duration = Duration::from_secs(3600);
/// How long what was last written may echo.
const ECHO: Duration = Duration::from_secs(60);
/// How long nothing may be written then.
const IDLE: Duration = Duration::from_secs(120);
/// Most requests in a minute for each platform and replica, whatever fails: to Kubernetes and to AWS together.
const BUSIEST: u64 = 300;
/// Most for each of them once nothing is left to do: leases, long polls, and looking whether all is still there.
const CALMEST: u64 = 40;

/// What became of a life.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What did not hold; empty: all went well.
    pub broken: Vec<String>,
    /// Requests to Kubernetes and to AWS.
    pub requests: u64,
    /// Hundredths of a second of a processor.
    pub cpu: u64,
    /// Most in a minute.
    pub busiest: u64,
    /// Seconds from the calm to the end.
    pub settled_after: u64,
    /// What befell whom, and how often.
    pub injected: BTreeMap<String, u64>,
    /// What happened: every request with its time, and the end.
    #[serde(skip)]
    pub trace: String,
}

/// Lives.
pub async fn live(seed: u64) -> Report {
    let mut rng = StdRng::seed_from_u64(seed);
    let script = Script::new(&mut rng);
    let epoch: Timestamp = EPOCH.parse().unwrap();
    let world = World::new(epoch, &script, &mut rng);
    let began = Instant::now();
    for (at, act) in &script.acts {
        wait_until(&world, began + *at).await;
        world.act(act);
    }
    wait_until(&world, began + script.calm).await;
    world.calm();
    for (platform, spec) in script.last.iter().enumerate() {
        if let Some(spec) = spec {
            world.apply(platform, spec);
        }
    }
    for (platform, spec) in script.mended.iter().enumerate() {
        if let Some(spec) = spec
            && world.platform(platform).is_some()
        {
            world.apply(platform, spec);
        }
    }
    let calm = Instant::now();
    wait_until(&world, calm + LINGERS).await;
    let mut report = Report::default();
    while let Some(unsettled) = unsettled(&world, &script) {
        if calm.elapsed() >= CONVERGES {
            report.broken.push(format!("not settled {CONVERGES:?} after all was calm: {unsettled}"));
            break;
        }
        wait_until(&world, Instant::now() + Duration::from_secs(5)).await;
    }
    report.settled_after = calm.elapsed().as_secs();
    if report.broken.is_empty() && world.inspector().broken.is_empty() {
        wait_until(&world, Instant::now() + ECHO).await;
        let (before, in_aws) = (world.cluster.calls().len(), world.cloud.calls().len());
        wait_until(&world, Instant::now() + IDLE).await;
        let spent = (world.cluster.calls().len() - before + world.cloud.calls().len() - in_aws) as u64;
        let most = CALMEST * script.size() * IDLE.as_secs() / 60;
        if spent > most {
            report
                .broken
                .push(format!("{spent} requests within {IDLE:?} of idleness; at most {most} are right"));
        }
        report.broken.extend(writes(&world, before, in_aws));
        report.broken.extend(ended(&world, &script));
        dead_letters(&world);
    }
    finish(&world, &script, report)
}

/// Lets time pass, and looks on.
async fn wait_until(world: &World, until: Instant) {
    while world.inspector().broken.is_empty() {
        world.inspect();
        let next = Instant::now() + Duration::from_secs(1);
        if next >= until {
            break;
        }
        tokio::time::sleep_until(next).await;
    }
    tokio::time::sleep_until(until).await;
    world.inspect();
}

/// Why a world is not yet as its users want it.
fn unsettled(world: &World, script: &Script) -> Option<String> {
    for (platform, spec) in script.last.iter().enumerate() {
        let name = script::name(platform);
        match (world.platform(platform), spec) {
            (Some(_), None) => return Some(format!("{name} is still there")),
            // It was being deleted when it was applied: its user does it once more.
            (None, Some(spec)) => {
                world.apply(platform, spec);
                return Some(format!("{name} is gone"));
            }
            (Some(there), Some(_)) => {
                let conditions = there["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let is = |kind: &str, status: &str| {
                    conditions.iter().any(|it| {
                        it["type"] == kind
                            && it["status"] == status
                            && it["observedGeneration"] == there["metadata"]["generation"]
                    })
                };
                let is_deleted = there["metadata"].get("deletionTimestamp").is_some();
                if is_deleted || !is("Ready", "True") || !is("Reconciling", "False") {
                    return Some(format!("{name}: {}", Value::Array(conditions)));
                }
                if let Some(job) = open_job(world, &there) {
                    return Some(format!("{name}: Job {job} is not settled"));
                }
                if let Some(queue) = queue_of(&there) {
                    let left = world.in_region(|region, _| {
                        region.sqs.queues.get(&queue).map_or(0, |queue| queue.messages.len())
                    });
                    if left > 0 {
                        return Some(format!("{name}: {left} messages on its queue"));
                    }
                }
            }
            (None, None) => {}
        }
    }
    None
}

/// A Job of the platform whose outcome is not noted on it.
fn open_job(world: &World, platform: &Value) -> Option<String> {
    let uid = platform["metadata"]["uid"].as_str().unwrap_or_default();
    world.cluster.with(|store, _| {
        let mut jobs = store.all().filter(|(key, job)| key.resource == JOBS && inspector::owner(job) == uid);
        let open = jobs.find(|(_, job)| job["metadata"]["annotations"].get(ANNOTATION_SETTLED).is_none());
        open.map(|(key, _)| key.name.clone())
    })
}

fn queue_of(platform: &Value) -> Option<String> {
    Some(platform["status"]["transcoding"]["queueURL"].as_str()?.rsplit('/').next()?.to_owned())
}

/// What an idle operator wrote.
fn writes(world: &World, before: usize, in_aws: usize) -> Vec<String> {
    let calls = world.cluster.calls();
    let written =
        calls[before..].iter().filter(|call| call.request.verb.writes() && call.request.resource != LEASES);
    let written = written.map(|call| {
        format!(
            "idle, and wrote: {} {} {} {}",
            call.at,
            call.request.verb.name(),
            call.request.key().name,
            call.request.body
        )
    });
    let calls = world.cloud.calls();
    let reads = ["Get", "List", "Describe", "Receive", "Head"];
    let changed = calls[in_aws..].iter().filter(|call| {
        let operation = call.action.split(':').nth(1).unwrap_or_default();
        !reads.iter().any(|read| operation.starts_with(read))
    });
    written
        .chain(changed.map(|call| format!("idle, and called {} {:?}", call.action, call.parameters)))
        .collect()
}

/// What is wrong in the end.
fn ended(world: &World, script: &Script) -> Vec<String> {
    let mut broken = Vec::new();
    for (platform, spec) in script.last.iter().enumerate() {
        let Some((spec, there)) = spec.as_ref().zip(world.platform(platform)) else { continue };
        let uid = there["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let mut found: Vec<(String, String)> = world.cluster.with(|store, _| {
            let all = store
                .all()
                .filter(|(key, value)| key.resource == DEPLOYMENTS && inspector::owner(value) == uid);
            all.map(|(key, value)| {
                let image = &value["spec"]["template"]["spec"]["containers"][0]["image"];
                (key.name.clone(), image.as_str().unwrap_or_default().to_owned())
            })
            .collect()
        });
        let name = script::name(platform);
        let mut wanted: Vec<_> =
            images(spec).into_iter().map(|(part, image)| (format!("{name}-{part}"), image)).collect();
        found.sort();
        wanted.sort();
        if found != wanted {
            broken.push(format!("Deployments are {found:?}, and shall be {wanted:?}"));
        }
        broken.extend(in_aws(world, spec, &uid));
    }
    broken.extend(left_behind(world));
    broken.extend(untold(world));
    broken
}

/// Of a platform that is gone, only what it shall leave is left.
fn left_behind(world: &World) -> Vec<String> {
    let inspector = world.inspector();
    let live: Vec<String> = (0..script::PLATFORMS)
        .filter_map(|platform| Some(world.platform(platform)?["metadata"]["uid"].as_str()?.to_owned()))
        .collect();
    let gone = inspector.last_specs().into_iter().filter(|(uid, _)| !live.iter().any(|it| it == uid));
    world.in_region(|region, _| {
        let left = gone.flat_map(|(uid, spec)| inspector::servers(region, uid).map(|it| (spec, it)));
        left.filter(|(spec, (part, names))| !names.is_empty() && spec[*part]["deletionPolicy"] != "Retain")
            .map(|(_, (part, names))| {
                format!("the {part} {names:?} of a platform that is gone is still there")
            })
            .collect()
    })
}

/// One of each in AWS, not two.
fn in_aws(world: &World, spec: &Value, uid: &str) -> Vec<String> {
    let is_wanted = spec.get("transcoding").is_some();
    let (queues, buckets) = world.in_region(|region, _| {
        let queues = region.sqs.queues.iter().filter(|(_, queue)| queue.tags.values().any(|tag| tag == uid));
        let buckets = region
            .s3
            .buckets
            .iter()
            .filter(|(_, bucket)| bucket.settings.get("tagging").is_some_and(|tags| tags.contains(uid)));
        let queues: Vec<_> = queues.map(|(name, _)| name.clone()).collect();
        (queues, buckets.map(|(name, _)| name.clone()).collect::<Vec<_>>())
    });
    let expected = if is_wanted { (3, 2) } else { (0, 0) };
    let mut wrong = Vec::new();
    if (queues.len(), buckets.len()) != expected {
        wrong.push(format!(
            "in AWS there are {queues:?} and {buckets:?}, and transcoding is wanted: {is_wanted}"
        ));
    }
    for (part, there) in world.in_region(|region, _| inspector::servers(region, uid)) {
        let is_wanted = spec[part]["provider"] == "AWS";
        if there.len() != usize::from(is_wanted) {
            wrong.push(format!("in AWS there are {there:?}, and a {part} is wanted there: {is_wanted}"));
        }
    }
    wrong
}

/// Of each Job that was done, the outcome was told.
fn untold(world: &World) -> Vec<String> {
    let done: Vec<(String, String)> = world.cluster.with(|store, _| {
        let jobs = store.all().filter(|(key, job)| key.resource == JOBS && inspector::is_done(job));
        jobs.filter_map(|(_, job)| Some((inspector::owner(job).to_owned(), inspector::clip(job)?))).collect()
    });
    world.in_region(|region, _| {
        let is_told = |uid: &str, clip: &str| {
            let queues = region.sqs.queues.iter().filter(|(name, _)| name.contains("events"));
            let mut of_platform = queues.filter(|(_, queue)| queue.tags.values().any(|tag| tag == uid));
            of_platform.any(|(_, queue)| {
                queue
                    .messages
                    .iter()
                    .any(|it| it.body.contains(clip) && it.body.contains("transcode.succeeded"))
            })
        };
        let untold = done.iter().filter(|(uid, clip)| !is_told(uid, clip));
        untold.map(|(_, clip)| format!("{clip} is done, and no outcome was told")).collect()
    })
}

/// Each dead letter has a reason, and was right to be given up.
fn dead_letters(world: &World) {
    let letters = world.in_region(|region, _| {
        let queues = region.sqs.queues.iter().filter(|(name, _)| name.contains("dead"));
        queues.flat_map(|(_, queue)| queue.messages.clone()).collect::<Vec<_>>()
    });
    let (told, mut inspector) = (world.told(), world.inspector());
    for letter in letters {
        inspector.dead_letter(&letter.attributes, &letter.body, &told);
    }
}

/// Puts down what happened.
fn finish(world: &World, script: &Script, mut report: Report) -> Report {
    let (calls, in_aws) = (world.cluster.calls(), world.cloud.calls());
    report.requests = (calls.len() + in_aws.len()) as u64;
    let requests = calls.iter().map(|call| call.at).chain(in_aws.iter().map(|call| call.at));
    report.busiest = world.inspector().bounded(requests, BUSIEST * script.size());
    report.broken.append(&mut world.inspector().broken);
    report.injected = lock(&world.chaos).injected.clone();
    let mut trace = String::new();
    for (at, act) in &script.acts {
        writeln!(trace, "{at:?} {act:?}").unwrap();
    }
    for call in &calls {
        let request = &call.request;
        let key = request.key();
        writeln!(
            trace,
            "{} {} {} {}/{} {:?} {} by {}: {:?}",
            call.at,
            request.verb.name(),
            key.resource,
            key.namespace,
            key.name,
            request.subresource,
            request.body,
            request.manager,
            call.status
        )
        .unwrap();
    }
    for call in &in_aws {
        writeln!(trace, "{} {} {:?}: {:?}", call.at, call.action, call.parameters, call.error).unwrap();
    }
    world.cluster.with(|store, _| {
        for (key, value) in store.all() {
            writeln!(trace, "{}/{} {value}", key.resource, key.name).unwrap();
        }
    });
    report.trace = trace;
    report
}
