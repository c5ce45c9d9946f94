//! Sets of rules of any size, as platforms have them: for each thing that is watched one rule for all goods, and tighter ones
//! for single kinds of goods and channels, with limits and windows of their own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const KINDS: [&str; 4] = ["topup", "card_key", "direct", "membership"];
const CHANNELS: [&str; 5] = ["alipay", "wechat", "unionpay", "bank-transfer", "paypal"];

/// Writes `count` rules into a folder, one file each. The first five are one of each family, for all goods.
pub fn write(count: usize, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for number in 0..count {
        let (family, variant) = (number % 5, number / 5);
        let text = match family {
            0 => failures(variant),
            1 => share(variant),
            2 => delivery(variant),
            3 => travel(variant),
            _ => spending(variant),
        };
        let path = to.join(format!("rule-{number:04}.yaml"));
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Whose rule it is: the first of a family is for all, of the others every second one for a kind of goods, every other for
/// a kind and a channel.
fn whose(variant: usize) -> String {
    let kind = KINDS[variant % KINDS.len()];
    match variant {
        0 => String::new(),
        _ if variant % 2 == 1 => format!("kind == \"{kind}\""),
        _ => format!("kind == \"{kind}\" and channel == \"{}\"", CHANNELS[variant / 2 % CHANNELS.len()]),
    }
}

fn head(name: &str, variant: usize, topic: &str, also: &str) -> String {
    let conditions: Vec<String> =
        [whose(variant), also.to_owned()].into_iter().filter(|condition| !condition.is_empty()).collect();
    let filter = match conditions.as_slice() {
        [] => String::new(),
        conditions => format!("where: '{}'\n", conditions.join(" and ")),
    };
    format!(
        "name: {name}-{variant}\nsummary: Rule {variant} of its family\nowner: bench\ntopics: {topic}\n{filter}"
    )
}

fn failures(variant: usize) -> String {
    format!(
        "{}group_by: [account_id]\ndetect: {{ kind: frequency, count: 'type == \"order.failed\" and fault != \"customer\"', \
         at_least: {}, window: {}m, unless: 'type == \"order.delivered\"' }}\n",
        head("failures", variant, "orders", ""),
        3 + variant % 4,
        10 + variant % 3 * 20,
    )
}

fn share(variant: usize) -> String {
    format!(
        "{}group_by: [channel]\ndetect: {{ kind: ratio, of: 'type == \"order.failed\"', among: 'type in [\"order.paid\", \
         \"order.failed\"] and fault != \"customer\"', above: {}%, window: {}m, min_samples: 20, distinct: account_id, \
         confidence: 99% }}\n",
        head("share", variant, "orders", ""),
        20 + variant % 5 * 5,
        5 + variant % 3 * 5,
    )
}

fn delivery(variant: usize) -> String {
    format!(
        "{}group_by: [order_id]\ndetect: {{ kind: deadline, start: 'type == \"order.paid\"', end: 'type in \
         [\"order.delivered\", \"order.refunded\", \"order.cancelled\", \"order.failed\"]', within: {}m }}\n",
        head("delivery", variant, "orders", ""),
        10 + variant % 4 * 5,
    )
}

/// Logins are of no kind of goods: these differ in their limits.
fn travel(variant: usize) -> String {
    format!(
        "{}group_by: [account_id]\ndetect: {{ kind: travel, faster_than_kmh: {}, further_than_km: {} }}\n",
        head("travel", 0, "logins", "type == \"login.succeeded\"")
            .replace("travel-0", &format!("travel-{variant}")),
        900 + variant * 10,
        100 + variant * 20,
    )
}

fn spending(variant: usize) -> String {
    format!(
        "{}group_by: [account_id]\ndetect: {{ kind: metric, agg: sum, field: amount, window: {}h, above: \"{}\" }}\n",
        head("spending", variant, "orders", "type == \"order.paid\""),
        1 + variant % 3,
        50_000 + variant * 1_000,
    )
}
