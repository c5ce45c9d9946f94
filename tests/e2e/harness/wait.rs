//! Waiting for what another process will do: look, pause, look again, until it holds or the deadline passes.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that passes never waits that long.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// The first `Some` that `look` returns; panics when [`PATIENCE`] ends, with what `look` saw last.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    until_within(PATIENCE, what, look)
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test waits in real time for another process")]
pub fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= deadline => {
                panic!("waited {} s for {what}; seen last: {seen}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// `Ok` with `value` where `holds`, else what is missing.
pub fn when<T: std::fmt::Debug>(holds: bool, value: T) -> Result<T, String> {
    if holds { Ok(value) } else { Err(format!("{value:?}")) }
}

/// Lets real time pass: for what is meant to happen at a moment, and never in the place of a condition.
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}
