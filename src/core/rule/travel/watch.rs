//! `travel` at work: each login against the one before it, and again when one arrives that lies between them.

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Symbol, TextField};
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, Table, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::stats::geodesy::FARTHEST_KM;
use crate::core::time::Span;

use super::Travel;
use super::history::{Login, Logins, REGULAR_DAYS};

const ACCOUNT: u8 = b's';

/// The state of a travel rule in one shard.
#[derive(Debug)]
pub struct TravelWatch {
    settings: Travel,
    forgotten_after: Span,
    accounts: Table<Logins>,
    given_up: u64,
}

impl TravelWatch {
    pub fn new(settings: Travel, _grace: Span, _lateness: Span) -> Self {
        let forgotten_after = settings.forgotten_after();
        Self { settings, forgotten_after, accounts: Table::default(), given_up: 0 }
    }
}

impl Travel {
    /// After this time no last place makes anything impossible, and no place is regular.
    pub fn forgotten_after(&self) -> Span {
        let regular = Span::from_mins((REGULAR_DAYS + 1) * 24 * 60);
        let longest_hours = (FARTHEST_KM / self.faster_than_kmh.max(1e-3)).min(1e6);
        regular.max(Span::from_millis((longest_hours * 3_600_000.0) as i64 + 1))
    }
}

/// The speed in km/h that the way from one login to the next takes at least, if that is more than anybody has.
fn impossible_speed(settings: &Travel, before: &Login, login: &Login) -> Option<f64> {
    if before.spot.is_at(login.spot) || before.is_same_source(login) || before.is_of_other_edition(login) {
        return None;
    }
    let hours = login.time().since(before.time()).as_secs_f64().max(1.0) / 3_600.0;
    // Most pairs are near or long ago; they are told apart without trigonometry.
    let most = before.spot.most_distance_km(login.spot).min(FARTHEST_KM);
    if most < settings.further_than_km || most <= settings.faster_than_kmh * hours {
        return None;
    }
    let distance = before.spot.least_distance_km(login.spot);
    let speed = distance / hours;
    (distance >= settings.further_than_km && speed > settings.faster_than_kmh).then_some(speed)
}

/// Judges the logins from a position on and says what has changed.
fn judge(settings: &Travel, logins: &mut Logins, position: usize, subject: Symbol, out: &mut Vec<Judged>) {
    for at in position.max(1)..logins.list().len() {
        let [before, login] = logins.list().get(at - 1..=at).unwrap_or_default() else { break };
        let (time, was) = (login.time(), login.found());
        let speed = impossible_speed(settings, before, login).filter(|_| !logins.is_regular(at));
        if speed.is_some() == was {
            continue;
        }
        if let Some(login) = logins.list_mut().get_mut(at) {
            login.set_found(speed.is_some());
        }
        if let Some(value) = speed {
            let limit = settings.faster_than_kmh;
            let evidence = Evidence { value, limit, samples: 2, approximate: false };
            out.push(Judged { subject, verdict: Verdict::Found { since: time, evidence } });
        } else if !logins.list().iter().any(|login| login.time() == time && login.found()) {
            out.push(Judged { subject, verdict: Verdict::Withdrawn { since: time } });
        }
    }
}

impl Watch for TravelWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        if !starts || moment.late {
            return;
        }
        let Some(place) = event.place else { return };
        if self.settings.ignore_networks.contains(&event.symbol(TextField::GeoNetwork)) {
            return;
        }
        let (slot, _) = self.accounts.find_or_insert(subject);
        let Some(logins) = self.accounts.change(slot) else { return };
        logins.settle(moment.settled);
        let (position, full) = logins.insert(Login::new(event, place));
        self.given_up += u64::from(full);
        judge(&self.settings, logins, position, subject, out);
    }

    fn sweep(&mut self, moment: Moment) {
        let forgotten = moment.settled - self.forgotten_after;
        self.accounts.sweep(SWEPT_AT_LEAST, |_, logins| {
            if logins.newest() < forgotten {
                return Keep::Forget;
            }
            if logins.settle(moment.settled) { Keep::Changed } else { Keep::Unchanged }
        });
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.accounts.drain_changes(ACCOUNT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&ACCOUNT, key)) => self.accounts.restore(key, value).map(drop),
            _ => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        self.accounts.len()
    }

    fn bytes(&self) -> usize {
        self.accounts.bytes()
    }

    fn given_up(&self) -> u64 {
        self.given_up
    }
}
