//! What the demonstration plays and what it can say about it: the lines for the broker, the truth behind them, what is
//! usual on the platform, and the things that merely look like trouble.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::event::EventType;
use crate::core::time::{Span, Time};
use crate::sim::arrival::{Arrival, Form};
use crate::sim::customers::Customer;
use crate::sim::market::{channel_at, is_channels, is_customers_own};
use crate::sim::places::{REGIONS, city_at};
use crate::sim::record::{Body, Order, account_name};
use crate::sim::stage::Stage;
use crate::sim::truth::Truth;

use super::play::Line;

/// Everything that is known before the curtain rises.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) opening: Time,
    pub(super) end: Time,
    pub(super) earlier: Vec<Line>,
    pub(super) lines: Arc<Vec<Line>>,
    pub(super) truth: Truth,
    /// Account by mail address.
    pub(super) addresses: BTreeMap<String, String>,
    pub(super) look_alikes: Vec<LookAlike>,
    /// By channel.
    usual: BTreeMap<&'static str, Payments>,
    orders_at_first: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Payments {
    paid: u64,
    failed: u64,
}

/// Something that looks like trouble, and why it is none.
#[derive(Clone, Debug)]
pub(super) struct LookAlike {
    /// When everything about it has happened.
    pub(super) over: Time,
    /// Whose ticket there would be, had it been taken for trouble; empty for what concerns no single account.
    pub(super) account_id: String,
    pub(super) looks_like: String,
    pub(super) but: String,
}

/// Who will be there, before anything happens.
#[derive(Debug)]
pub(super) struct Cast {
    stage: Stage,
    pub(super) customers: Vec<Customer>,
}

impl Cast {
    pub(super) fn new(seed: u64, length: Span) -> Self {
        let stage = Stage::new(seed, length);
        let customers = stage.world.customers().collect();
        Self { stage, customers }
    }

    pub(super) fn opening(&self) -> Time {
        self.stage.opening
    }
}

impl Story {
    /// Makes up what happens. Takes a second or so.
    pub(super) fn write(cast: &Cast) -> Self {
        let Cast { stage, customers } = cast;
        let (opening, end) = (stage.opening, stage.world.settings().end());
        let mut notes = Notes::default();
        let mut lines = Vec::new();
        let told = stage.world.tell(|arrival| {
            if arrival.at >= opening {
                if arrival.form == Form::Whole {
                    notes.take(arrival, opening);
                }
                lines.push(line_of(arrival));
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let truth = match told {
            Ok(truth) => truth,
            Err(never) => match never {},
        };
        Self {
            opening,
            end,
            earlier: stage.earlier.iter().map(line_of).collect(),
            lines: Arc::new(lines),
            addresses: customers
                .iter()
                .map(|customer| (customer.email.clone(), customer.account_id.clone()))
                .collect(),
            look_alikes: notes.look_alikes(stage, &truth),
            usual: notes.usual(&truth, opening),
            orders_at_first: notes.orders_at_first as f64 / QUIET.as_secs_f64() * 60.0,
            truth,
        }
    }

    /// The share of payments that fail on this channel outside of all trouble.
    pub(super) fn usual_share(&self, channel: &str) -> f64 {
        let Payments { paid, failed } = self.usual.get(channel).copied().unwrap_or_default();
        failed as f64 / (paid + failed).max(1) as f64
    }

    pub(super) fn orders_per_minute(&self) -> f64 {
        self.orders_at_first
    }
}

fn line_of(arrival: &Arrival) -> Line {
    let mut payload = Vec::with_capacity(360);
    arrival.write(&mut payload);
    Line { at: arrival.at, time: arrival.record.time, topic: arrival.topic(), key: arrival.key(), payload }
}

/// Nobody sells anything cheaper in the first minutes.
const QUIET: Span = Span::from_mins(10);

/// What is noted of the events while they are made up.
#[derive(Default)]
struct Notes {
    /// By channel, region and minute of the evening.
    payments: BTreeMap<(&'static str, &'static str, i64), Payments>,
    orders_at_first: u64,
    /// Orders by minute of the world.
    orders: BTreeMap<i64, u64>,
    own_faults: BTreeMap<u32, Vec<Time>>,
    logins: BTreeMap<u32, Vec<(Time, u8)>>,
}

impl Notes {
    fn take(&mut self, arrival: &Arrival, start: Time) {
        let record = &arrival.record;
        let into = record.time.since(start);
        match (&record.body, record.event_type) {
            (Body::Order(_), EventType::OrderCreated) => {
                *self.orders.entry(into.as_millis() / 60_000).or_default() += 1;
                self.orders_at_first += u64::from(into < QUIET);
            }
            (Body::Order(order), EventType::OrderFailed) if is_customers_own(order.error) => {
                self.own_faults.entry(record.account).or_default().push(record.time);
            }
            (Body::Order(order), EventType::OrderPaid) => self.payments(order, into).paid += 1,
            (Body::Order(order), EventType::OrderFailed) if is_channels(order.error) => {
                self.payments(order, into).failed += 1;
            }
            (Body::Login(login), EventType::LoginSucceeded) => {
                self.logins.entry(record.account).or_default().push((record.time, login.city));
            }
            _ => {}
        }
    }

    fn payments(&mut self, order: &Order, into: Span) -> &mut Payments {
        let region = REGIONS.get(usize::from(order.region)).map_or("", |region| region.name);
        let minute = into.as_millis() / 60_000;
        self.payments.entry((channel_at(order.channel).name, region, minute)).or_default()
    }

    /// The payments of each channel outside of all trouble with it.
    fn usual(&self, truth: &Truth, opening: Time) -> BTreeMap<&'static str, Payments> {
        let in_trouble = |channel: &str, region: &str, minute: i64| {
            let time = opening + Span::from_mins(minute);
            truth.problems.iter().any(|problem| {
                problem.subject.get("channel").is_some_and(|named| named == channel)
                    && problem.subject.get("region").is_none_or(|named| named == region)
                    && (problem.from - Span::from_mins(1)..problem.to + Span::from_mins(1)).contains(&time)
            })
        };
        let mut usual: BTreeMap<&'static str, Payments> = BTreeMap::new();
        for ((channel, region, minute), payments) in &self.payments {
            if !in_trouble(channel, region, *minute) {
                let of_channel = usual.entry(channel).or_default();
                of_channel.paid += payments.paid;
                of_channel.failed += payments.failed;
            }
        }
        usual
    }

    fn look_alikes(&self, stage: &Stage, truth: &Truth) -> Vec<LookAlike> {
        let mut all = Vec::new();
        all.extend(self.wrong_passwords(stage.roles.wrong_passwords));
        all.extend(self.tunnel(stage.roles.tunnel));
        all.extend(self.traveller(stage, stage.roles.traveller));
        all.extend(self.promotion(truth, stage.opening));
        all.sort_by_key(|look_alike| look_alike.over);
        all
    }

    fn wrong_passwords(&self, account: u32) -> Option<LookAlike> {
        let times = self.own_faults.get(&account)?;
        let (first, last) = (*times.iter().min()?, *times.iter().max()?);
        let minutes = (last.since(first).as_secs_f64() / 60.0).ceil().max(1.0);
        let count = times.len();
        Some(LookAlike {
            over: last,
            account_id: account_name(account),
            looks_like: format!("{count} failed payments of one account within {minutes:.0} minutes"),
            but: "each time a wrong password: the customer's own fault, and nobody else's".to_owned(),
        })
    }

    fn tunnel(&self, account: u32) -> Option<LookAlike> {
        let logins = self.logins.get(&account)?;
        let (moment, abroad) = logins.iter().find(|(_, city)| city_at(*city).country != "CN")?;
        let city = city_at(*abroad);
        Some(LookAlike {
            over: *moment,
            account_id: account_name(account),
            looks_like: format!("a login from {}, though the account lives in China", city.name),
            but: "its own phone behind a VPN: where the tunnel ends is not where the customer is".to_owned(),
        })
    }

    fn traveller(&self, stage: &Stage, account: u32) -> Option<LookAlike> {
        let (moment, abroad) =
            self.logins.get(&account)?.iter().find(|(_, city)| city_at(*city).country != "CN")?;
        let home = stage.earlier.iter().rev().find(|arrival| {
            arrival.record.account == account && arrival.record.event_type == EventType::LoginSucceeded
        });
        let hours = home.map_or(9.0, |home| moment.since(home.record.time).as_secs_f64() / 3_600.0);
        Some(LookAlike {
            over: *moment,
            account_id: account_name(account),
            looks_like: format!(
                "a login from {}, a country this account has never been in",
                city_at(*abroad).name
            ),
            but: format!(
                "on the phone it has always used, {hours:.0} hours after the last one at home: a traveller"
            ),
        })
    }

    fn promotion(&self, truth: &Truth, opening: Time) -> Option<LookAlike> {
        let sale = truth.look_alikes.iter().find(|look_alike| look_alike.kind == "promotion")?;
        let minute = sale.from.since(opening).as_millis() / 60_000;
        let mean = |from: i64, to: i64| {
            let orders: u64 = self.orders.range(from..to).map(|(_, orders)| *orders).sum();
            orders as f64 / (to - from).max(1) as f64
        };
        let (before, during) = (mean(0, minute), mean(minute + 1, minute + 6));
        Some(LookAlike {
            over: sale.from + Span::from_mins(6),
            account_id: String::new(),
            looks_like: format!(
                "{during:.0} orders a minute where {before:.0} are usual, with many failed payments"
            ),
            but: "a sale: empty balances fail more often, the channels themselves do not".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::truth::ProblemKind;

    #[test]
    fn an_evening_has_its_lines_its_usual_and_its_look_alikes() {
        let story = Story::write(&Cast::new(1, Span::from_mins(25)));
        assert!(story.lines.windows(2).all(|pair| pair[0].at <= pair[1].at));
        assert!(story.orders_per_minute() > 40.0, "{}", story.orders_per_minute());
        assert!((0.002..0.02).contains(&story.usual_share("alipay")), "{}", story.usual_share("alipay"));
        assert_eq!(story.truth.problems[0].kind, ProblemKind::ChannelRegionOutage);
        assert_eq!(story.look_alikes.len(), 4);
        for look_alike in &story.look_alikes {
            assert!(look_alike.over < story.end, "{look_alike:?}");
        }
    }
}
