//! The world of the demonstration: one busy evening with a few planted problems in a fixed order, so that there is
//! something to see from the first seconds on. Whoever stays longer meets what the seed has drawn.

use std::collections::BTreeSet;

use crate::core::time::{Span, Time};

use super::Settings;
use super::accounts::{Account, Trip};
use super::arrival::Arrival;
use super::look_alikes::{LookAlikes, OwnFaults, Promotion};
use super::places::CITIES_AT_HOME;
use super::plan::orders_per_minute;
use super::trouble::{Plan, Planted, Trouble};
use super::world::World;

/// Friday 2026-10-09, eight o'clock in the evening in Shanghai.
const OPENING: Time = Time::from_millis(1_791_547_200_000);
/// The platform has been open before, so that what was ordered then is still delivered when the evening begins.
const BEFORE: Span = Span::from_mins(60);
const ACCOUNTS: u32 = 40_000;
/// How many days back the platform knows the logins of those who will be looked at.
const DAYS_KNOWN: u32 = 5;
const ALIPAY: u8 = 0;
const JDPAY: u8 = 3;
const GUANGDONG: u8 = 0;
const TOKYO: u8 = 24;
const BUCHAREST: u8 = 41;

/// What the demonstration plays, and the roles in it.
#[derive(Debug)]
pub struct Stage {
    pub world: World,
    /// Logins of the days before, for those whose habits matter.
    pub earlier: Vec<Arrival>,
    pub roles: Roles,
    /// What happens before is part of the world but not of the evening.
    pub opening: Time,
}

/// The accounts that the look-alikes are told of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roles {
    pub wrong_passwords: u32,
    pub traveller: u32,
    pub tunnel: u32,
    intruded: u32,
    refused: u32,
    lost: u32,
}

impl Stage {
    pub fn new(seed: u64, length: Span) -> Self {
        let settings = Settings {
            seed,
            start: OPENING - BEFORE,
            length: BEFORE + length,
            accounts: ACCOUNTS,
            clean: false,
        };
        let mut accounts: Vec<Account> = (0..ACCOUNTS).map(|id| Account::new(&settings, id)).collect();
        let roles = Roles::cast(&accounts, seed);
        let at = |minutes: f64| OPENING + Span::from_millis((minutes * 60_000.0) as i64);
        if let Some(traveller) = accounts.get_mut(roles.traveller as usize) {
            traveller.trip = Some(Trip {
                city: TOKYO,
                leaves: at(-560.0),
                arrives: at(-40.0),
                leaves_again: at(4_000.0),
                back: at(4_500.0),
            });
        }
        let mut planted = script(&roles, at);
        planted.extend(encore(&settings, &accounts, &planted));
        planted.retain(|planted| planted.from < settings.end());
        let mut look_alikes = LookAlikes::draw(&settings, &accounts, orders_per_minute(&accounts));
        look_alikes.promotions =
            vec![Promotion { from: at(10.0), to: at(46.0), products: [0, 10], times: 5.0 }];
        let row = OwnFaults { from: at(5.0), tries: 6, password: true };
        look_alikes.own_faults.insert(roles.wrong_passwords, vec![row]);
        look_alikes.logins.insert(roles.traveller, vec![at(8.0)]);
        look_alikes.logins.insert(roles.tunnel, vec![at(7.0), at(7.6), at(8.3), at(9.0)]);
        let known = BTreeSet::from([roles.traveller, roles.tunnel, roles.intruded]);
        let known: BTreeSet<u32> = known.into_iter().chain(intruded_later(&planted)).collect();
        let world = World::staged(settings, accounts, Plan::new(planted), look_alikes, known.clone());
        let earlier = world.earlier_logins(&known, DAYS_KNOWN);
        Self { world, earlier, roles, opening: OPENING }
    }
}

fn script(roles: &Roles, at: impl Fn(f64) -> Time) -> Vec<Planted> {
    let outage = Trouble::Outage { channel: ALIPAY, region: Some(GUANGDONG), share: 0.72 };
    let refusal = Trouble::Refusal { account: roles.refused, tries: 5, minutes: 6.0 };
    let intrusion =
        Trouble::Intrusion { account: roles.intruded, city: BUCHAREST, fast: true, hosting: false };
    [
        (outage, 2.0, 24.0),
        (Trouble::Loss { account: roles.lost }, 6.0, 246.0),
        (intrusion, 16.0, 256.0),
        (refusal, 22.0, 28.0),
        (Trouble::Silence { channel: JDPAY }, 30.0, 58.0),
    ]
    .into_iter()
    .map(|(trouble, from, to)| Planted::steady(trouble, at(from), at(to)))
    .collect()
}

/// What comes after the script, for as long as the world lasts.
fn encore(settings: &Settings, accounts: &[Account], script: &[Planted]) -> Vec<Planted> {
    let script_takes = Span::from_mins(65);
    let start = OPENING + script_takes;
    if settings.end() <= start {
        return vec![];
    }
    let rest = Settings { start, length: settings.end().since(start), ..*settings };
    let taken = |planted: &Planted| {
        script.iter().any(|scripted| {
            let (one, other) = (planted.trouble.subject(), scripted.trouble.subject());
            one.get("account_id").is_some_and(|account| other.get("account_id") == Some(account))
        })
    };
    Plan::draw(&rest, accounts).planted.into_iter().filter(|planted| !taken(planted)).collect()
}

fn intruded_later(planted: &[Planted]) -> impl Iterator<Item = u32> {
    planted.iter().filter_map(|planted| match planted.trouble {
        Trouble::Intrusion { account, .. } | Trouble::Takeover { account, .. } => Some(account),
        _ => None,
    })
}

impl Roles {
    /// Ordinary people for every role, each another one.
    fn cast(accounts: &[Account], seed: u64) -> Self {
        let start = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % accounts.len().max(1);
        let mut people = accounts.iter().cycle().skip(start).take(accounts.len());
        let mut ordinary = || {
            people
                .find(|account| {
                    account.trip.is_none()
                        && account.vpn.is_none()
                        && account.gateway.is_none()
                        && !account.family
                        && account.new_phone.is_none()
                        && account.new_browser.is_none()
                        && account.home < CITIES_AT_HOME
                        && (0.8..3.0).contains(&account.orders)
                        && account.logins > 1.2
                        // The script's outage is somebody else's.
                        && account.region() != GUANGDONG
                })
                .map_or(0, |account| account.id)
        };
        let mut roles = Self {
            wrong_passwords: ordinary(),
            traveller: ordinary(),
            intruded: ordinary(),
            refused: ordinary(),
            lost: ordinary(),
            tunnel: 0,
        };
        roles.tunnel = accounts
            .iter()
            .cycle()
            .skip(start)
            .take(accounts.len())
            .find(|account| account.logins > 1.0 && account.vpn.is_some_and(|(_, often)| often > 0.5))
            .map_or(0, |account| account.id);
        roles
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::event::EventType;
    use crate::sim::record::account_name;
    use crate::sim::truth::ProblemKind;

    #[test]
    fn the_first_hour_has_its_five_problems_and_everybody_plays_their_role() {
        for seed in [1, 7] {
            let stage = Stage::new(seed, Span::from_mins(60));
            let mut logins: BTreeMap<u32, Vec<Time>> = BTreeMap::new();
            let truth = stage.world.tell(|arrival| {
                if arrival.record.event_type == EventType::LoginSucceeded {
                    logins.entry(arrival.record.account).or_default().push(arrival.record.time);
                }
                Ok::<(), ()>(())
            });
            let truth = truth.expect("told");
            let kinds: Vec<ProblemKind> = truth.problems.iter().map(|problem| problem.kind).collect();
            let expected = [
                ProblemKind::ChannelRegionOutage,
                ProblemKind::PaidNotDelivered,
                ProblemKind::ForeignLogin,
                ProblemKind::RepeatedTopupFailures,
                ProblemKind::SilentChannel,
            ];
            assert_eq!(kinds, expected, "seed {seed}");
            assert!(truth.problems[0].affected.len() > 40, "seed {seed}");
            for role in [stage.roles.traveller, stage.roles.tunnel] {
                assert!(logins.contains_key(&role), "seed {seed}: {}", account_name(role));
                let before = stage.earlier.iter().filter(|arrival| arrival.record.account == role).count();
                assert!(before >= 2, "seed {seed}: {before} earlier logins");
            }
        }
    }

    #[test]
    fn who_stays_longer_sees_more() {
        let stage = Stage::new(1, Span::from_mins(3 * 60));
        let truth = stage.world.tell(|_| Ok::<(), ()>(())).expect("told");
        assert!(truth.problems.len() > 7, "{}", truth.problems.len());
    }
}
