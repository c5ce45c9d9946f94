//! Who showed the symptom: for a bounded time a shard remembers the events of the kind that a scope rule counts, so that
//! when the trouble has a name its first victims, who met it before anybody could know, are found as well.
//!
//! An event is kept once, however many slices it belongs to, as packed facts. The latest [`KEPT`] are kept per rule and
//! shard; what is displaced before its time is counted. (An open incident hears of further victims as they come, so only
//! the time from the start of the trouble to its discovery must fit.)

use std::collections::{BTreeMap, VecDeque};

use compact_str::CompactString;

use super::encoding::{key, open, start};
use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Facts, Symbol, TextSet};
use crate::core::time::Time;

/// More symptoms than this displace the oldest.
const KEPT: usize = 16_384;
/// So many buffers of forgotten symptoms are kept for the next ones.
const SPARE: usize = 256;

/// The symptoms of one rule in one shard, in order of arrival.
#[derive(Debug, Default)]
pub struct Symptoms {
    kept: VecDeque<Symptom>,
    spare: Vec<Symptom>,
    next_number: u64,
    /// Stored symptoms that are gone since the last checkpoint.
    removed: Vec<u64>,
    displaced: u64,
}

#[derive(Debug, Default)]
struct Symptom {
    number: u64,
    time: Time,
    subjects: Vec<Symbol>,
    /// The facts, packed until somebody asks.
    packed: Vec<u8>,
    saved: bool,
}

impl Symptoms {
    /// Remembers an event that was a symptom of these subjects.
    pub fn record(&mut self, event: &Event<'_>, subjects: &[Symbol]) {
        if self.kept.len() >= KEPT {
            self.displaced += 1;
            self.forget_oldest();
        }
        let mut symptom = self.spare.pop().unwrap_or_default();
        symptom.number = self.next_number;
        symptom.time = event.time;
        symptom.saved = false;
        symptom.subjects.clear();
        symptom.subjects.extend_from_slice(subjects);
        pack(event, &mut symptom.packed);
        self.next_number += 1;
        self.kept.push_back(symptom);
    }

    /// The accounts that showed the symptom of a subject after this moment: each once, by its latest facts, in the order
    /// of their names.
    pub fn after(&self, subject: Symbol, since: Time) -> Vec<Facts> {
        let mut latest: BTreeMap<CompactString, Facts> = BTreeMap::new();
        for symptom in &self.kept {
            if symptom.time <= since || !symptom.subjects.contains(&subject) {
                continue;
            }
            let Ok(facts) = unpack(&symptom.packed) else { continue };
            let newer = latest.get(&facts.account_id).is_none_or(|known| known.time <= facts.time);
            if newer {
                latest.insert(facts.account_id.clone(), facts);
            }
        }
        latest.into_values().collect()
    }

    /// Forgets what is older than anybody will ask for.
    pub fn sweep(&mut self, horizon: Time) {
        while self.kept.front().is_some_and(|oldest| oldest.time < horizon) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.kept.pop_front() else { return };
        if oldest.saved {
            self.removed.push(oldest.number);
        }
        if self.spare.len() < SPARE {
            self.spare.push(oldest);
        }
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    pub fn bytes(&self) -> usize {
        let each: usize =
            self.kept.iter().map(|one| one.packed.capacity() + one.subjects.capacity() * 8).sum();
        each + self.kept.capacity() * size_of::<Symptom>()
    }

    /// Hands out what changed since the last call.
    pub fn drain_changes(&mut self, tag: u8, buffer: &mut Vec<u8>, sink: Sink<'_>) {
        for number in self.removed.drain(..) {
            sink(&key(tag, number), None);
        }
        let saved = self.kept.partition_point(|symptom| symptom.saved);
        for symptom in self.kept.iter_mut().skip(saved) {
            let mut writer = start(buffer);
            writer.signed(symptom.time.as_millis());
            writer.unsigned(symptom.subjects.len() as u64);
            symptom.subjects.iter().for_each(|subject| writer.symbol(*subject));
            writer.slice(&symptom.packed);
            symptom.saved = true;
            sink(&key(tag, symptom.number), Some(buffer));
        }
    }

    /// Puts one back. They may come in any order.
    pub fn restore(&mut self, number: u64, value: &[u8]) -> Result<(), CorruptState> {
        let mut reader = open(value)?;
        let time = Time::from_millis(reader.signed()?);
        let subjects = (0..reader.count()?).map(|_| reader.symbol()).collect::<Result<_, _>>()?;
        let packed = reader.slice()?.to_vec();
        reader.end()?;
        unpack(&packed)?;
        self.next_number = self.next_number.max(number.saturating_add(1));
        let position = self.kept.partition_point(|known| known.number < number);
        self.kept.insert(position, Symptom { number, time, subjects, packed, saved: true });
        Ok(())
    }
}

fn pack(event: &Event<'_>, buffer: &mut Vec<u8>) {
    Facts::encode_some(event, TextSet::ALL, &mut start(buffer));
}

fn unpack(packed: &[u8]) -> Result<Facts, CorruptState> {
    let mut reader = open(packed)?;
    let facts = Facts::decode(&mut reader)?;
    reader.end()?;
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{EventType, NumberField, TextField};

    const ALIPAY: Symbol = Symbol(11);
    const WECHAT: Symbol = Symbol(12);

    fn event(seconds: i64, account: &'static str) -> Event<'static> {
        let mut event = Event::new(EventType::OrderFailed, Time::from_millis(seconds * 1_000));
        event.set_text(TextField::AccountId, account.into());
        event.set_text(TextField::OrderId, format!("order-{seconds}").into());
        event.set_text(TextField::Extra3, "夏季".into());
        event.set_number(NumberField::Amount, "99.90".parse().unwrap());
        event
    }

    #[test]
    fn every_account_is_named_once_with_its_latest_facts() {
        let mut symptoms = Symptoms::default();
        for (seconds, account, subject) in
            [(10, "b", ALIPAY), (11, "a", ALIPAY), (12, "c", WECHAT), (14, "b", ALIPAY), (13, "b", ALIPAY)]
        {
            symptoms.record(&event(seconds, account), &[subject]);
        }
        let found = symptoms.after(ALIPAY, Time::from_millis(10_000));
        assert_eq!(found, [Facts::of(&event(11, "a")), Facts::of(&event(14, "b"))]);
        assert_eq!(symptoms.after(ALIPAY, Time::from_millis(14_000)), [], "it asks for what came after");
        assert_eq!(symptoms.after(WECHAT, Time::MIN).len(), 1);
    }

    #[test]
    fn at_the_bound_the_oldest_is_displaced_and_counted() {
        let mut symptoms = Symptoms::default();
        for seconds in 0..KEPT as i64 + 3 {
            symptoms.record(&event(seconds, "a"), &[ALIPAY]);
        }
        assert_eq!((symptoms.len(), symptoms.displaced()), (KEPT, 3));
        symptoms.sweep(Time::from_millis(KEPT as i64 * 1_000));
        assert_eq!(symptoms.len(), 3);
    }

    #[test]
    fn what_a_checkpoint_holds_is_what_was_kept() {
        let mut stored = BTreeMap::new();
        let mut symptoms = Symptoms::default();
        for seconds in 0..10 {
            symptoms.record(&event(seconds, "a"), &[ALIPAY, WECHAT]);
            if seconds % 4 == 0 {
                symptoms.sweep(Time::from_millis((seconds - 5) * 1_000));
                symptoms.drain_changes(3, &mut Vec::new(), &mut |key, value| {
                    match value {
                        Some(value) => stored.insert(key.to_vec(), value.to_vec()),
                        None => stored.remove(key),
                    };
                });
            }
        }
        let mut restored = Symptoms::default();
        for (key, value) in stored.iter().rev() {
            let (_, number) = super::super::encoding::parse_key(key).unwrap();
            restored.restore(number, value).unwrap();
        }
        let times =
            |symptoms: &Symptoms| symptoms.kept.iter().map(|one| one.time.as_millis()).collect::<Vec<_>>();
        assert_eq!(times(&restored), [3_000, 4_000, 5_000, 6_000, 7_000, 8_000]);
        assert_eq!(restored.after(WECHAT, Time::MIN), [Facts::of(&event(8, "a"))]);
        assert!(restored.next_number > restored.kept.back().unwrap().number);
    }
}
