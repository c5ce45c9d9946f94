//! When trouble began: the change point that explains the recent buckets best.
//!
//! With a share that was `healthy` before and is beyond the limit after, the likeliest change is where the sum of
//! (hits - middle × trials) from there to the present is largest, the middle being half way between the two. That is the
//! statistic of the CUSUM chart (Page 1954), read backward.

use super::Side;

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

/// The step at which trouble began that is found at `step`, looking back over twice the window. `seen` holds events by
/// step, later ones last; what is after `step` is not looked at.
pub fn onset(
    seen: impl DoubleEndedIterator<Item = Seen> + Clone,
    step: i64,
    window: i64,
    background: Background,
) -> i64 {
    let Background { limit, side, min_samples } = background;
    let recent = seen.filter(|seen| seen.step <= step && seen.step > step - 2 * window);
    let (mut among, mut of) = (0i64, 0i64);
    for bucket in recent.clone().filter(|bucket| bucket.step <= step - window) {
        among += i64::from(bucket.among);
        of += i64::from(bucket.of);
    }
    let nominal = match side {
        Side::Above => limit / 2.0,
        Side::Below => f64::midpoint(limit, 1.0),
    };
    let before = if among >= min_samples { of as f64 / among as f64 } else { nominal };
    let healthy = match side {
        Side::Above => before.min(limit),
        Side::Below => before.max(limit),
    };
    let middle = f64::midpoint(limit, healthy);
    let (mut sum, mut best, mut began) = (0.0, 0.0, step);
    for bucket in recent.rev() {
        let excess = f64::from(bucket.of) - middle * f64::from(bucket.among);
        sum += if side == Side::Above { excess } else { -excess };
        if sum > best {
            (best, began) = (sum, bucket.step);
        }
    }
    began
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: i64 = 60;

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
                    onset(seen.iter().copied(), 180, WINDOW, background),
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
        assert_eq!(onset(seen.iter().copied(), 180, WINDOW, background), 170);
        seen.retain(|bucket| bucket.step <= 180);
        assert_eq!(onset(seen.iter().copied(), 180, WINDOW, background), 170);
    }

    #[test]
    fn without_any_history_trouble_began_with_the_first_bad_bucket() {
        let background = Background { limit: 0.2, side: Side::Above, min_samples: 20 };
        let seen = [Seen { step: 175, among: 3, of: 0 }, Seen { step: 177, among: 9, of: 8 }];
        assert_eq!(onset(seen.into_iter(), 180, WINDOW, background), 177);
        assert_eq!(onset(std::iter::empty(), 180, WINDOW, background), 180);
    }
}
