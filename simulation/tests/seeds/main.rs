//! Random lives of the whole operator: a seed chooses platforms, edits, mistakes, clips, faults and deaths, and replays
//! exactly. `docs/simulation.md` says what is looked at.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chaos;
mod controls;
mod inspector;
mod life;
mod script;
#[path = "../common/servers.rs"]
mod servers;
mod soak;
mod world;

use soak::live;

/// Seeds that found a bug once. Today's generator makes other lives of them: tests of their own guard the bugs.
const FOUND: &[u64] = &[103, 118, 127, 134, 20_012, 20_038, 20_133, 40_288, 40_395, 50_512, 60_209, 80_119];
/// How many seeds `make test` lives.
const SOME: u64 = 200;

/// One life in this process: of `SEED`, with its trace to the file `TRACE` and its report as JSON to `REPORT`.
#[test]
#[ignore = "one life, in a process of its own: SEED=n cargo test -p simulation --test seeds -- --ignored --exact replay --nocapture"]
fn replay() {
    soak::replay();
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..2 {
        let traces = [0, 1].map(|_| live(seed, true).trace);
        let differ = traces[0].lines().zip(traces[1].lines()).find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(traces[0].len(), traces[1].len(), "seed {seed}");
        assert!(traces[0].lines().count() > 100, "seed {seed}");
    }
}

#[test]
fn seeds_that_found_something_once_hold() {
    soak::all(FOUND.iter().copied(), soak::Goes::Quietly);
}

#[test]
fn some_seeds_hold() {
    soak::all(0..SOME, soak::Goes::Quietly);
}

/// Goes on until it is stopped, or `SEEDS` were lived, from `SEED` or a random one on.
#[test]
#[ignore = "goes on until it is stopped: make soak"]
fn soak_goes_on() {
    soak::soak();
}
