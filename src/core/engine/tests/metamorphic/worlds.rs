//! Worlds to try rules on: a few accounts on a few channels, whose events are dense enough for every kind to find
//! something, and often lie at the same instant.

use super::super::*;
use crate::core::rule::table::testing::Random;

/// Everything happens within so many seconds.
const LENGTH: i64 = 3_000;

/// One event before it is an event.
#[derive(Clone, Debug)]
pub struct Happening {
    pub number: usize,
    pub millis: i64,
    pub written: String,
}

#[derive(Clone, Debug, Default)]
pub struct World(pub Vec<Happening>);

impl Happening {
    pub fn event(&self) -> Event<'static> {
        let mut event = event(self.number, 0, &self.written);
        event.time = at(0) + Span::from_millis(self.millis);
        event
    }
}

impl World {
    /// Both, and nothing of the one has to do with anything of the other.
    pub fn beside(mut self, other: Self) -> Self {
        let first = self.0.len();
        self.0.extend(other.0.into_iter().map(|other| Happening { number: first + other.number, ..other }));
        self
    }
}

/// What draws a world: `strange` ones share no name with the others.
pub struct Draw {
    random: Random,
    mark: &'static str,
    network: u8,
    events: Vec<(i64, String)>,
    bursts: [i64; 3],
}

impl Draw {
    pub fn new(mut random: Random, strange: bool) -> Self {
        let bursts = [0; 3].map(|_| random.below(LENGTH - 240));
        let (mark, network) = if strange { ("x", 200) } else { ("", 10) };
        Self { random, mark, network, events: Vec::new(), bursts }
    }

    /// Any moment, or one of those at which much happens.
    fn moment(&mut self) -> i64 {
        let second = match self.random.below(6) {
            burst @ 0..3 => self.bursts[burst as usize] + self.random.below(240),
            _ => self.random.below(LENGTH),
        };
        second * 1_000 + if self.random.percent(50) { self.random.below(1_000) } else { 0 }
    }

    fn one_of(&mut self, texts: &[&str]) -> String {
        format!("{}{}", self.mark, texts[self.random.below(texts.len() as i64) as usize])
    }

    fn finish(mut self) -> World {
        self.events.sort();
        let numbered = (0..).zip(self.events);
        World(numbered.map(|(number, (millis, written))| Happening { number, millis, written }).collect())
    }

    /// Orders are made, paid, delivered or fail, in no order.
    pub fn trading(mut self) -> World {
        for _ in 0..150 {
            let millis = self.moment();
            let account = self.random.below(3);
            let step = ["created", "created", "paid", "failed", "failed", "failed", "delivered", "refunded"]
                [self.random.below(8) as usize];
            let fault = match (step, self.random.below(4)) {
                ("failed", 0) => " fault=customer",
                ("failed", _) => " fault=channel",
                _ => "",
            };
            let mark = self.mark;
            let order = self.random.below(12);
            let channel = self.one_of(&["alipay", "wechat"]);
            let product = self.one_of(&["key", "topup"]);
            let supplier = self.one_of(&["s1", "s2", "s3"]);
            let amount = match self.random.below(10) {
                0 => String::new(),
                _ => format!(" amount={}.{:02}", self.random.below(60), self.random.below(100)),
            };
            self.events.push((
                millis,
                format!(
                    "order.{step} {mark}a{account} order_id={mark}o{account}x{order} channel={channel} \
                     product={product} supplier={supplier}{amount}{fault}"
                ),
            ));
        }
        self.finish()
    }

    /// Logins from devices and places that are mostly the same, and what follows them.
    pub fn logins(mut self) -> World {
        const PLACES: [&str; 5] =
            ["31.2,121.5,5", "31.3,121.6,20", "39.9,116.4,5", "40.7,-74.0,50", "31.9,121.9,0"];
        for _ in 0..150 {
            let millis = self.moment();
            let account = self.random.below(3);
            let step = ["login.succeeded", "login.succeeded", "login.failed", "account.payee_changed"]
                [self.random.below(4) as usize];
            let (mark, network) = (self.mark, self.network);
            let mut written = format!("{step} {mark}a{account}");
            let usual = self.random.percent(50);
            let mut add = |share: i64, text: String| {
                if self.random.percent(share) {
                    written.push_str(&text);
                }
            };
            add(90, format!(" device_id={mark}d{}", if usual { account } else { millis % 3 }));
            add(95, format!(" ip={}.0.0.{}", network + u8::from(usual), millis / 7 % 3));
            let country = self.one_of(&["CN", "CN", "US", "DE"]);
            let place = PLACES[self.random.below(if usual { 2 } else { 5 }) as usize];
            let mut add = |share: i64, text: String| {
                if self.random.percent(share) {
                    written.push_str(&text);
                }
            };
            add(90, format!(" geo.country={country}"));
            add(85, format!(" place={place}"));
            add(15, " geo.network=vpn".to_owned());
            self.events.push((millis, written));
        }
        self.finish()
    }

    /// Orders with all that can go wrong with payments, keys and refunds.
    pub fn orders(mut self) -> World {
        for order in 0..50 {
            let begins = self.moment();
            let (mark, account) = (self.mark, self.random.below(4));
            let channel = self.one_of(&["alipay", "wechat"]);
            let supplier = self.one_of(&["s1", "s2"]);
            let quantity = if self.random.percent(60) { " quantity=2" } else { "" };
            let mut steps = vec![(0, "created", format!(" expires_at={}{quantity}", begins / 1_000 + 60))];
            if self.random.percent(85) {
                let delay = if self.random.percent(30) { 60 + self.random.below(60) } else { 5 };
                steps.push((delay, "paid", quantity.to_owned()));
                if self.random.percent(25) {
                    steps.push((delay + self.random.below(90), "paid", String::new()));
                }
            }
            if self.random.percent(80) {
                let longest = if self.random.percent(50) { 40 } else { 200 };
                let delay = 20 + self.random.below(longest);
                let card = if self.random.percent(40) { self.random.below(4) } else { 100 + order };
                steps.push((delay, "delivered", format!(" card_id={mark}k{card}")));
                if self.random.percent(60) {
                    let later = delay + self.random.below(120);
                    steps.push((later, "delivered", format!(" card_id={mark}m{}", self.random.below(60))));
                }
            }
            if self.random.percent(30) {
                steps.push((30 + self.random.below(200), "refunded", String::new()));
            }
            if self.random.percent(10) {
                steps.push((30 + self.random.below(200), "cancelled", String::new()));
            }
            for (delay, step, more) in steps {
                self.events.push((
                    begins + delay * 1_000,
                    format!(
                        "order.{step} {mark}a{account} order_id={mark}o{order} channel={channel} \
                         supplier={supplier}{more}"
                    ),
                ));
            }
        }
        self.finish()
    }

    /// Some channels that speak, and are silent at times.
    pub fn silences(mut self) -> World {
        for channel in ["alipay", "wechat", "unionpay"] {
            // Time begins with an event that counts: from then on something is expected.
            let mut millis = 0;
            self.events.push((0, format!("order.paid {0}a0 channel={0}{channel}", self.mark)));
            while millis < LENGTH * 1_000 {
                let longest = if self.random.percent(8) { 400_000 } else { 25_000 };
                millis += self.random.below(longest);
                let (mark, account) = (self.mark, self.random.below(4));
                let step = if self.random.percent(80) { "paid" } else { "failed" };
                self.events.push((millis, format!("order.{step} {mark}a{account} channel={mark}{channel}")));
            }
        }
        self.finish()
    }
}
