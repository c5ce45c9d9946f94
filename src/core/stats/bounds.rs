//! How many hits among n trials show, at a confidence, that the true share is beyond a limit.
//!
//! The test is the exact one-sided binomial test: with `n` trials and a true share of exactly the limit, `k` or more hits
//! have a probability of at most `1 - confidence`. That is the same as a Clopper-Pearson lower bound at or above the
//! limit. The smallest such `k` is tabled for each `n` when a rule loads, so that judging is one lookup.
//!
//! Up to [`EXACT`] trials the table is exact. Beyond it, it holds a grid that grows by a sixteenth, and a count between two
//! grid points must have the *share* that the lower point requires (with one hit on top, for the lattice). The share that
//! is required falls as trials grow, so this errs on the side of silence, by at most a thirtieth of the margin between
//! limit and required share. Beyond [`GRID_END`] trials the required share no longer falls.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use statrs::function::beta::beta_reg;
use statrs::function::factorial::ln_binomial;

/// Up to this many trials each has its own exact entry.
const EXACT: u64 = 4_096;
/// The last point of the grid.
const GRID_END: u64 = 65_536;
/// The recurrence is anchored to the incomplete beta function this often, so that rounding can't add up.
const ANCHOR: u64 = 256;
/// A tail this much heavier than the allowed error (relatively) still counts as equal to it, since both are rounded.
const ROUNDING: f64 = 1e-9;

/// The critical counts of one limit at one confidence.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalCounts {
    limit: Decimal,
    /// Index `n`: the smallest count that is beyond the limit; `n + 1` where none is. Empty when the raw share is judged.
    exact: Box<[u16]>,
    /// Trials and their critical count, from [`EXACT`] on.
    grid: Box<[(u64, u64)]>,
}

impl CriticalCounts {
    /// Tables the counts at which a share is shown to be above `limit`. A confidence of 0 judges the raw share.
    pub fn above(limit: Decimal, confidence: Decimal) -> Self {
        let mut counts = Self { limit, exact: Box::new([]), grid: Box::new([]) };
        let share = limit.to_f64().unwrap_or(1.0);
        let error = (Decimal::ONE - confidence).to_f64().unwrap_or(0.0);
        if confidence <= Decimal::ZERO || share <= 0.0 || share >= 1.0 {
            return counts;
        }
        let mut tail = Tail::new(share);
        let mut exact = vec![1];
        let mut grid = Vec::new();
        let mut next_point = EXACT;
        while tail.trials < GRID_END {
            tail.add_trial();
            if tail.trials <= EXACT && tail.trials.is_multiple_of(ANCHOR) {
                tail.anchor();
            }
            tail.raise_until(error);
            if tail.trials <= EXACT {
                exact.push(u16::try_from(tail.count).unwrap_or(u16::MAX));
            }
            if tail.trials == next_point {
                grid.push((tail.trials, tail.count));
                next_point += next_point / 16;
            }
        }
        counts.exact = exact.into();
        counts.grid = grid.into();
        counts
    }

    /// The smallest count among `trials` that is beyond the limit; more than `trials` when no count is. A raw share that
    /// is not itself beyond the limit never suffices, however low the confidence.
    pub fn required(&self, trials: u64) -> u64 {
        self.required_by_bound(trials).max(self.required_by_share(trials))
    }

    fn required_by_bound(&self, trials: u64) -> u64 {
        if let Some(count) = usize::try_from(trials).ok().and_then(|index| self.exact.get(index)) {
            return u64::from(*count);
        }
        let point = self.grid.partition_point(|(point, _)| *point <= trials).checked_sub(1);
        let Some((point, count)) = point.and_then(|index| self.grid.get(index)) else { return 0 };
        let scaled = u128::from(trials) * u128::from(count + 1);
        u64::try_from(scaled.div_ceil(u128::from(*point))).unwrap_or(u64::MAX)
    }

    /// The smallest count whose share of `trials` is more than the limit.
    pub fn required_by_share(&self, trials: u64) -> u64 {
        let product = self.limit.checked_mul(Decimal::from(trials)).unwrap_or(Decimal::MAX);
        product.floor().to_u64().map_or(u64::MAX, |whole| whole.saturating_add(1))
    }
}

/// The upper tail of a binomial distribution, walked along its critical count: P(X ≥ count) for `trials` trials.
struct Tail {
    share: f64,
    trials: u64,
    count: u64,
    /// P(X ≥ count).
    tail: f64,
    /// P(X = count - 1), which the next trial adds to the tail, times `share`.
    mass_below: f64,
}

impl Tail {
    fn new(share: f64) -> Self {
        Self { share, trials: 0, count: 1, tail: 0.0, mass_below: 1.0 }
    }

    fn add_trial(&mut self) {
        self.tail += self.share * self.mass_below;
        self.trials += 1;
        let failures = (self.trials + 1 - self.count) as f64;
        self.mass_below *= (1.0 - self.share) * self.trials as f64 / failures;
    }

    /// Raises the count until the tail is no heavier than `error`, or no count among the trials is left.
    fn raise_until(&mut self, error: f64) {
        while self.tail > error * (1.0 + ROUNDING) && self.count <= self.trials {
            let failures = (self.trials + 1 - self.count) as f64;
            let mass = self.mass_below * failures * self.share / (self.count as f64 * (1.0 - self.share));
            self.tail = (self.tail - mass).max(0.0);
            self.mass_below = mass;
            self.count += 1;
        }
    }

    /// Replaces what the recurrence has carried along by what the special functions say.
    fn anchor(&mut self) {
        if self.count > self.trials {
            return;
        }
        let (below, failures) = ((self.count - 1) as f64, (self.trials + 1 - self.count) as f64);
        self.tail = beta_reg(self.count as f64, failures, self.share);
        let ways = ln_binomial(self.trials, self.count - 1);
        self.mass_below = (ways + below * self.share.ln() + failures * (-self.share).ln_1p()).exp();
    }
}

#[cfg(test)]
mod tests;
