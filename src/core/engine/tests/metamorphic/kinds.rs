//! The kinds as a table: how a rule of each is drawn with its options, and the worlds that it is tried on.

use super::worlds::{Draw, World};
use crate::core::rule::table::testing::Random;

const WORLDS: u64 = 10;

/// One kind, or one reconcile check.
pub struct Kind {
    /// Draws the text of the rule `rule`, and of those that it needs beside it.
    pub rule: fn(&mut Random) -> String,
    pub world: fn(Draw) -> World,
    /// Whether an event can show that what it found was never true.
    pub withdraws: bool,
    /// How many worlds are tried; on the order of arrival more, until enough was withdrawn.
    pub worlds: u64,
}

/// One of some texts.
fn pick<'t>(random: &mut Random, texts: &[&'t str]) -> &'t str {
    texts[random.below(texts.len() as i64) as usize]
}

/// A part of a rule that is there in so many of a hundred.
fn maybe(random: &mut Random, share: i64, text: impl Into<String>) -> String {
    if random.percent(share) { text.into() } else { String::new() }
}

/// The frame around a `detect`.
struct Frame {
    topics: &'static str,
    groups: &'static [&'static str],
    lasts: bool,
    resolve_when: &'static str,
}

impl Frame {
    fn around(&self, random: &mut Random, filter: &str, detect: &str) -> String {
        let group = pick(random, self.groups);
        let spans = !group.contains("account_id") && !group.contains("order_id");
        let mut text = format!("name: rule\ntopics: {}\n", self.topics);
        if !group.is_empty() {
            text.push_str(&format!("group_by: [{group}]\n"));
        }
        text.push_str(filter);
        text.push_str(&format!("detect: {{ {detect} }}\n"));
        if self.lasts {
            text.push_str(&format!("keep_firing_for: {}\n", pick(random, &["0s", "20s", "2m"])));
            let pending = format!("for: {}s\n", random.between(5, 60));
            text.push_str(&maybe(random, 25, pending));
        }
        text.push_str(&format!("grace: {}s\n", random.between(0, 10)));
        let cooldown = pick(random, &["0s", "0s", "5m"]);
        let close_after = pick(random, &["5m", "12m"]);
        let resolve = format!(", resolve_when: '{}'", self.resolve_when);
        let resolve = maybe(random, 30, resolve);
        let cover = maybe(random, if spans { 0 } else { 20 }, ", covered_by: [cause], wait: 20s");
        text.push_str(&format!(
            "incident: {{ cooldown: {cooldown}, close_after: {close_after}{resolve}{cover} }}\n"
        ));
        text.push_str("notice: { template: trouble, recovered: over, corrected: untrue }\n");
        if !cover.is_empty() {
            text.push_str(&format!("---\n{}", cause(self.topics)));
        }
        text
    }
}

/// What may explain the findings of an account.
fn cause(topics: &str) -> &'static str {
    if topics.contains("orders") {
        "name: cause\ntopics: orders\nwhere: 'type == \"order.refunded\"'\ngroup_by: [account_id]\n\
         detect: { kind: any }\nincident: { cooldown: 0s, close_after: 4m }\n\
         notice: { template: cause, to: account }\n"
    } else {
        "name: cause\ntopics: logins\nwhere: 'type == \"login.failed\"'\ngroup_by: [account_id]\n\
         detect: { kind: frequency, at_least: 2, window: 1m }\nincident: { cooldown: 0s }\n\
         notice: { template: cause, to: account }\n"
    }
}

const TRADING: Frame = Frame {
    topics: "orders",
    groups: &["account_id", "account_id, channel", "channel"],
    lasts: true,
    resolve_when: r#"type == "order.delivered""#,
};

const LOGINS: Frame = Frame {
    topics: "logins",
    groups: &["account_id", "account_id", "ip"],
    lasts: false,
    resolve_when: r#"type == "login.failed""#,
};

pub const ANY: Kind = Kind {
    rule: |random| {
        let filter = r#"where: 'type == "account.payee_changed"'"#;
        LOGINS.around(random, &format!("{filter}\n"), "kind: any")
    },
    world: Draw::logins,
    withdraws: false,
    worlds: WORLDS,
};

pub const LIST: Kind = Kind {
    rule: |random| {
        let list = ["field: ip, in: [10.0.0.0/8, 11.0.0.1]", "field: device_id, not_in: [d0, d1]"];
        let detect = format!("kind: list, {}", pick(random, &list));
        LOGINS.around(random, "", &detect)
    },
    world: Draw::logins,
    withdraws: false,
    worlds: WORLDS,
};

pub const CHANGE: Kind = Kind {
    rule: |random| {
        let detect = format!(
            "kind: change, fields: [{}], window: {}s{}",
            pick(random, &["device_id", "device_id, ip", "geo.country"]),
            random.between(60, 1_200),
            maybe(random, 30, ", missing: fire"),
        );
        let groups: &[&str] = match detect.as_str() {
            detect if detect.contains("geo.country") => &["account_id", "ip"],
            detect if detect.contains("ip") => &["account_id"],
            _ => &["account_id", "account_id, geo.country", "ip"],
        };
        let frame = Frame { groups, ..LOGINS };
        frame.around(random, "", &detect)
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

pub const NEW_TERM: Kind = Kind {
    rule: |random| {
        let history = match random.below(3) {
            0 => format!(", min_history: {}s", random.between(30, 400)),
            _ => format!(", min_history: {}", random.between(0, 4)),
        };
        let detect = format!(
            "kind: new_term, fields: [{}], window: {}s{history}{}",
            pick(random, &["geo.country", "device_id", "geo.country, device_id"]),
            random.between(60, 900),
            maybe(random, 30, ", missing: fire"),
        );
        LOGINS.around(random, "", &detect)
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

pub const NEW_PLACE: Kind = Kind {
    rule: |random| {
        let detect = format!(
            "kind: new_term, place: geo, radius_km: {}, last: {}, window: {}s, min_history: {}",
            pick(random, &["5", "20", "100"]),
            random.between(1, 6),
            random.between(120, 1_200),
            random.between(0, 3),
        );
        LOGINS.around(random, "", &detect)
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

pub const TRAVEL: Kind = Kind {
    rule: |random| {
        let detect = format!(
            "kind: travel, faster_than_kmh: {}, further_than_km: {}{}",
            pick(random, &["900", "5000"]),
            pick(random, &["10", "100"]),
            maybe(random, 30, ", ignore_networks: []"),
        );
        Frame { groups: &["account_id", "device_id"], ..LOGINS }.around(random, "", &detect)
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

pub const FREQUENCY: Kind = Kind {
    rule: |random| {
        let limit = match random.below(3) {
            0 => format!("{{ by: channel, alipay: 2, default: {} }}", random.between(2, 4)),
            _ => random.between(2, 4).to_string(),
        };
        let groups: &[&str] =
            if limit.contains("by") { &["account_id, channel", "channel"] } else { TRADING.groups };
        let detect = format!(
            "kind: frequency, count: 'type == \"order.failed\" and fault != \"customer\"', {}: {limit}, \
             window: {}s{}{}{}",
            if random.percent(85) { "at_least" } else { "at_least: 1, at_most" },
            random.between(60, 400),
            maybe(random, 30, ", distinct: order_id"),
            maybe(random, 50, r#", unless: 'type == "order.delivered"'"#),
            maybe(random, 30, ", reset: true"),
        );
        Frame { groups, ..TRADING }.around(random, "", &detect)
    },
    world: Draw::trading,
    withdraws: true,
    worlds: WORLDS,
};

pub const CARDINALITY: Kind = Kind {
    rule: |random| {
        let side = match random.below(3) {
            0 => "below: 2".to_owned(),
            1 => format!("above: {{ by: channel, alipay: 1, default: {} }}", random.between(1, 3)),
            _ => format!("above: {}", random.between(1, 3)),
        };
        let groups: &[&str] =
            if side.contains("by") { &["account_id, channel", "channel"] } else { TRADING.groups };
        let field = pick(random, &["order_id", "product", "supplier"]);
        let detect =
            format!("kind: cardinality, field: {field}, {side}, window: {}s", random.between(60, 300));
        Frame { groups, ..TRADING }.around(random, "", &detect)
    },
    world: Draw::trading,
    withdraws: true,
    worlds: WORLDS,
};

pub const METRIC: Kind = Kind {
    rule: |random| {
        let (agg, limit) = [
            ("agg: count", random.between(2, 8).to_string()),
            ("agg: distinct, field: order_id", random.between(2, 5).to_string()),
            ("agg: sum, field: amount", random.between(40, 200).to_string()),
            ("agg: avg, field: amount", random.between(15, 45).to_string()),
            ("agg: min, field: amount", random.between(5, 30).to_string()),
            ("agg: max, field: amount", random.between(20, 58).to_string()),
            ("agg: median, field: amount", random.between(15, 45).to_string()),
            ("agg: p90, field: amount", random.between(30, 58).to_string()),
            ("agg: stddev, field: amount", random.between(5, 25).to_string()),
            ("agg: mode_count, field: supplier", random.between(1, 4).to_string()),
            ("agg: first, field: amount", random.between(15, 45).to_string()),
            ("agg: last, field: amount", random.between(15, 45).to_string()),
            ("agg: since_last", format!("{}s", random.between(20, 100))),
        ][random.below(13) as usize]
            .clone();
        let side = pick(random, &["above", "at_least", "below", "at_most"]);
        let limit = match random.below(4) {
            0 if !agg.contains("since") => format!("{{ by: channel, alipay: \"{limit}\", default: \"10\" }}"),
            _ if agg.contains("since") => limit,
            _ => format!("\"{limit}\""),
        };
        let groups: &[&str] =
            if limit.contains("by") { &["account_id, channel", "channel"] } else { TRADING.groups };
        let detect = format!(
            "kind: metric, {agg}, {side}: {limit}, window: {}s, min_samples: {}",
            random.between(120, 400),
            random.between(1, 3),
        );
        let filter = maybe(random, 50, "where: 'type in [\"order.failed\", \"order.created\"]'\n");
        Frame { groups, ..TRADING }.around(random, &filter, &detect)
    },
    world: Draw::trading,
    withdraws: true,
    worlds: WORLDS,
};

pub const PAIR: Kind = Kind {
    rule: |random| {
        let detect = format!(
            "kind: metric, agg: {}, pair: {{ key: order_id, start: 'type == \"order.created\"', end: 'type in \
             [\"order.delivered\", \"order.refunded\"]' }}, {}: {}s, window: {}s, min_samples: {}",
            pick(random, &["avg", "max", "min", "median", "p90", "sum"]),
            pick(random, &["above", "at_least", "below"]),
            random.between(20, 100),
            random.between(200, 600),
            random.between(1, 2),
        );
        Frame { groups: &["account_id", "supplier", "channel"], ..TRADING }.around(random, "", &detect)
    },
    world: Draw::orders,
    withdraws: true,
    worlds: WORLDS,
};

pub const SPIKE: Kind = Kind {
    rule: |random| {
        let window = random.between(60, 200);
        let detect = format!(
            "kind: spike{}, window: {window}s, reference: {}s, height: {}, direction: {}, min_reference: {}{}",
            pick(
                random,
                &["", ", agg: sum, field: amount", ", agg: avg, field: amount", ", agg: max, field: amount"]
            ),
            window * random.between(1, 3),
            pick(random, &["1.5", "2", "3"]),
            pick(random, &["up", "down", "both"]),
            random.between(1, 3),
            maybe(random, 40, ", min_current: 2"),
        );
        TRADING.around(random, "", &detect)
    },
    world: Draw::trading,
    withdraws: true,
    worlds: WORLDS,
};

pub const RATIO: Kind = Kind {
    rule: |random| {
        let limit = match random.below(3) {
            0 => "{ by: channel, alipay: 30%, default: 20% }".to_owned(),
            _ => format!("{}%", random.between(20, 50)),
        };
        let detect = format!(
            "kind: ratio, of: 'type == \"order.failed\"', among: 'type in [\"order.paid\", \"order.failed\", \
             \"order.created\"] and fault != \"customer\"', {}: {limit}, window: {}s, min_samples: {}, \
             confidence: {}{}",
            pick(random, &["above", "above", "below"]),
            random.between(60, 300),
            random.between(3, 8),
            pick(random, &["0%", "60%", "90%"]),
            maybe(random, 30, ", distinct: order_id"),
        );
        let groups: &[&str] = if limit.contains("by") || random.percent(50) {
            &["channel", "channel, product"]
        } else {
            &["account_id", "product", "account_id, channel"]
        };
        Frame { groups, ..TRADING }.around(random, "", &detect)
    },
    world: Draw::trading,
    withdraws: true,
    worlds: WORLDS,
};

pub const FLATLINE: Kind = Kind {
    rule: |random| {
        let expect = pick(random, &["", ", expect: [alipay, wechat]"]);
        let detect = format!(
            "kind: flatline, fewer_than: {}, window: {}s{expect}",
            random.between(1, 3),
            random.between(40, 120),
        );
        let filter = maybe(random, 50, "where: 'type == \"order.paid\"'\n");
        let frame = Frame { groups: &["channel"], resolve_when: r#"type == "order.failed""#, ..TRADING };
        // Of what had ended before the silence came back nothing is withdrawn any more, unless it is the same ticket.
        frame.around(random, &filter, &detect).replace("cooldown: 0s", "cooldown: 5m")
    },
    world: Draw::silences,
    withdraws: true,
    // Silence is found again and again.
    worlds: 3,
};

pub const DEADLINE: Kind = Kind {
    rule: |random| {
        let detect = format!(
            "kind: deadline, key: order_id, start: 'type == \"order.paid\"', end: 'type in \
             [\"order.delivered\", \"order.refunded\"]', within: {}s",
            random.between(30, 150),
        );
        let frame = Frame {
            groups: &["order_id", "", "account_id", "supplier"],
            lasts: false,
            resolve_when: r#"type == "order.cancelled""#,
            ..TRADING
        };
        frame.around(random, "", &detect)
    },
    world: Draw::orders,
    withdraws: true,
    worlds: WORLDS,
};

pub const SEQUENCE: Kind = Kind {
    rule: |random| {
        let then =
            |random: &mut Random| pick(random, &["", "", "", ", then: next", ", then: followed_by_any"]);
        let mut steps = vec![format!(
            "{{ name: login, when: 'type == \"login.succeeded\"{}' }}",
            maybe(random, 30, " and geo.country == \"CN\""),
        )];
        if random.percent(40) {
            steps.push(format!(
                "{{ name: refused, when: 'type == \"login.failed\"', {} }}",
                pick(
                    random,
                    &["not: true", "optional: true", "times: 1..3", "times: 2, distinct: { ip: 2.. }"]
                ),
            ));
        }
        steps.push(format!(
            "{{ name: change, when: 'type == \"account.payee_changed\"{}'{}{} }}",
            maybe(random, 40, " and device_id == login.device_id"),
            then(random),
            maybe(random, 25, ", times: 1..2"),
        ));
        if random.percent(40) {
            let last = ["not: true", "then: next", "times: 2", "optional: false"];
            steps.push(format!(
                "{{ name: again, when: 'type == \"login.failed\"', {} }}",
                pick(random, &last)
            ));
        }
        let skip = pick(random, &["", ", skip: no_skip", ", skip: to_next", ", skip: past_last_event"]);
        let detect = format!(
            "kind: sequence, within: {}s, steps: [{}]{skip}",
            random.between(60, 400),
            steps.join(", "),
        );
        LOGINS.around(random, "", &detect)
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

/// Two rules that are heard by others.
const HEARD: &str = "---
name: moved
topics: logins
detect: { kind: change, fields: [device_id], window: 5m }
incident: { cooldown: 0s, close_after: 5m }
---
name: payee
topics: logins
where: 'type == \"account.payee_changed\"'
detect: { kind: any }
incident: { cooldown: 0s, close_after: 5m }
";

pub const HEARING: Kind = Kind {
    rule: |random| {
        let detect = format!(
            "kind: sequence, within: {}s, steps: [{{ name: login, finding: moved }}, \
             {{ name: change, {} }}{}]",
            random.between(60, 400),
            pick(random, &["finding: payee", "when: 'type == \"account.payee_changed\"'"]),
            maybe(random, 40, ", { name: calm, when: 'type == \"login.failed\"', not: true }"),
        );
        let frame = Frame { groups: &["account_id"], ..LOGINS };
        format!("{}{HEARD}", frame.around(random, "", &detect))
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

/// Rules that have one ticket at most of each subject: whether one has ended before the next begins is judged by what is
/// known at the time.
const OPENED: &str = "---
name: moved
topics: logins
group_by: [account_id, ip]
detect: { kind: change, fields: [device_id], window: 5m }
incident: { close_after: 6h }
---
name: payee
topics: logins
group_by: [account_id, device_id]
where: 'type == \"account.payee_changed\"'
detect: { kind: any }
incident: { close_after: 6h }
";

pub const OPENING: Kind = Kind {
    rule: |random| {
        let steps = [
            "kind: sequence, within: 400s, steps: [{ name: login, opening: moved }, \
             { name: change, finding: payee }]",
            "kind: sequence, within: 10m, steps: [{ name: change, when: 'type == \"login.succeeded\"' }, \
             { name: login, opening: moved, then: followed_by_any }]",
            "kind: sequence, within: 200s, steps: [{ name: login, opening: moved }, \
             { name: again, when: 'ip == login.ip', not: true }]",
            "kind: correlation, of: [{ opening: moved }, payee], type: temporal, window: 5m",
            "kind: correlation, of: [moved, { opening: payee }], type: absent, window: 5m",
        ];
        let frame = Frame { groups: &["account_id"], ..LOGINS };
        let detect = pick(random, &steps);
        format!("{}{OPENED}", frame.around(random, "", detect))
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

pub const CORRELATION: Kind = Kind {
    rule: |random| {
        let kinds = [
            "type: event_count, at_least: 3",
            "type: value_count, field: ip, at_least: 2",
            "type: temporal",
            "type: temporal_ordered",
            "type: absent",
            "type: absent, both_ways: true",
        ];
        let detect = format!(
            "kind: correlation, of: [moved, payee], {}, window: {}s",
            pick(random, &kinds),
            random.between(30, 300),
        );
        let frame = Frame { groups: &["account_id"], ..LOGINS };
        format!("{}{HEARD}", frame.around(random, "", &detect))
    },
    world: Draw::logins,
    withdraws: true,
    worlds: WORLDS,
};

fn check(random: &mut Random, check: &str, within: i64) -> String {
    let detect = format!("kind: reconcile, check: {check}, within: {}s", within + random.below(within));
    let frame =
        Frame { groups: &[""], lasts: false, resolve_when: r#"type == "order.cancelled""#, ..TRADING };
    let text = frame.around(random, "", &detect);
    if check == "key_sold_twice" { text.replace(", covered_by: [cause], wait: 20s", "") } else { text }
}

const fn reconcile(rule: fn(&mut Random) -> String, withdraws: bool) -> Kind {
    Kind { rule, world: Draw::orders, withdraws, worlds: WORLDS }
}

pub const PAID_WITHOUT_KEY: Kind = reconcile(|random| check(random, "paid_without_key", 30), true);
pub const KEY_WITHOUT_PAYMENT: Kind = reconcile(|random| check(random, "key_without_payment", 20), true);
pub const MANY_KEYS: Kind = reconcile(|random| check(random, "many_keys", 60), true);
// What is sold a second time, or after the refund, stays so whatever else arrives.
pub const KEY_SOLD_TWICE: Kind = reconcile(|random| check(random, "key_sold_twice", 600), false);
pub const PAYMENT_AFTER_EXPIRY: Kind = reconcile(|random| check(random, "payment_after_expiry", 60), true);
pub const DELIVERED_AFTER_REFUND: Kind =
    reconcile(|random| check(random, "delivered_after_refund", 90), false);
