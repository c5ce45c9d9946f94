//! The daemon under faults, in one thread and in virtual time: the real worker, engine, dispatcher, writer of effects and outbox
//! on the real statements of the database, between a simulated Kafka, simulated checkpoints and a simulated mail server.
//!
//! Everything is drawn from one number, the seed, so that a failure comes again exactly with it. Each seed is played twice, with
//! faults and without; in the end both must have settled on the same. `scripts/simulation` plays as many seeds as one likes.

mod compare;
mod daemon;
mod database;
mod neighbours;
mod outside;
mod platform;
mod post;

use std::time::Duration;

use compare::Settled;
use daemon::{Daemon, Kit, Standing};
use outside::Outside;

use crate::core::effect::{Effect, EffectKind};
use crate::core::time::Time;
use crate::daemon::worker::Next;
use crate::delivery::render::{RenderSettings, Templates};
use crate::edge::store::{Database, SqliteMemory};

/// So long after the last event everything is decided: longer than any rule waits, and any incident lives.
const SETTLED_AFTER: i64 = 250_000;
/// A run that takes more steps hangs.
const MOST_STEPS: usize = 40_000;
/// So many steps a daemon may take that has slept while another took its place.
const LAST_STEPS: usize = 12;

/// What is built once for all seeds.
struct Bench {
    memory: SqliteMemory,
    rules: std::sync::Arc<crate::core::rule::RuleSet>,
    templates: std::sync::Arc<Templates>,
    runtime: tokio::runtime::Runtime,
}

/// What came of a run.
struct Played {
    settled: Settled,
    wrong: Vec<String>,
    trace: Vec<String>,
    crashes: u32,
    sleeps: u32,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let templates = Templates::shipped(RenderSettings::default()).expect("they are whole");
        Self {
            memory: SqliteMemory::open(),
            rules: platform::rules(),
            templates: std::sync::Arc::new(templates),
            runtime,
        }
    }

    fn play(&self, seed: u64, faults: bool, traced: bool) -> Played {
        self.memory.clear();
        let outside = Outside::new(seed, faults, traced);
        let database = Database::in_memory(&self.memory);
        let kit = Kit {
            rules: std::sync::Arc::clone(&self.rules),
            templates: std::sync::Arc::clone(&self.templates),
            outside: outside.clone(),
            database: database.clone(),
        };
        Play { kit, outside: outside.clone(), life: 0, awake: None, asleep: None, start_at: platform::START }
            .run();
        let settled = self.runtime.block_on(Settled::read(&database));
        let mut things = outside.things();
        let arrived = std::mem::take(&mut things.arrived);
        for problem in settled.problems(&arrived) {
            things.accuse(0, problem);
        }
        Played {
            settled,
            wrong: std::mem::take(&mut things.wrong),
            trace: things.trace.take().unwrap_or_default(),
            crashes: things.crashes,
            sleeps: things.sleeps,
        }
    }

    /// What is wrong with a seed; nothing, as it should be.
    fn judge(&self, seed: u64) -> (Vec<String>, Played) {
        let calm = self.play(seed, false, false);
        let mut played = self.play(seed, true, false);
        let mut wrong: Vec<String> =
            calm.wrong.iter().map(|wrong| format!("without any fault: {wrong}")).collect();
        wrong.append(&mut played.wrong);
        wrong.extend(calm.settled.differences(&played.settled));
        (wrong, played)
    }
}

/// A run under way.
struct Play {
    kit: Kit,
    outside: Outside,
    life: u32,
    awake: Option<Daemon>,
    /// One that sleeps, and when it wakes up.
    asleep: Option<(Daemon, i64)>,
    /// When the next life begins.
    start_at: i64,
}

impl Play {
    fn run(mut self) {
        let mut lap = 20;
        let mut stopping = false;
        for _ in 0..MOST_STEPS {
            let now = {
                let mut things = self.outside.things();
                things.now += lap;
                if things.fault(1) {
                    let now = things.now;
                    (things.away.kafka_since, things.away.kafka) = (now, now + things.random.below(20_000));
                    things.note(0, || "kafka goes away".to_owned());
                }
                things.now
            };
            self.wake_sleeper(now);
            lap = match self.advance(now, lap) {
                Some(Next::End { .. }) => return self.finish(),
                Some(next) => self.next_lap(next),
                None => 50,
            };
            let due = self.outside.things().platform.last + SETTLED_AFTER;
            if let Some(daemon) = &mut self.awake
                && !stopping
                && now >= due
                && daemon.time() >= Time::from_millis(due)
            {
                stopping = true;
                daemon.stop();
            }
        }
        self.outside.things().accuse(self.life, "it has not come to an end".to_owned());
    }

    /// One step of the daemon, or of what leads to the next one.
    fn advance(&mut self, now: i64, lap: i64) -> Option<Next> {
        let Some(daemon) = &mut self.awake else {
            if now >= self.start_at {
                self.life += 1;
                self.awake = Daemon::start(&self.kit, self.life);
                let mut things = self.outside.things();
                self.start_at = now + things.random.below(2_000);
            }
            return None;
        };
        match daemon.step(Duration::from_millis(lap.unsigned_abs())) {
            Standing::Runs(next) => {
                let mut things = self.outside.things();
                if self.asleep.is_none() && next != Next::GoOn && things.fault(2) {
                    let (wake, start) = (things.random.between(1_000, 60_000), things.random.below(20_000));
                    things.sleeps += 1;
                    things.note(self.life, || "falls asleep".to_owned());
                    self.asleep = self.awake.take().map(|daemon| (daemon, now + wake));
                    self.start_at = now + start;
                    return None;
                }
                Some(next)
            }
            Standing::Over => {
                if let Some(daemon) = self.awake.take() {
                    daemon.crash();
                }
                let mut things = self.outside.things();
                let pause = if things.random.percent(70) { 3_000 } else { 60_000 };
                self.start_at = now + things.random.below(pause);
                None
            }
        }
    }

    /// A daemon that has slept goes on as if nothing had happened, until it finds out.
    fn wake_sleeper(&mut self, now: i64) {
        let Some((mut daemon, _)) = self.asleep.take_if(|(_, wake_at)| *wake_at <= now) else { return };
        if self.outside.things().owner == daemon.life && self.awake.is_none() {
            // Nobody has come in its place.
            daemon.wake();
            self.awake = Some(daemon);
            return;
        }
        self.outside.things().note(daemon.life, || "wakes up".to_owned());
        daemon.wake();
        for lap in [1_000, 1, 20, 500].into_iter().cycle().take(LAST_STEPS) {
            if daemon.step(Duration::from_millis(lap)) == Standing::Over {
                break;
            }
        }
        daemon.crash();
    }

    fn next_lap(&self, next: Next) -> i64 {
        let mut things = self.outside.things();
        match (next, things.faults) {
            (Next::Rest(_), true) if things.now < things.platform.last => things.random.between(20, 1_000),
            (Next::Rest(_), _) => 1_000,
            (_, true) => things.random.between(1, 60),
            (_, false) => 10,
        }
    }

    fn finish(self) {
        let mut things = self.outside.things();
        let ends: Vec<_> = things
            .platform
            .partitions
            .iter()
            .map(|partition| (partition.topic, partition.number, partition.records.len() as i64))
            .collect();
        let kept = things.kept.checkpoint.clone().unwrap_or_default();
        for (topic, number, end) in ends {
            let position = kept
                .positions
                .iter()
                .find(|position| position.topic == topic.as_str() && position.partition == number);
            if position.is_none_or(|position| position.next_offset != end) {
                things.accuse(self.life, format!("{} {number} is not read to its end {end}", topic.as_str()));
            }
        }
    }
}

/// An effect in one line.
fn line(effect: &Effect) -> String {
    let Effect { at, rule, subject, incident, kind } = effect;
    let passed = |time: Time| (time.as_millis() - platform::START) / 1_000;
    let subject: Vec<&str> = subject.0.iter().map(|(_, value)| value.as_str()).collect();
    let what = match kind {
        EffectKind::Ticket { revision, step, snapshot } => {
            let (since, started) = (passed(snapshot.since), passed(snapshot.started_at));
            format!("{step:?} ({revision}), since {since} s, begun at {started} s")
        }
        EffectKind::Affected { account_id, .. } => format!("affects {account_id}"),
        EffectKind::Notice { account_id, stage, .. } => format!("tells {account_id} {}", stage.as_str()),
        EffectKind::Proposal(_) => "proposal".to_owned(),
    };
    let id = incident.to_string();
    format!("{rule} {} {}: {what} at {} s", subject.join(" "), id.get(..6).unwrap_or_default(), passed(*at))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const THREADS: u64 = 2;

    /// How many seeds are played, from which on.
    #[expect(clippy::disallowed_methods, reason = "the script says which seeds; no settings are read here")]
    fn asked(name: &str, otherwise: u64) -> u64 {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    }

    /// Plays seeds until one fails, here or elsewhere. Returns how many crashes and sleeps there were.
    fn play_some(seeds: impl Iterator<Item = u64>, failed: &AtomicBool) -> (u64, u64) {
        let bench = Bench::new();
        let (mut crashes, mut sleeps) = (0, 0);
        for seed in seeds {
            let (wrong, played) = bench.judge(seed);
            crashes += u64::from(played.crashes);
            sleeps += u64::from(played.sleeps);
            if !wrong.is_empty() {
                failed.store(true, Ordering::Relaxed);
                let trace = |faults| bench.play(seed, faults, true).trace.join("\n");
                let (calm, troubled) = (trace(false), trace(true));
                let records = platform::Platform::draw(seed).show();
                let wrong = wrong.join("\n");
                panic!(
                    "the records of seed {seed}:\n{records}\nwithout faults:\n{calm}\n\nand with them:\n{troubled}\n\nseed {seed}:\n{wrong}"
                );
            }
            if failed.load(Ordering::Relaxed) {
                break;
            }
        }
        (crashes, sleeps)
    }

    #[test]
    fn whatever_fails_nothing_is_lost_and_nobody_is_told_twice() {
        let first = asked("SIMULATION_FIRST", 0);
        let count = asked("SIMULATION_SEEDS", 50);
        let failed = AtomicBool::new(false);
        let played = std::thread::scope(|scope| {
            let play = |seeds| scope.spawn(|| play_some(seeds, &failed));
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| play((first + thread..first + count).step_by(THREADS as usize)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it has found nothing")).collect::<Vec<_>>()
        });
        let crashes: u64 = played.iter().map(|(crashes, _)| crashes).sum();
        let sleeps: u64 = played.iter().map(|(_, sleeps)| sleeps).sum();
        println!(
            "{count} seeds from {first} on: {crashes} crashes, {sleeps} daemons put to sleep and replaced"
        );
        assert!(
            crashes >= count && sleeps >= count / 4,
            "faults must happen: {crashes} crashes, {sleeps} sleeps"
        );
    }

    #[test]
    fn a_seed_has_the_same_course_each_time() {
        let bench = Bench::new();
        for seed in [3, 14] {
            let (one, other) = (bench.play(seed, true, true), bench.play(seed, true, true));
            assert!(one.trace.len() > 20, "{:?}", one.trace);
            assert_eq!(one.trace, other.trace);
        }
    }
}
