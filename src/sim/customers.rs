//! The customers' side of a world: names, addresses, languages and wishes, one JSON line each.

use serde::Serialize;

use super::Settings;
use super::accounts::{Account, Tier};
use super::dice::{Dice, Purpose};
use super::record::account_name;

/// A customer as the file of customers has it.
#[derive(Clone, Debug, Serialize)]
pub struct Customer {
    pub account_id: String,
    pub name: String,
    pub email: String,
    pub phone: String,
    pub locale: &'static str,
    pub time_zone: &'static str,
    pub tier: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub opt_outs: Vec<&'static str>,
}

const SURNAMES: [(&str, &str); 12] = [
    ("王", "Wang"),
    ("李", "Li"),
    ("张", "Zhang"),
    ("刘", "Liu"),
    ("陈", "Chen"),
    ("杨", "Yang"),
    ("黄", "Huang"),
    ("赵", "Zhao"),
    ("吴", "Wu"),
    ("周", "Zhou"),
    ("徐", "Xu"),
    ("孙", "Sun"),
];
const GIVEN: [(&str, &str); 12] = [
    ("伟", "Wei"),
    ("芳", "Fang"),
    ("娜", "Na"),
    ("敏", "Min"),
    ("静", "Jing"),
    ("强", "Qiang"),
    ("磊", "Lei"),
    ("洋", "Yang"),
    ("艳", "Yan"),
    ("勇", "Yong"),
    ("杰", "Jie"),
    ("涛", "Tao"),
];

impl Customer {
    pub fn of(settings: &Settings, account: &Account) -> Self {
        let mut dice = Dice::new(settings.seed, Purpose::Customers, u64::from(account.id), 0);
        let surname = dice.pick(&SURNAMES).unwrap_or_default();
        let given = dice.pick(&GIVEN).unwrap_or_default();
        let chinese = dice.chance(0.85);
        let name =
            if chinese { format!("{}{}", surname.0, given.0) } else { format!("{} {}", given.1, surname.1) };
        let (tier, manager) = match account.tier {
            Tier::Individual => ("individual", None),
            Tier::Merchant => ("merchant", None),
            Tier::Enterprise => ("enterprise", Some(format!("manager-{}@platform.example", account.id % 5))),
        };
        Self {
            account_id: account_name(account.id),
            name,
            email: format!(
                "{}.{}.{}@mail.example",
                given.1.to_lowercase(),
                surname.1.to_lowercase(),
                account.id
            ),
            phone: format!("+86139{:08}", account.id),
            locale: if chinese { "zh-CN" } else { "en" },
            time_zone: "Asia/Shanghai",
            tier,
            manager,
            quiet_hours: dice.chance(0.01).then_some("23:00-08:00"),
            opt_outs: if dice.chance(0.005) { vec!["all"] } else { vec![] },
        }
    }
}
