//! Who the platform's customers are, as far as telling them something needs it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::core::event::{Event, TextField, Tier};

/// A value about a person. It prints as `***`, so that it can't reach a log by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the message that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The languages that messages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Locale {
    #[default]
    ZhCn,
    En,
}

impl Locale {
    pub const ALL: [Self; 2] = [Self::ZhCn, Self::En];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ZhCn => "zh-CN",
            Self::En => "en",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|locale| locale.as_str() == text)
    }

    /// The language to use for a customer's own locale, written in any of the usual ways: `zh_CN`, `en-GB`, `zh-Hant`.
    /// Without one it is the `default`; for a language that we lack it is English, which more of its speakers read.
    pub fn for_customer(written: Option<&str>, default: Self) -> Self {
        let Some(written) = written.map(str::trim).filter(|written| !written.is_empty()) else {
            return default;
        };
        let language = written.split(['-', '_', '.']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("zh") { Self::ZhCn } else { Self::En }
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One customer. What is not known is [`None`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customer {
    pub account_id: String,
    pub name: Option<Personal<String>>,
    pub email: Option<Personal<String>>,
    pub phone: Option<Personal<String>>,
    pub locale: Option<String>,
    /// A name such as `Asia/Shanghai`.
    pub time_zone: Option<String>,
    pub tier: Tier,
    /// The mail address of the account manager.
    pub manager: Option<Personal<String>>,
    /// Local times between which only security messages go out: `22:00-08:00`.
    pub quiet_hours: Option<String>,
    /// What the customer does not want to hear: a rule, a template, a way (`email`), or `all`.
    pub opt_outs: Vec<String>,
}

impl Customer {
    pub fn has_opted_out(&self, of: &[&str]) -> bool {
        self.opt_outs.iter().any(|refused| refused == "all" || of.contains(&refused.as_str()))
    }
}

/// What rules may ask of a customer: nothing personal, and the same for many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Profile {
    pub tier: Tier,
    /// As it was written.
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

impl Profile {
    pub fn of(customer: &Customer) -> Self {
        Self { tier: customer.tier, locale: customer.locale.clone(), time_zone: customer.time_zone.clone() }
    }

    /// Fills the event's fields of its customer.
    pub fn describe<'a>(&'a self, event: &mut Event<'a>) {
        event.set_text(TextField::CustomerTier, Cow::Borrowed(self.tier.as_str()));
        for (field, value) in
            [(TextField::CustomerLocale, &self.locale), (TextField::CustomerTimeZone, &self.time_zone)]
        {
            if let Some(value) = value {
                event.set_text(field, Cow::Borrowed(value));
            }
        }
    }
}

/// Where customers are found.
pub trait Customers: Send + Sync {
    fn find(&self, account_id: &str) -> Option<Customer>;

    /// What rules may ask of a customer; [`None`] for one that nobody knows. Asked for each event where a rule names it, so
    /// it takes no more than a look.
    fn profile(&self, _account_id: &str) -> Option<Arc<Profile>> {
        None
    }
}

/// Everybody can be told, at an address that leads nowhere: for tests of rules and for replay without customers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

impl Customers for Everybody {
    fn find(&self, account_id: &str) -> Option<Customer> {
        Some(Customer {
            account_id: account_id.to_owned(),
            email: Some(Personal::new(format!("{account_id}@customers.invalid"))),
            ..Customer::default()
        })
    }
}

/// Nobody is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Customers for Nobody {
    fn find(&self, _account_id: &str) -> Option<Customer> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_prints_as_stars_in_every_form() {
        let customer = Customer {
            email: Some(Personal::new("li@example.com".to_owned())),
            phone: Some(Personal::new("13800000000".to_owned())),
            ..Customer::default()
        };
        let printed = format!("{customer:?} {}", Personal::new("secret"));
        assert!(!printed.contains("example.com") && !printed.contains("138"), "{printed}");
        assert!(printed.ends_with("***"));
    }

    #[test]
    fn a_customer_is_written_to_in_the_language_nearest_to_their_own() {
        let cases = [
            (None, Locale::ZhCn),
            (Some(""), Locale::ZhCn),
            (Some("zh-CN"), Locale::ZhCn),
            (Some("zh_TW.UTF-8"), Locale::ZhCn),
            (Some("ZH"), Locale::ZhCn),
            (Some("en"), Locale::En),
            (Some("en_GB"), Locale::En),
            (Some("ja-JP"), Locale::En),
        ];
        for (written, expected) in cases {
            assert_eq!(Locale::for_customer(written, Locale::ZhCn), expected, "{written:?}");
        }
        assert_eq!(Locale::for_customer(None, Locale::En), Locale::En);
    }

    #[test]
    fn an_opt_out_names_a_rule_a_template_a_way_or_all() {
        let mut customer = Customer::default();
        let about = ["failing", "topup_failing", "email"];
        assert!(!customer.has_opted_out(&about));
        for refused in ["failing", "topup_failing", "email", "all"] {
            customer.opt_outs = vec!["other".to_owned(), refused.to_owned()];
            assert!(customer.has_opted_out(&about), "{refused}");
        }
        customer.opt_outs = vec!["other".to_owned()];
        assert!(!customer.has_opted_out(&about));
    }
}
