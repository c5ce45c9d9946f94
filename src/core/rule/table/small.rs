//! A list that keeps its first few items in place, so that the state of an ordinary subject needs no memory of its own.

use std::ops::{Deref, DerefMut};

/// Up to `N` items in place, more on the heap.
#[derive(Clone, Debug)]
pub enum Small<T, const N: usize> {
    InPlace { length: u8, items: [T; N] },
    Heap(Vec<T>),
}

impl<T: Copy + Default, const N: usize> Default for Small<T, N> {
    fn default() -> Self {
        Self::InPlace { length: 0, items: [T::default(); N] }
    }
}

impl<T: Copy + Default, const N: usize> Small<T, N> {
    /// Puts an item before the one at `position`; at the end when there are fewer.
    pub fn insert(&mut self, position: usize, item: T) {
        if let Self::InPlace { length, items } = self {
            let filled = usize::from(*length);
            let position = position.min(filled);
            if let Some(tail) = items.get_mut(position..=filled) {
                tail.rotate_right(1);
                if let Some(first) = tail.first_mut() {
                    *first = item;
                }
                *length += 1;
                return;
            }
            // Twice as much, exactly: lists of busy subjects must not take up a power of two.
            let mut moved = Vec::with_capacity((2 * N).max(4));
            moved.extend_from_slice(items);
            *self = Self::Heap(moved);
        }
        if let Self::Heap(items) = self {
            if items.len() == items.capacity() {
                // No more room than a busy subject may cost; a list that is longer than any of them grows as lists do.
                let room = if items.len() < 256 { (items.len() / 2 + 1).min(16) } else { items.len() / 2 };
                items.reserve_exact(room);
            }
            items.insert(position.min(items.len()), item);
        }
    }

    pub fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    /// Drops the first `count` items.
    pub fn drop_front(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        match self {
            Self::InPlace { length, items } => {
                let filled = usize::from(*length);
                let count = count.min(filled);
                items.copy_within(count..filled, 0);
                *length = (filled - count) as u8;
            }
            Self::Heap(items) => {
                items.drain(..count.min(items.len()));
            }
        }
    }

    pub fn truncate(&mut self, count: usize) {
        match self {
            Self::InPlace { length, .. } => *length = usize::from(*length).min(count) as u8,
            Self::Heap(items) => items.truncate(count),
        }
    }

    pub fn remove(&mut self, position: usize) {
        let kept = self.len().saturating_sub(1);
        if let Some(tail) = self.get_mut(position..) {
            tail.rotate_left(1);
            self.truncate(kept);
        }
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = 0;
        for position in 0..self.len() {
            let Some(item) = self.get(position).copied() else { break };
            if keep(&item) {
                if let Some(place) = self.get_mut(kept) {
                    *place = item;
                }
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    /// Gives memory on the heap back where there is room in place.
    pub fn shrink(&mut self) {
        let Self::Heap(heap) = self else { return };
        if heap.len() > N {
            return;
        }
        let mut items = [T::default(); N];
        for (place, item) in items.iter_mut().zip(heap.iter()) {
            *place = *item;
        }
        *self = Self::InPlace { length: heap.len() as u8, items };
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::InPlace { .. } => 0,
            Self::Heap(items) => items.capacity() * size_of::<T>(),
        }
    }
}

impl<T, const N: usize> Deref for Small<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::InPlace { length, items } => items.get(..usize::from(*length)).unwrap_or_default(),
            Self::Heap(items) => items,
        }
    }
}

impl<T, const N: usize> DerefMut for Small<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::InPlace { length, items } => items.get_mut(..usize::from(*length)).unwrap_or_default(),
            Self::Heap(items) => items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_like_a_list_in_place_and_on_the_heap() {
        let mut small = Small::<u32, 3>::default();
        let mut plain = Vec::new();
        // A fixed walk through all operations, at lengths on both sides of the room in place.
        for step in 0_u32..2_000 {
            let position = (step as usize * 7) % (plain.len() + 1);
            match step % 11 {
                0..=5 => {
                    small.insert(position, step);
                    plain.insert(position, step);
                }
                6 if step % 22 == 6 => {
                    small.drop_front(position);
                    plain.drain(..position);
                }
                7 if position < plain.len() => {
                    small.remove(position);
                    plain.remove(position);
                }
                8 if step % 33 == 8 => {
                    small.retain(|item| item % 3 != 0);
                    plain.retain(|item| item % 3 != 0);
                }
                9 if step % 5 == 0 => {
                    small.truncate(position);
                    plain.truncate(position);
                }
                _ => small.shrink(),
            }
            assert_eq!(&*small, plain.as_slice(), "step {step}");
        }
    }

    #[test]
    fn it_gives_memory_back_once_its_items_fit_in_place() {
        let mut small = Small::<u64, 2>::default();
        (0..5).for_each(|item| small.push(item));
        assert!(small.heap_bytes() >= 40);
        small.drop_front(3);
        small.shrink();
        assert_eq!((small.heap_bytes(), &*small), (0, &[3, 4][..]));
    }
}
