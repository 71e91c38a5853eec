//! Lives that run twice in the same way: what a thread draws from the system, randomness and the time of day, comes
//! from a seed and from tokio's paused clock.
//!
//! It defines `getrandom` and `clock_gettime`, which the C library defines, too; the linker takes ours in every program
//! that uses this crate. Threads that live no seeded life get what the kernel says. Why it is done so:
//! `docs/decisions/0023-exact-replay.md`.

use rand::{RngCore, SeedableRng, rngs::StdRng};
use std::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

thread_local! {
    /// The chance of this thread, where it lives a seeded life.
    static CHANCE: RefCell<Option<StdRng>> = const { RefCell::new(None) };
    /// When the life of this thread began: by the wall clock since 1970, and by tokio's.
    static BEGAN: Cell<Option<(Duration, tokio::time::Instant)>> = const { Cell::new(None) };
}

/// Stack of the thread of a life: futures of debug builds are large.
const STACK: usize = 64 << 20;

/// Lives `life` on a thread and a paused clock of its own. Two processes that live it with the same seed do the same
/// at the same time. The wall clock begins at `epoch`, counted from 1970.
///
/// # Panics
/// When it is called twice: tokio counts a process's runtimes, and seeds the fairness of `select!` by that number.
/// And when `life` panics.
pub fn live<F: Future>(seed: u64, epoch: Duration, life: impl FnOnce() -> F + Send) -> F::Output
where
    F::Output: Send,
{
    static LIVED: AtomicBool = AtomicBool::new(false);
    assert!(!LIVED.swap(true, Ordering::Relaxed), "a process lives once");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("seed {seed}")).stack_size(STACK);
        // A new thread, as the keys of hash maps are drawn once for each.
        let lived = thread.spawn_scoped(scope, || {
            CHANCE.set(Some(StdRng::seed_from_u64(seed)));
            fastrand::seed(seed);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let done = runtime.map(|runtime| {
                runtime.block_on(async {
                    BEGAN.set(Some((epoch, tokio::time::Instant::now())));
                    let done = life().await;
                    BEGAN.set(None);
                    done
                })
            });
            CHANCE.set(None);
            done
        });
        let lived = lived.unwrap_or_else(|error| panic!("no thread for a life: {error}")).join();
        match lived {
            Ok(done) => done.unwrap_or_else(|error| panic!("no runtime for a life: {error}")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Fills a buffer from this thread's chance; false: it has none.
fn draw(buffer: &mut [u8]) -> bool {
    let drawn = CHANCE.try_with(|chance| {
        let mut chance = chance.try_borrow_mut().ok()?;
        chance.as_mut()?.fill_bytes(buffer);
        Some(())
    });
    matches!(drawn, Ok(Some(())))
}

/// The time of day of this thread's life.
fn time_of_day() -> Option<Duration> {
    let (epoch, began) = BEGAN.try_with(Cell::get).ok()??;
    Some(epoch + began.elapsed())
}

/// In the place of the C library's: <https://man7.org/linux/man-pages/man2/getrandom.2.html>.
///
/// # Safety
/// `buffer` has room for `length` bytes.
#[expect(unsafe_code, reason = "a symbol of the C library")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if !buffer.is_null() && length > 0 {
        // SAFETY: by contract there is room; the bytes are written before they are read as such.
        let buffer = unsafe {
            buffer.write_bytes(0, length);
            std::slice::from_raw_parts_mut(buffer, length)
        };
        if draw(buffer) {
            return length.cast_signed();
        }
    }
    // SAFETY: the arguments are the caller's, who keeps the contract.
    let said = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
    said as isize
}

/// In the place of the C library's: <https://man7.org/linux/man-pages/man2/clock_gettime.2.html>.
///
/// # Safety
/// `time` has room for a time.
#[expect(unsafe_code, reason = "a symbol of the C library")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if clock == libc::CLOCK_REALTIME
        && let Some(now) = time_of_day()
    {
        let seconds = now.as_secs().cast_signed();
        // SAFETY: by contract there is room.
        unsafe { time.write(libc::timespec { tv_sec: seconds, tv_nsec: i64::from(now.subsec_nanos()) }) };
        return 0;
    }
    // SAFETY: the arguments are the caller's, who keeps the contract.
    let said = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    said as libc::c_int
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        hash::{BuildHasher, RandomState},
        time::{Duration, SystemTime},
    };

    /// What a life sees of chance and time: hash maps' keys, rand, fastrand, the fairness of `select!`, the wall clock.
    async fn seen() -> String {
        let mut fair = String::new();
        for _ in 0..64 {
            tokio::select! {
                () = async {} => fair.push('a'),
                () = async {} => fair.push('b'),
            }
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let order: Vec<u32> = (0..8).collect::<HashSet<u32>>().into_iter().collect();
        let drawn: u64 = rand::random();
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{fair} {order:?} {} {drawn} {} {time:?}", RandomState::new().hash_one(1), fastrand::u64(..))
    }

    /// The life of one process: run by the test below.
    #[test]
    #[ignore = "run by the test of replay, in processes of its own"]
    fn a_life() {
        let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        let seen = super::live(seed, Duration::from_secs(1_000_000_000), seen);
        assert!(seen.ends_with("1000003600s"), "{seen}");
        std::fs::write(std::env::var("SEEN").unwrap_or_default(), seen).expect("SEEN is a file's path");
    }

    #[test]
    fn a_seed_decides_all_chance() {
        let directory = std::env::temp_dir().join(format!("replay-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let lived = |seed: &str, name: &str| {
            let file = directory.join(name);
            let this = std::env::current_exe().expect("this program");
            let output = std::process::Command::new(this)
                .args(["--exact", "tests::a_life", "--ignored"])
                .envs([("SEED", seed.as_ref()), ("SEEN", file.as_os_str())])
                .output()
                .expect("a process");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            std::fs::read_to_string(file).expect("what was seen")
        };
        let (first, again, other) = (lived("1", "first"), lived("1", "again"), lived("2", "other"));
        std::fs::remove_dir_all(&directory).expect("the directory");
        assert_eq!(first, again);
        let differ = first.split(' ').zip(other.split(' ')).filter(|(one, two)| one != two).count();
        assert!(differ >= 4, "{first}\n{other}");
    }
}
