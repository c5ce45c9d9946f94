//! What an offer comes to, against written cases and whole numbers.

use super::*;
use crate::core::event::EventType;
use crate::core::rule::table::testing::Random;
use crate::core::time::Time;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn facts(amount: &str, currency: &str) -> Facts {
    let texts: Vec<(TextField, CompactString)> = [currency]
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| (TextField::Currency, (*text).into()))
        .collect();
    Facts {
        event_type: EventType::OrderPaid,
        time: Time::from_millis(0),
        account_id: "a1".into(),
        texts: texts.into(),
        amount: (!amount.is_empty()).then(|| decimal(amount)),
        quantity: None,
    }
}

fn share(percent: &str, cap: Option<(&str, &str)>, of: Base) -> Compensation {
    let cap = cap.map(|(amount, currency)| Money { amount: decimal(amount), currency: currency.into() });
    Compensation { worth: Worth::Share { share: decimal(percent) / Decimal::ONE_HUNDRED, of }, cap }
}

fn said(offer: Option<Result<Money, Undecided>>) -> String {
    match offer {
        None => "nothing".to_owned(),
        Some(Ok(money)) => money.to_string(),
        Some(Err(undecided)) => undecided.as_str().to_owned(),
    }
}

#[test]
fn a_share_of_the_amount_is_capped_and_rounded_half_up_to_the_smallest_unit() {
    let cny = Some(("50.00", "CNY"));
    let cases = [
        ("5", cny, "100.00", "CNY", "5.00 CNY"),
        ("5", cny, "0.10", "CNY", "0.01 CNY"), // half a fen
        ("5", cny, "0.09", "CNY", "nothing"),
        ("5", cny, "2000", "CNY", "50.00 CNY"),
        ("5", cny, "1000.10", "CNY", "50.00 CNY"),
        ("5", cny, "999.89", "CNY", "49.99 CNY"),
        ("5", cny, "100", "", "5.00 CNY"), // the cap says the currency
        ("5", cny, "100", "cny", "5.00 cny"),
        ("5", cny, "100", "USD", "other_currency"),
        ("5", cny, "", "CNY", "no_amount"),
        ("5", None, "100", "", "no_currency"),
        ("5", None, "110", "JPY", "6 JPY"),
        ("5", None, "110.01", "KWD", "5.501 KWD"),
        ("5", None, "33.33", "POINTS", "1.67 POINTS"),
        ("5", cny, "0", "CNY", "nothing"),
        ("5", cny, "-20", "CNY", "nothing"),
        ("1000", None, "79228162514264337593543950335", "CNY", "no_amount"),
    ];
    for (percent, cap, amount, currency, expected) in cases {
        let offer = share(percent, cap, Base::Event).offer(Some(&facts(amount, currency)), None);
        assert_eq!(said(offer), expected, "{percent}% of {amount} {currency}, at most {cap:?}");
    }
    assert_eq!(said(share("5", cny, Base::Event).offer(None, None)), "no_amount", "no event of its own");
}

#[test]
fn a_fixed_amount_needs_no_event() {
    let money = Money { amount: decimal("10.00"), currency: "CNY".into() };
    let fixed = Compensation { worth: Worth::Fixed(money), cap: None };
    assert_eq!(said(fixed.offer(None, None)), "10.00 CNY");
    assert_eq!(said(fixed.offer(Some(&facts("3", "USD")), None)), "10.00 CNY");
}

#[test]
fn the_currency_of_a_step_is_known_where_the_last_event_or_the_cap_names_it_too() {
    let step = |currency: &str| {
        let currency = if currency.is_empty() { Symbol::MISSING } else { Symbol::of(currency) };
        Some(StepAmount { amount: Some(decimal("200")), currency })
    };
    let cny = Some(("50.00", "CNY"));
    let cases = [
        (cny, "CNY", "CNY", "10.00 CNY"),
        (cny, "", "CNY", "10.00 CNY"),
        (cny, "USD", "CNY", "10.00 CNY"),
        (cny, "CNY", "USD", "other_currency"),
        (cny, "USD", "USD", "other_currency"), // than the cap
        (None, "USD", "USD", "10.00 USD"),
        (None, "USD", "", "10.00 USD"),
        (None, "", "USD", "other_currency"),
        (None, "", "", "no_currency"),
    ];
    for (cap, last, of_step, expected) in cases {
        let offer = share("5", cap, Base::Step).offer(Some(&facts("7", last)), step(of_step));
        assert_eq!(said(offer), expected, "cap {cap:?}, last event {last}, step {of_step}");
    }
    assert_eq!(said(share("5", cny, Base::Step).offer(Some(&facts("7", "CNY")), None)), "no_amount");
}

/// Against whole numbers: cents and hundredths of a percent, rounded half up.
#[test]
fn offers_are_what_whole_numbers_say() {
    let mut capped = 0;
    for seed in 0..5_000 {
        let mut random = Random::new(seed);
        let (cents, basis, most) =
            (random.between(0, 500_000), random.between(1, 10_000), random.between(1, 9_000));
        let exact = cents * basis; // in 1/10000 cents
        let expected = ((exact + 5_000) / 10_000).min(most);
        capped += u32::from(exact / 10_000 >= most);
        let cents_of = |cents: i64| Decimal::new(cents, 2).to_string();
        let amount = facts(&cents_of(cents), "CNY");
        let percent = Decimal::new(basis, 2).to_string();
        let offer = share(&percent, Some((&cents_of(most), "CNY")), Base::Event).offer(Some(&amount), None);
        let expected =
            if expected == 0 { "nothing".to_owned() } else { format!("{} CNY", cents_of(expected)) };
        assert_eq!(said(offer), expected, "seed {seed}: {percent}% of {cents} cents, at most {most}");
    }
    assert!(capped > 1_000, "{capped}");
}
