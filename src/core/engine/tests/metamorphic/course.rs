//! How the events of a world reach an engine, and what is left of it in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use super::worlds::{Happening, World};
use crate::core::clock::Clocks;
use crate::core::effect::{IncidentId, Stage};
use crate::core::rule::table::testing::Random;

/// How late events may be in all rules of these tests.
pub const LATENESS: Span = Span::from_mins(2);
/// At this second all that only time decides has been decided: no window, deadline or `close_after` is as long as what is
/// left after the last event.
const END: i64 = 7_200;

/// In which order the records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By their times.
    Even,
    /// Each later than its time by anything up to the lateness.
    Disordered,
    /// By their times within a topic-partition, and these without any regard for each other, as in a backlog.
    Overtaking,
}

/// One way for events to reach the engine.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    pub order: Order,
    pub partitions: u32,
    /// How many times the engine is thrown away and put back from its checkpoint.
    pub restarts: usize,
}

pub const PLAIN: Course = Course { order: Order::Even, partitions: 1, restarts: 0 };

/// A ticket that stands once all is settled: rule and subject, its first finding, and its end.
pub type Standing = (String, Time, Time);

/// What was decided in the course of a run.
#[derive(Debug, Default)]
pub struct Decided {
    /// The findings that stand: rule, subject, moment.
    pub findings: BTreeSet<(String, u64, Time)>,
    pub withdrawn: BTreeMap<String, usize>,
    pub standing: Vec<Standing>,
    /// Rule and account: who was told of trouble, and who was told that there was none or no more.
    pub told: BTreeSet<(String, String)>,
    pub denied: BTreeSet<(String, String)>,
    /// Rule and line, in the order of decision.
    pub effects: Vec<(String, String)>,
}

impl Decided {
    /// What happened to the tickets of the rule, for whoever looks into a difference.
    pub fn tickets(&self) -> Vec<&str> {
        let lines = self.effects.iter().map(|(_, line)| line.as_str());
        lines.filter(|line| line.contains(" ticket.") && line.contains(" rule ")).collect()
    }

    pub fn findings_of<'a>(&'a self, rule: &'a str) -> impl Iterator<Item = &'a (String, u64, Time)> {
        self.findings.iter().filter(move |(name, ..)| name == rule)
    }
}

struct Run<'a> {
    rules: &'a Arc<RuleSet>,
    course: Course,
    shards: Vec<u32>,
    engine: Engine,
    clocks: Clocks,
    store: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
    decided: Decided,
    tickets: BTreeMap<IncidentId, Standing>,
}

/// Brings the events of a world to an engine with these rules, and lets time pass until nothing changes any more.
pub fn play(rules: &Arc<RuleSet>, world: &World, course: Course, random: &mut Random) -> Decided {
    let shards: Vec<u32> = (0..course.partitions).collect();
    let mut run = Run {
        rules,
        course,
        engine: Engine::new(Arc::clone(rules), &shards),
        clocks: Clocks::new(&shards),
        shards,
        store: BTreeMap::new(),
        decided: Decided::default(),
        tickets: BTreeMap::new(),
    };
    let arriving = match course.order {
        Order::Even | Order::Disordered => run.arriving(world, random),
        Order::Overtaking => run.overtaking(world, random),
    };
    let cuts: BTreeSet<usize> =
        (0..course.restarts).map(|_| random.below(arriving.len() as i64) as usize).collect();
    let mut last: BTreeMap<(u32, Topic), usize> = BTreeMap::new();
    for (place, happening) in arriving.iter().enumerate() {
        last.insert(run.input_of(happening), place);
    }
    if course.order == Order::Overtaking {
        for (shard, topic) in last.keys() {
            run.clocks.set_unread(*shard, *topic, true);
        }
    }
    for (place, happening) in arriving.iter().enumerate() {
        if cuts.contains(&place) {
            run.restart();
        }
        run.read(happening, &last, place);
    }
    let last = arriving.iter().map(|happening| happening.millis).max().unwrap_or_default();
    let end = Span::from_millis(END * 1_000 - last);
    for part in (0..60).map(|part| end.as_millis() * (part + 1) / 60 - end.as_millis() * part / 60) {
        run.clocks.idle(Span::from_millis(part));
        run.pass();
    }
    run.decided.standing.extend(run.tickets.into_values());
    run.decided
}

impl Run<'_> {
    /// Which partition of which topic a record is in: that of its account.
    fn input_of(&self, happening: &Happening) -> (u32, Topic) {
        let event = happening.event();
        let account = Symbol::of(event.text(TextField::AccountId).unwrap());
        ((account.0 % u64::from(self.course.partitions)) as u32, event.event_type.topic())
    }

    fn arriving<'w>(&self, world: &'w World, random: &mut Random) -> Vec<&'w Happening> {
        let mut arriving: Vec<(i64, i64, &Happening)> = Vec::new();
        for happening in &world.0 {
            // Where time begins is the same for all.
            let first = happening.number == 0;
            let delay = if self.course.order == Order::Disordered && !first && random.percent(70) {
                random.below(LATENESS.as_millis() + 1)
            } else {
                0
            };
            let tie = if self.course.order == Order::Disordered { random.below(1_000) } else { 0 };
            arriving.push((happening.millis + delay, if first { -1 } else { tie }, happening));
        }
        arriving.sort_by_key(|(arrival, tie, happening)| (*arrival, *tie, happening.number));
        arriving.into_iter().map(|(_, _, happening)| happening).collect()
    }

    /// Partitions are read in any order, of the topics of one the one that is behind first.
    fn overtaking<'w>(&self, world: &'w World, random: &mut Random) -> Vec<&'w Happening> {
        let mut inputs: BTreeMap<u32, Vec<&Happening>> = BTreeMap::new();
        for happening in self.arriving(world, random) {
            inputs.entry(self.input_of(happening).0).or_default().push(happening);
        }
        inputs.values_mut().for_each(|unread| unread.reverse());
        let mut arriving = Vec::new();
        let mut favourite = 0;
        while !inputs.is_empty() {
            // Long stretches of one partition, so that they are far apart.
            if random.percent(5) {
                favourite = random.below(8);
            }
            let shard = *inputs.keys().nth(favourite as usize % inputs.len()).unwrap();
            let unread = inputs.get_mut(&shard).unwrap();
            arriving.extend(unread.pop());
            if unread.is_empty() {
                inputs.remove(&shard);
            }
        }
        arriving
    }

    fn read(&mut self, happening: &Happening, last: &BTreeMap<(u32, Topic), usize>, place: usize) {
        let mut event = happening.event();
        let (shard, topic) = self.input_of(happening);
        self.clocks.read(shard, topic, event.time);
        if last.get(&(shard, topic)) == Some(&place) {
            self.clocks.set_unread(shard, topic, false);
        }
        let now = self.clocks.shard_time(shard);
        assert_ne!(self.engine.observe(shard, &mut event, now), Observed::Duplicate);
        self.pass();
    }

    fn pass(&mut self) {
        for shard in &self.shards {
            let now = self.clocks.shard_time(*shard);
            self.engine.advance(*shard, now);
        }
        self.engine.advance_scope(self.clocks.scope_time());
        self.take();
    }

    fn restart(&mut self) {
        let store = &mut self.store;
        self.engine.drain_changes(&mut |record: Record<'_>| {
            let key = (record.shard, record.key.to_vec());
            match record.value {
                Some(value) => drop(store.insert(key, value.to_vec())),
                None => drop(store.remove(&key)),
            }
        });
        self.engine = Engine::new(Arc::clone(self.rules), &self.shards);
        for ((shard, key), value) in &self.store {
            assert_eq!(self.engine.restore(*shard, key, value), Ok(Restored::Kept));
        }
    }

    fn take(&mut self) {
        let decided = &mut self.decided;
        for (index, judged) in self.engine.said.drain(..) {
            let rule = self.rules.rules[usize::from(index)].name.clone();
            match judged.verdict {
                Verdict::Found { since, .. } => {
                    decided.findings.insert((rule, judged.subject.0, since));
                }
                Verdict::Withdrawn { since: time } | Verdict::Joined { at: time, .. } => {
                    let stood = decided.findings.remove(&(rule.clone(), judged.subject.0, time));
                    *decided.withdrawn.entry(rule).or_default() += usize::from(stood);
                }
                _ => {}
            }
        }
        for effect in self.engine.drain_effects() {
            let rule = effect.rule.to_string();
            decided.effects.push((rule.clone(), line(&effect)));
            match &effect.kind {
                EffectKind::Ticket { step, snapshot, .. } => {
                    let name = format!("{rule} {:?}", effect.subject.0);
                    match step {
                        TicketStep::Withdrawn | TicketStep::Merged(_) => {
                            self.tickets.remove(&effect.incident);
                        }
                        step => {
                            let since = snapshot.since;
                            let ticket =
                                self.tickets.entry(effect.incident).or_insert((name, since, Time::MAX));
                            ticket.1 = ticket.1.min(since);
                            let ended = matches!(step, TicketStep::Resolved(_));
                            ticket.2 = if ended { effect.at } else { Time::MAX };
                        }
                    }
                }
                EffectKind::Notice { account_id, stage, .. } => {
                    let who = (rule, account_id.to_string());
                    match stage {
                        Stage::Opened => {
                            decided.told.insert(who);
                        }
                        Stage::Corrected | Stage::Recovered => {
                            decided.denied.insert(who);
                        }
                    }
                }
                EffectKind::Affected { .. } | EffectKind::Proposal(_) => {}
            }
        }
    }
}
