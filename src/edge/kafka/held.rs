//! Where records wait: whole, in the order in which they came, without an allocation of their own.
//!
//! In a backlog nearly every record waits for other partitions for a moment. What waits is copied into blocks that are
//! filled one after the other and given back when they are read; a record that is larger than a block has one of its
//! size.

use std::collections::VecDeque;

use super::align::Record;
use crate::core::event::Topic;
use crate::core::time::Time;

/// Some hundred ordinary records.
const BLOCK_BYTES: usize = 64 << 10;
/// Empty blocks that are kept for the next records.
const MOST_SPARE: usize = 64;
/// What a held record costs beside its bytes.
const RECORD_BYTES: usize = size_of::<Held>();

/// The waiting records of one input.
#[derive(Debug, Default)]
pub struct HeldRecords {
    records: VecDeque<Held>,
    /// What the records consist of; the first block belongs to the first record.
    blocks: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// Blocks that are empty at the moment, shared by the inputs of a worker.
#[derive(Debug, Default)]
pub struct SpareBlocks(Vec<Vec<u8>>);

/// One record: where it lies, and the lengths of its parts, which follow each other there.
#[derive(Clone, Copy, Debug)]
struct Held {
    offset: i64,
    timestamp: Option<Time>,
    start: u32,
    /// Key, payload, attributes; [`ABSENT`] for what the record lacks.
    lengths: [u32; 8],
    /// It is the first one in its block.
    opens_block: bool,
}

const ABSENT: u32 = u32::MAX;

impl HeldRecords {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What the waiting records take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, record: &Record<'_>, spare: &mut SpareBlocks) {
        let [id, event_type, time, source, spec_version, content_type] = record.attributes;
        let parts = [record.key, record.payload, id, event_type, time, source, spec_version, content_type];
        let length: usize = parts.iter().flatten().map(|part| part.len()).sum();
        let opens_block = self.blocks.back().is_none_or(|block| block.len() + length > block.capacity());
        if opens_block {
            self.blocks.push_back(spare.take(length));
        }
        let Some(block) = self.blocks.back_mut() else { return };
        let start = block.len() as u32;
        let lengths = parts.map(|part| part.map_or(ABSENT, |part| part.len() as u32));
        for part in parts.into_iter().flatten() {
            block.extend_from_slice(part);
        }
        self.bytes += RECORD_BYTES + length;
        let Record { offset, timestamp, .. } = *record;
        self.records.push_back(Held { offset, timestamp, start, lengths, opens_block });
    }

    /// The record that waits longest, of the input that is named.
    pub fn first(&self, topic: Topic, partition: u32, shard: u32) -> Option<Record<'_>> {
        let held = self.records.front()?;
        let mut rest = self.blocks.front()?.get(held.start as usize..)?;
        let next = |length: u32| {
            let (part, after) = rest.split_at_checked(length as usize)?;
            rest = after;
            Some(part)
        };
        let [key, payload, attributes @ ..] = held.lengths.map(next);
        Some(Record {
            topic,
            partition,
            shard,
            offset: held.offset,
            timestamp: held.timestamp,
            key,
            payload,
            attributes,
        })
    }

    /// Forgets the record that waited longest. Returns what it took.
    pub fn pop(&mut self, spare: &mut SpareBlocks) -> usize {
        let Some(held) = self.records.pop_front() else { return 0 };
        if self.records.front().is_none_or(|next| next.opens_block)
            && let Some(block) = self.blocks.pop_front()
        {
            spare.give(block);
        }
        let length = held.lengths.iter().filter(|length| **length != ABSENT).map(|length| *length as usize);
        let bytes = RECORD_BYTES + length.sum::<usize>();
        self.bytes -= bytes;
        bytes
    }

    pub fn clear(&mut self, spare: &mut SpareBlocks) {
        self.records.clear();
        self.bytes = 0;
        self.blocks.drain(..).for_each(|block| spare.give(block));
    }
}

impl SpareBlocks {
    fn take(&mut self, length: usize) -> Vec<u8> {
        if length > BLOCK_BYTES {
            return Vec::with_capacity(length);
        }
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES))
    }

    fn give(&mut self, mut block: Vec<u8>) {
        if self.0.len() < MOST_SPARE && block.capacity() == BLOCK_BYTES {
            block.clear();
            self.0.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::core::tests::seeded;
    use proptest::prelude::*;

    use super::*;

    type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, [Option<Vec<u8>>; 6]);

    fn record(owned: &Owned) -> Record<'_> {
        let (offset, key, payload, attributes) = owned;
        Record {
            topic: Topic::Orders,
            partition: 3,
            shard: 3,
            offset: *offset,
            timestamp: (offset % 2 == 0).then(|| Time::from_millis(offset * 10)),
            key: key.as_deref(),
            payload: payload.as_deref(),
            attributes: attributes.each_ref().map(Option::as_deref),
        }
    }

    fn owned() -> impl Strategy<Value = Owned> {
        let bytes = |most: usize| prop::option::of(prop::collection::vec(any::<u8>(), 0..most));
        let large = (0..3 * BLOCK_BYTES).prop_map(|length| Some(vec![7; length]));
        let payload = prop_oneof![9 => bytes(400), 1 => large];
        let header = || prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..8));
        (any::<u16>(), bytes(20), payload, std::array::from_fn(|_| header()))
            .prop_map(|(offset, key, payload, attributes)| (i64::from(offset), key, payload, attributes))
    }

    proptest! {
        #![proptest_config(seeded(ProptestConfig::default()))]

        #[test]
        fn records_come_out_whole_and_in_order(
            steps in prop::collection::vec(prop::option::weighted(0.6, owned()), 1..200),
        ) {
            let (mut held, mut spare) = (HeldRecords::default(), SpareBlocks::default());
            let mut model: VecDeque<Owned> = VecDeque::new();
            for step in steps {
                match step {
                    Some(owned) => {
                        held.push(&record(&owned), &mut spare);
                        model.push_back(owned);
                    }
                    None => {
                        let expected = model.pop_front();
                        let first = held.first(Topic::Orders, 3, 3);
                        prop_assert_eq!(first, expected.as_ref().map(record));
                        held.pop(&mut spare);
                    }
                }
                prop_assert_eq!(held.len(), model.len());
                prop_assert_eq!(held.bytes() == 0, model.is_empty());
                prop_assert!(spare.0.iter().all(|block| block.is_empty() && block.capacity() == BLOCK_BYTES));
            }
            held.clear(&mut spare);
            prop_assert_eq!((held.bytes(), held.blocks.len()), (0, 0));
        }
    }
}
