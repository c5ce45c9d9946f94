//! What time it is in a shard, and for rules that span shards.
//!
//! A partition's time is the newest event time read from it. A shard's time is the lowest of its inputs that still
//! have unread records, so that nothing which merely has not been read yet is ever declared missing. Only when all
//! inputs are read to their end does time run on by itself. It never runs backward.

use crate::core::by_shard::ByShard;
use crate::core::event::Topic;
use crate::core::time::{Span, Time};

/// The clocks of one worker: its shards, each with its inputs.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    shards: ByShard<ShardClock>,
    scope: Time,
}

#[derive(Clone, Debug)]
struct ShardClock {
    inputs: [Option<Input>; Topic::ALL.len()],
    now: Time,
}

#[derive(Clone, Copy, Debug)]
struct Input {
    newest: Time,
    unread: bool,
}

impl Clocks {
    pub fn new(shards: &[u32]) -> Self {
        let shards =
            ByShard::new(shards, |_| ShardClock { inputs: [None; Topic::ALL.len()], now: Time::MIN });
        Self { shards, scope: Time::MIN }
    }

    /// Goes on where a checkpoint left a shard.
    pub fn resume(&mut self, shard: u32, now: Time) {
        if let Some(clock) = self.shards.get_mut(shard) {
            clock.now = clock.now.max(now);
        }
    }

    /// An event with this time was read from an input.
    pub fn read(&mut self, shard: u32, topic: Topic, time: Time) {
        if let Some(clock) = self.shards.get_mut(shard) {
            let input = clock.input(topic);
            input.newest = input.newest.max(time);
        }
    }

    /// Whether an input has records that were not read yet.
    pub fn set_unread(&mut self, shard: u32, topic: Topic, unread: bool) {
        if let Some(clock) = self.shards.get_mut(shard) {
            clock.input(topic).unread = unread;
        }
    }

    /// Monotonic time that has passed. It moves only the shards that have nothing unread.
    pub fn idle(&mut self, elapsed: Span) {
        for clock in self.shards.values_mut() {
            if !clock.has_unread() && clock.newest() > Time::MIN {
                clock.now = clock.now.max(clock.newest()) + elapsed;
            }
        }
    }

    /// Brings the shard's time up to date and returns it.
    pub fn shard_time(&mut self, shard: u32) -> Time {
        self.shards.get_mut(shard).map_or(Time::MIN, ShardClock::bring_up_to_date)
    }

    /// The time that every shard with unread records has passed.
    pub fn scope_time(&mut self) -> Time {
        let mut lowest_unread: Option<Time> = None;
        let mut highest = Time::MIN;
        for clock in self.shards.values_mut() {
            let now = clock.bring_up_to_date();
            highest = highest.max(now);
            if clock.has_unread() {
                lowest_unread = Some(lowest_unread.map_or(now, |lowest| lowest.min(now)));
            }
        }
        self.scope = self.scope.max(lowest_unread.unwrap_or(highest));
        self.scope
    }

    /// The input to read first: of those with unread records the one with the lowest time (ties: topic order).
    pub fn lowest(&self, shard: u32) -> Option<Topic> {
        let clock = self.shards.get(shard)?;
        Topic::ALL
            .into_iter()
            .zip(clock.inputs)
            .filter_map(|(topic, input)| Some((topic, input?)))
            .filter(|(_, input)| input.unread)
            .min_by_key(|(_, input)| input.newest)
            .map(|(topic, _)| topic)
    }

    /// The newest event time read from an input; what a checkpoint stores.
    pub fn newest(&self, shard: u32, topic: Topic) -> Option<Time> {
        let input = (*self.shards.get(shard)?.inputs.get(topic as usize)?)?;
        (input.newest > Time::MIN).then_some(input.newest)
    }
}

impl ShardClock {
    fn input(&mut self, topic: Topic) -> &mut Input {
        self.inputs[topic as usize].get_or_insert(Input { newest: Time::MIN, unread: false })
    }

    fn present(&self) -> impl Iterator<Item = &Input> {
        self.inputs.iter().flatten()
    }

    fn bring_up_to_date(&mut self) -> Time {
        let lowest_unread = self.present().filter(|input| input.unread).map(|input| input.newest).min();
        self.now = self.now.max(lowest_unread.unwrap_or_else(|| self.newest()));
        self.now
    }

    fn has_unread(&self) -> bool {
        self.present().any(|input| input.unread)
    }

    fn newest(&self) -> Time {
        self.present().map(|input| input.newest).max().unwrap_or(Time::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_shard_waits_for_its_slowest_input_with_unread_records() {
        let mut clocks = Clocks::new(&[0]);
        clocks.set_unread(0, Topic::Orders, true);
        clocks.set_unread(0, Topic::Logins, true);
        clocks.read(0, Topic::Logins, at(100));
        assert_eq!(clocks.shard_time(0), Time::MIN, "orders have not been read at all");
        assert_eq!(clocks.lowest(0), Some(Topic::Orders));
        clocks.read(0, Topic::Orders, at(40));
        assert_eq!(clocks.shard_time(0), at(40));
        clocks.set_unread(0, Topic::Orders, false);
        assert_eq!(clocks.shard_time(0), at(100), "an input that is read to its end holds nothing back");
    }

    #[test]
    fn time_runs_on_by_itself_only_when_everything_is_read() {
        let mut clocks = Clocks::new(&[0]);
        clocks.set_unread(0, Topic::Orders, true);
        clocks.read(0, Topic::Orders, at(10));
        clocks.idle(Span::from_secs(5));
        assert_eq!(clocks.shard_time(0), at(10));
        clocks.set_unread(0, Topic::Orders, false);
        clocks.idle(Span::from_secs(5));
        assert_eq!(clocks.shard_time(0), at(15));
        clocks.set_unread(0, Topic::Orders, true);
        clocks.read(0, Topic::Orders, at(12));
        assert_eq!(clocks.shard_time(0), at(15), "it never runs backward");
    }

    #[test]
    fn rules_that_span_shards_wait_for_the_slowest_one_that_is_not_at_its_end() {
        let mut clocks = Clocks::new(&[0, 1, 2]);
        for (shard, seconds) in [(0, 100), (1, 60)] {
            clocks.set_unread(shard, Topic::Orders, true);
            clocks.read(shard, Topic::Orders, at(seconds));
        }
        assert_eq!(clocks.scope_time(), at(60), "the empty shard 2 holds nothing back");
        clocks.set_unread(1, Topic::Orders, false);
        assert_eq!(clocks.scope_time(), at(100));
    }
}
