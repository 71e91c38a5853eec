//! A platform's life under an operator that dies: what is there before, what is done, and what shall be so at the end.

use crate::{
    report,
    world::{Frozen, World, well},
};
use jiff::SignedDuration;
use serde_json::Value;
use simulation::{
    kubernetes::controllers::{Exit, Run},
    wire::{Break, Fate},
};
use std::{collections::BTreeMap, time::Duration};

/// What a life is.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The spec of the platform that is there before; none: there is no platform.
    pub given: Option<&'static str>,
    /// What is done, one after another.
    pub acts: &'static [Act],
    /// What shall be so at the end.
    pub end: fn(&World),
}

/// Something that is done.
#[derive(Clone, Copy)]
pub enum Act {
    /// Applies a spec.
    Spec(&'static str),
    /// Annotates the platform.
    Annotate(&'static str, &'static str),
    /// Uploads clips.
    Upload(&'static [&'static str]),
    /// Every message comes a second time.
    SendAgain,
    /// Deletes the platform.
    Delete,
    /// Every pod that no Job made dies with its node.
    NodeDies,
    /// Waits so many seconds, whatever goes on.
    Seconds(u64),
    /// Waits until the operator says that all is done.
    Settled,
    /// Waits until something is so.
    Until(&'static str, fn(&World) -> bool),
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Until(what, _) => what,
            _ => "an act",
        })
    }
}

/// How the Job of a clip runs: the clip's name tells.
fn runs(job: &Value) -> Run {
    let request = job["spec"]["template"]["spec"]["containers"].to_string();
    let is_first = job["metadata"]["labels"]["streamingplatform.dev/attempt"] == "1";
    let fails = |code, reason: &str| Exit::Code {
        code,
        message: format!(r#"{{"reason":"{reason}","message":"x"}}"#),
    };
    let exit = if request.contains("broken") {
        fails(65, "NOT_MEDIA")
    } else if request.contains("flaky") && is_first || request.contains("hopeless") {
        fails(1, "STORAGE")
    } else {
        return well();
    };
    Run { lasts: SignedDuration::from_secs(5), exit }
}

impl Scenario {
    /// The world as it is before.
    pub async fn given(&self) -> Frozen {
        let world = World::new(None);
        if let Some(spec) = self.given {
            world.apply(spec);
            world.settled().await;
            // What follows from the last change has followed.
            tokio::time::sleep(Duration::from_secs(120)).await;
        }
        world.freeze()
    }

    /// Lives it once. Returns what there is in the end, and what the operator sent before it died.
    pub async fn live(&self, given: &Frozen, dies: Option<Break>) -> (BTreeMap<String, Value>, Vec<String>) {
        let world = given.with_operator(dies, runs);
        for act in self.acts {
            match act {
                Act::Spec(spec) => world.apply(spec),
                Act::Annotate(name, value) => world.annotate(name, value),
                Act::Upload(clips) => clips.iter().for_each(|clip| world.upload(clip)),
                Act::SendAgain => world.send_again(),
                Act::Delete => world.delete(),
                Act::NodeDies => world.node_dies(),
                Act::Seconds(seconds) => tokio::time::sleep(Duration::from_secs(*seconds)).await,
                Act::Settled => world.settled().await,
                Act::Until(what, is_so) => world.until(what, is_so).await,
            }
        }
        if dies.is_some_and(|it| it.fate == Fate::Late && world.requests().len() > it.at) {
            world.until("another one leads", |world| world.leader() != "first").await;
            let before = world.requests().len();
            world.deliver();
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut acted = world.requests().split_off(before);
            acted.retain(|name| !only_reads(name) && !name.contains("/leases"));
            assert!(acted.is_empty(), "{dies:?}: one that leads no more goes on: {acted:?}");
        }
        world.check();
        (self.end)(&world);
        (world.state(), world.requests())
    }

    /// Lives it with an operator that is cut off at each of the chosen requests, and stops acting when its lease is
    /// over. Another one takes over; when all is done, what the first had sent arrives: the end is the same.
    pub async fn be_late_at(&self, chosen: impl Fn(Sent<'_>) -> bool) {
        self.break_at(&[Fate::Late], chosen).await;
    }

    /// Lives it with a death at each of the chosen requests, not performed and performed: the end is the same. Whether
    /// one that only reads is performed makes no difference.
    pub async fn die_at(&self, chosen: impl Fn(Sent<'_>) -> bool) {
        self.break_at(&[Fate::Lost, Fate::Performed], chosen).await;
    }

    async fn break_at(&self, fates: &[Fate], chosen: impl Fn(Sent<'_>) -> bool) {
        let given = self.given().await;
        let (expected, all) = self.live(&given, None).await;
        let (mut writes, mut reads, mut deaths) = (0, 0, 0);
        for (number, name) in all.iter().enumerate() {
            let counted = if only_reads(name) { &mut reads } else { &mut writes };
            let sent = Sent { name, writes: !only_reads(name), at: *counted };
            *counted += 1;
            if !chosen(sent) {
                continue;
            }
            for fate in fates.iter().copied().filter(|fate| sent.writes || *fate == Fate::Lost) {
                // So that a panic of any kind tells where.
                println!("dies at request {number} of {}, {name}: {fate:?}", all.len());
                let (state, sent) = self.live(&given, Some(Break { at: number, fate })).await;
                assert!(sent.len() > number, "it sent {} requests, and met its fate at none", sent.len());
                same(&state, &expected);
                deaths += 1;
            }
        }
        report::lived(deaths, &format!("{writes} writes and {reads} reads"));
    }
}

/// A request, among which one chooses.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its method and path, or its action.
    pub name: &'a str,
    /// Whether it changes something.
    pub writes: bool,
    /// How many of its sort were sent before.
    pub at: usize,
}

/// Tells only what differs.
fn same(state: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    for key in state.keys().chain(expected.keys()) {
        assert_eq!(state.get(key), expected.get(key), "{key}");
    }
}

fn only_reads(name: &str) -> bool {
    let operation = name.split_once(':').map_or(name, |(_, operation)| operation.trim());
    ["GET", "Describe", "List", "Get", "Head", "log in"].iter().any(|read| operation.starts_with(read))
}
