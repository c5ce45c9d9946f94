//! Chance that is the same for the same seed on every run: one stream of numbers per purpose, account and slot of time,
//! so that one customer's luck never shifts another's.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::core::time::Span;

/// What a stream of random numbers is for; each purpose has streams of its own.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Profile = 1,
    Plan = 2,
    Orders = 3,
    Logins = 4,
    Arrival = 5,
    Customers = 6,
    Earlier = 7,
}

/// A source of random numbers.
#[derive(Clone, Debug)]
pub struct Dice {
    rng: ChaCha8Rng,
}

impl Dice {
    pub fn new(seed: u64, purpose: Purpose, first: u64, second: u64) -> Self {
        let mut key = [0_u8; 32];
        let words = [seed, purpose as u64, first, second];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self { rng: ChaCha8Rng::from_seed(key) }
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in [0, bound); 0 when the bound is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.unit() * f64::from(bound)) as u32
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A heavy tail: never below `least`, above `x` with probability `(least / x)^alpha`.
    pub fn pareto(&mut self, least: f64, alpha: f64) -> f64 {
        least / (1.0 - self.unit()).powf(1.0 / alpha)
    }

    pub fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u32;
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// An index, each with a probability in proportion to its weight; 0 where there is nothing to choose from.
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut rest = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (index, weight) in weights.enumerate() {
            if weight > 0.0 {
                last = index;
                if rest < weight {
                    return index;
                }
                rest -= weight;
            }
        }
        last
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len() as u32) as usize).copied()
    }

    /// A span of so many seconds, to the millisecond.
    pub fn seconds(&mut self, low: f64, high: f64) -> Span {
        span_of_seconds(self.between(low, high))
    }
}

pub fn span_of_seconds(seconds: f64) -> Span {
    Span::from_millis((seconds * 1_000.0) as i64)
}

pub fn span_of_minutes(minutes: f64) -> Span {
    span_of_seconds(minutes * 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dice() -> Dice {
        Dice::new(7, Purpose::Plan, 0, 0)
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_purpose_gives_others() {
        let first: Vec<u32> = (0..5)
            .map({
                let mut dice = dice();
                move |_| dice.below(1_000)
            })
            .collect();
        let again: Vec<u32> = (0..5)
            .map({
                let mut dice = dice();
                move |_| dice.below(1_000)
            })
            .collect();
        let mut other = Dice::new(7, Purpose::Orders, 0, 0);
        let other: Vec<u32> = (0..5).map(|_| other.below(1_000)).collect();
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    #[test]
    fn the_distributions_have_the_means_that_they_promise() {
        let mut dice = dice();
        let mean = |values: &mut dyn FnMut() -> f64| (0..40_000).map(|_| values()).sum::<f64>() / 40_000.0;
        let cases: [(&str, f64, f64); 5] = [
            ("unit", mean(&mut || dice.unit()), 0.5),
            ("exponential", mean(&mut || dice.exponential(3.0)), 3.0),
            ("small poisson", mean(&mut || f64::from(dice.poisson(0.7))), 0.7),
            ("large poisson", mean(&mut || f64::from(dice.poisson(50.0))), 50.0),
            ("pareto", mean(&mut || dice.pareto(1.0, 3.0)), 1.5),
        ];
        for (name, found, expected) in cases {
            assert!((found - expected).abs() < 0.03 * expected, "{name}: {found}, expected {expected}");
        }
    }

    #[test]
    fn a_weight_of_nothing_is_never_chosen() {
        let mut dice = dice();
        for _ in 0..1_000 {
            assert_eq!(dice.weighted([0.0, 2.0, 0.0].into_iter()), 1);
        }
    }
}
