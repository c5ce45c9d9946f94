//! When trouble began: the change point that explains the recent buckets best.
//!
//! With a share of p before and of q after, the likeliest change is where the sum of (hits - r × trials) from there to the
//! present is largest, r being the share at which both are equally likely. That is the statistic of the CUSUM chart (Page
//! 1954), read backward. p is what the buckets before the window show; q is not known, so a first pass takes the limit
//! for it, and a second one the share that the first has found.

use super::Side;
use super::steps::Steps;

/// The events that entered at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub step: i64,
    pub among: u32,
    pub of: u32,
}

/// What the change is sought against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Background {
    pub limit: f64,
    pub side: Side,
    /// So many events make a share before the window worth believing.
    pub min_samples: i64,
}

/// The step at which trouble began that is found at `step`. `seen` holds events by step, later ones last; what is after
/// `step` is not looked at.
pub fn onset(
    seen: impl DoubleEndedIterator<Item = Seen> + Clone,
    step: i64,
    steps: Steps,
    background: Background,
) -> i64 {
    // Trouble below a limit is trouble above its mirror image.
    let (limit, mirrored) = match background.side {
        Side::Above => (background.limit, false),
        Side::Below => (1.0 - background.limit, true),
    };
    let buckets =
        seen.filter(|seen| seen.step <= step && seen.step > step - steps.lookback()).map(|seen| Bucket {
            step: seen.step,
            trials: f64::from(seen.among),
            hits: f64::from(if mirrored { seen.among.saturating_sub(seen.of) } else { seen.of }),
        });
    let earlier = buckets.clone().filter(|bucket| bucket.step <= step - steps.window());
    let (hits, trials) = sum(earlier);
    let healthy =
        if trials >= background.min_samples as f64 { (hits / trials).min(limit) } else { limit / 2.0 };
    let first = change(buckets.clone(), step, indifferent(healthy, limit));
    let (hits, trials) = sum(buckets.clone().filter(|bucket| bucket.step >= first));
    let ill = (hits / trials.max(1.0)).max(limit);
    change(buckets, step, indifferent(healthy, ill))
}

#[derive(Clone, Copy)]
struct Bucket {
    step: i64,
    trials: f64,
    hits: f64,
}

fn sum(buckets: impl Iterator<Item = Bucket>) -> (f64, f64) {
    buckets.fold((0.0, 0.0), |(hits, trials), bucket| (hits + bucket.hits, trials + bucket.trials))
}

/// The bucket from which on the excess of hits over a share is largest; `step` where there is none.
fn change(buckets: impl DoubleEndedIterator<Item = Bucket>, step: i64, share: f64) -> i64 {
    let (mut sum, mut best, mut began) = (0.0, 0.0, step);
    for bucket in buckets.rev() {
        sum += bucket.hits - share * bucket.trials;
        if sum > best {
            (best, began) = (sum, bucket.step);
        }
    }
    began
}

/// The share that is as likely under the one as under the other.
fn indifferent(healthy: f64, ill: f64) -> f64 {
    let (healthy, ill) = (healthy.clamp(0.001, 0.998), ill.clamp(0.002, 0.999));
    if ill - healthy < 0.001 {
        return f64::midpoint(healthy, ill);
    }
    let miss = ((1.0 - healthy) / (1.0 - ill)).ln();
    miss / (miss + (ill / healthy).ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rule::scope::steps::Edge;
    use crate::core::time::Span;

    fn window() -> Steps {
        Steps::new(Span::from_mins(5), Edge::Through)
    }

    fn share(change: i64, before: f64, after: f64) -> Vec<Seen> {
        let bucket = |step: i64| {
            let share = if step < change { before } else { after };
            Seen { step, among: 20, of: (20.0 * share).round() as u32 }
        };
        (0..200).map(bucket).collect()
    }

    #[test]
    fn the_step_at_which_the_share_changed_is_found() {
        for (limit, side, before, after) in
            [(0.2, Side::Above, 0.05, 0.8), (0.2, Side::Above, 0.0, 0.3), (0.8, Side::Below, 0.95, 0.5)]
        {
            let background = Background { limit, side, min_samples: 20 };
            for change in [120, 150, 170] {
                let seen = share(change, before, after);
                assert_eq!(
                    onset(seen.iter().copied(), 180, window(), background),
                    change,
                    "{before} to {after}"
                );
            }
        }
    }

    #[test]
    fn later_events_than_the_finding_and_gaps_do_not_matter() {
        let background = Background { limit: 0.2, side: Side::Above, min_samples: 20 };
        let mut seen = share(170, 0.05, 0.8);
        seen.retain(|bucket| bucket.step % 3 != 0);
        assert_eq!(onset(seen.iter().copied(), 180, window(), background), 170);
        seen.retain(|bucket| bucket.step <= 180);
        assert_eq!(onset(seen.iter().copied(), 180, window(), background), 170);
    }

    #[test]
    fn without_any_history_trouble_began_with_the_first_bad_bucket() {
        let background = Background { limit: 0.2, side: Side::Above, min_samples: 20 };
        let seen = [Seen { step: 175, among: 3, of: 0 }, Seen { step: 177, among: 9, of: 8 }];
        assert_eq!(onset(seen.into_iter(), 180, window(), background), 177);
        assert_eq!(onset(std::iter::empty(), 180, window(), background), 180);
    }
}
