//! `new_term` at work: each event against what its subject has shown before, and again when an earlier one arrives.

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Symbol, TextField};
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, Table, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::stats::geodesy::Spot;
use crate::core::time::{Span, Time};

use super::known::{Bounds, Known, MOST_FIELDS, MOST_PLACES, MOST_TOGETHER, MOST_VALUES, Sighting, is_whole};
use super::{NewTerm, Novelty};

const SUBJECT: u8 = b's';
/// A place that is known no better than this says nothing of where somebody was: near everything, it would make all
/// known.
const VAGUE_KM: f64 = 200.0;

/// The state of a new-term rule in one shard.
#[derive(Debug)]
pub struct NewTermWatch {
    judge: Judge,
    subjects: Table<Known>,
    /// The sightings of the event at hand.
    seen: Vec<Sighting>,
    given_up: u64,
}

#[derive(Debug)]
struct Judge {
    settings: NewTerm,
    bounds: Bounds,
    /// The places that a new one is compared with.
    places: Vec<(Time, Spot)>,
}

impl NewTermWatch {
    pub fn new(settings: NewTerm, _grace: Span, _lateness: Span) -> Self {
        let (fields, values) = match &settings.of {
            Novelty::Values { fields, every: true } => {
                let fields = fields.len().clamp(1, MOST_FIELDS);
                (fields, MOST_VALUES.min(MOST_TOGETHER / fields))
            }
            Novelty::Values { every: false, .. } => (1, MOST_VALUES),
            Novelty::Place { last, .. } => (1, (*last).clamp(1, MOST_PLACES)),
        };
        let counts = matches!(settings.of, Novelty::Values { .. });
        let bounds = Bounds { window: settings.window, fields, values, counts };
        Self {
            judge: Judge { settings, bounds, places: Vec::new() },
            subjects: Table::default(),
            seen: Vec::new(),
            given_up: 0,
        }
    }

    /// Puts what the event shows into `seen`; false if it lacks what the rule looks at.
    fn see(&mut self, event: &Event<'_>) -> bool {
        self.seen.clear();
        let missing_fires = self.judge.settings.missing_fires;
        let elsewhere = self.judge.settings.is_elsewhere(event);
        match &self.judge.settings.of {
            Novelty::Place { radius_km, .. } => {
                let vague = radius_km.max(VAGUE_KM);
                let Some(place) = event.place.filter(|place| !elsewhere && place.accuracy_km <= vague) else {
                    return false;
                };
                let spot = Spot::new(place.latitude, place.longitude, place.accuracy_km);
                self.seen.push(Sighting::new(event.time, 0, spot.0));
            }
            Novelty::Values { fields, every } => {
                let mut combination = Symbol(0x77);
                for (position, field) in fields.iter().take(MOST_FIELDS).enumerate() {
                    let value =
                        if elsewhere && is_of_place(*field) { Symbol::MISSING } else { event.symbol(*field) };
                    if value == Symbol::MISSING && !missing_fires {
                        if !*every {
                            return false;
                        }
                        self.seen.push(Sighting::nothing(event.time, position));
                        continue;
                    }
                    combination = combination.with(value);
                    if *every {
                        self.seen.push(Sighting::new(event.time, position, value.0));
                    }
                }
                if !*every {
                    self.seen.push(Sighting::new(event.time, 0, combination.0));
                }
            }
        }
        !self.seen.iter().all(Sighting::is_nothing)
    }
}

const fn is_of_place(field: TextField) -> bool {
    use TextField::{GeoAsn, GeoCity, GeoCountry, GeoNetwork, GeoRegion};
    matches!(field, GeoCountry | GeoRegion | GeoCity | GeoAsn | GeoNetwork)
}

impl Judge {
    /// Whether the event whose sightings begin at `position` shows something new.
    fn novelty(&mut self, known: &Known, position: usize) -> Option<Evidence> {
        let event = known.sightings().get(position..position + self.bounds.fields)?;
        let time = event.first()?.time();
        if !is_whole(event) {
            return None;
        }
        let past = known.past(time, self.bounds);
        if !past.suffices(self.settings.min_history, time) {
            return None;
        }
        let window = self.settings.window;
        let samples = u64::from(past.events);
        match self.settings.of {
            Novelty::Values { .. } => {
                let is_known = |own: &Sighting| {
                    let same = |other: &Sighting| other.value == own.value && other.field() == own.field();
                    known.before(time, window).any(same)
                };
                if event.iter().any(is_known) {
                    return None;
                }
                Some(Evidence { value: 1.0, limit: 1.0, samples, approximate: false })
            }
            Novelty::Place { radius_km, .. } => {
                let here = event.first().map(|own| Spot(own.value))?;
                let nearest = self.nearest(known, here, time, radius_km)?;
                Some(Evidence { value: nearest, limit: radius_km, samples, approximate: false })
            }
        }
    }

    /// How far the nearest of the remembered places is at least; [`None`] if it is within the radius.
    fn nearest(&mut self, known: &Known, here: Spot, time: Time, radius_km: f64) -> Option<f64> {
        let before = || known.before(time, self.settings.window);
        // Most events come from a place that was seen before, which needs neither order nor trigonometry.
        let few = before().count() <= self.bounds.values;
        if few && before().any(|other| other.value == here.0) {
            return None;
        }
        let places = &mut self.places;
        places.clear();
        for sighting in known.before(time, self.settings.window) {
            let spot = Spot(sighting.value);
            match places.iter_mut().find(|(_, other)| *other == spot) {
                Some((seen, _)) => *seen = (*seen).max(sighting.time()),
                None => places.push((sighting.time(), spot)),
            }
        }
        places.sort_unstable_by(|one, other| other.cmp(one));
        places.truncate(self.bounds.values);
        let distance = |place: &(Time, Spot)| {
            let (_, place) = place;
            let slack = place.accuracy_km() + here.accuracy_km();
            if place.most_distance_km(here) - slack <= radius_km {
                0.0
            } else {
                place.least_distance_km(here)
            }
        };
        let nearest = places.iter().map(distance).fold(f64::INFINITY, f64::min);
        (nearest > radius_km).then_some(if nearest.is_finite() { nearest } else { 0.0 })
    }

    /// Judges the events from a position on and says what has changed.
    fn judge(&mut self, known: &mut Known, position: usize, subject: Symbol, out: &mut Vec<Judged>) {
        for at in (position..known.sightings().len()).step_by(self.bounds.fields) {
            let Some((since, was)) = known.sightings().get(at).map(|own| (own.time(), own.found())) else {
                break;
            };
            let novelty = self.novelty(known, at);
            if novelty.is_some() == was {
                continue;
            }
            known.set_found(at, novelty.is_some());
            if let Some(evidence) = novelty {
                out.push(Judged { subject, verdict: Verdict::Found { since, evidence } });
            } else if !known.sightings().iter().any(|own| own.time() == since && own.found()) {
                out.push(Judged { subject, verdict: Verdict::Withdrawn { since } });
            }
        }
    }
}

impl Watch for NewTermWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        if !starts || moment.late || !self.see(event) {
            return;
        }
        let (slot, _) = self.subjects.find_or_insert(subject);
        let Some(known) = self.subjects.change(slot) else { return };
        let bounds = self.judge.bounds;
        self.given_up += known.settle(moment.settled, bounds);
        let (position, given_up) = known.insert(&self.seen, bounds);
        self.given_up += given_up;
        self.judge.judge(known, position, subject, out);
    }

    fn sweep(&mut self, moment: Moment) {
        let (bounds, settled) = (self.judge.bounds, moment.settled);
        let mut given_up = 0;
        self.subjects.sweep(SWEPT_AT_LEAST, |_, known| {
            if known.newest() <= settled - bounds.window {
                return Keep::Forget;
            }
            let before = known.sightings().len();
            given_up += known.settle(settled, bounds);
            let changed = known.forget(settled, bounds.window) || known.sightings().len() < before;
            known.shrink();
            if changed { Keep::Changed } else { Keep::Unchanged }
        });
        self.given_up += given_up;
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.subjects.drain_changes(SUBJECT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&SUBJECT, key)) => self.subjects.restore(key, value).map(drop),
            _ => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        self.subjects.len()
    }

    fn bytes(&self) -> usize {
        self.subjects.bytes() + self.judge.places.capacity() * size_of::<(Time, Spot)>()
    }

    fn given_up(&self) -> u64 {
        self.given_up
    }
}
