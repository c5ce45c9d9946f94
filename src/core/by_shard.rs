//! One value per shard, found by its number without a search: shard numbers are partition numbers, few and dense.

/// Values by shard number, in the order of the numbers.
#[derive(Clone, Debug)]
pub struct ByShard<T>(Vec<Option<T>>);

impl<T> Default for ByShard<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByShard<T> {
    pub fn new(shards: &[u32], mut value: impl FnMut(u32) -> T) -> Self {
        let length = shards.iter().max().map_or(0, |highest| *highest as usize + 1);
        let mut values: Vec<Option<T>> = (0..length).map(|_| None).collect();
        for shard in shards {
            if let Some(place) = values.get_mut(*shard as usize) {
                *place = Some(value(*shard));
            }
        }
        Self(values)
    }

    #[inline]
    pub fn get(&self, shard: u32) -> Option<&T> {
        self.0.get(shard as usize)?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, shard: u32) -> Option<&mut T> {
        self.0.get_mut(shard as usize)?.as_mut()
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_number_and_gaps_hold_nothing() {
        let mut values = ByShard::new(&[5, 2], |shard| shard * 10);
        assert_eq!(
            (values.get(5), values.get(2), values.get(3), values.get(9)),
            (Some(&50), Some(&20), None, None)
        );
        values.values_mut().for_each(|value| *value += 1);
        assert_eq!(values.values().copied().collect::<Vec<_>>(), [21, 51]);
    }
}
