//! `list`: a field whose value is among the values of a list, or is not.
//!
//! An event that lacks the field is neither. In a list for `ip` an address stands for itself in whatever form it is
//! written, and a network such as `10.0.0.0/8` for all of its addresses.

use std::net::IpAddr;
use std::sync::Arc;

use crate::core::event::{Event, Symbol, TextField, TextSet};

use super::condition::{FileProblem, Network};
use super::point::Point;

/// The most values of a list; longer ones are an error.
pub const MOST_VALUES: usize = 1_000_000;

/// The settings of a list rule.
#[derive(Clone, Debug)]
pub struct List {
    pub field: TextField,
    pub values: Values,
    /// Finds what is not in the list.
    pub not_in: bool,
}

/// The values of a list, shared by the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Sorted.
    symbols: Arc<[Symbol]>,
    networks: Arc<[Networks]>,
}

/// The networks of one length. There are few lengths, however many networks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Networks {
    mask: u128,
    /// Sorted.
    bits: Box<[u128]>,
}

/// What is wrong with one value of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a network")]
pub struct NoNetwork;

/// What a value should have been that is no network.
pub const NETWORK: &str = "expected an address, a slash and a length, such as 10.0.0.0/8 or 2001:db8::/32";
/// So many wrong lines of a file are shown.
const MOST_LINES_SHOWN: usize = 5;

/// What is wrong with the values of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoValues {
    Empty,
    TooMany,
    /// The lines with a value that is none.
    NoNetworks(Vec<String>),
}

impl NoValues {
    /// What is wrong with the file of that name.
    pub fn of(&self, name: &str) -> FileProblem {
        let (message, help) = match self {
            Self::Empty => (format!("{name} has no values"), "expected at least one value"),
            Self::TooMany => {
                (format!("{name} has more than {MOST_VALUES} values"), "divide it over several rules")
            }
            Self::NoNetworks(lines) => {
                (format!("{name} has values that are not networks: {}", lines.join("; ")), NETWORK)
            }
        };
        FileProblem { message, help }
    }
}

/// The values of a file, one a line, with the numbers of their lines; blank lines and those that begin with `#` are left
/// out.
pub fn values_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    lines.filter(|(_, value)| !value.is_empty() && !value.starts_with('#'))
}

/// A list while it is read.
#[derive(Debug)]
pub struct Builder {
    addresses: bool,
    symbols: Vec<Symbol>,
    /// Mask and bits.
    networks: Vec<(u128, u128)>,
}

impl Builder {
    pub fn new(field: TextField) -> Self {
        Self { addresses: field == TextField::Ip, symbols: Vec::new(), networks: Vec::new() }
    }

    pub fn add(&mut self, value: &str) -> Result<(), NoNetwork> {
        if self.addresses
            && let Some(network) = network(value)?
        {
            self.networks.push((network.mask, network.bits));
        } else {
            self.symbols.push(Symbol::of(value));
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.symbols.len() + self.networks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn build(mut self) -> Values {
        self.symbols.sort_unstable();
        self.symbols.dedup();
        self.networks.sort_unstable();
        self.networks.dedup();
        let lengths = self.networks.chunk_by(|one, other| one.0 == other.0);
        let networks = lengths.filter_map(|chunk| {
            let mask = chunk.first()?.0;
            Some(Networks { mask, bits: chunk.iter().map(|(_, bits)| *bits).collect() })
        });
        Values { symbols: self.symbols.into(), networks: networks.collect() }
    }
}

/// An address or a network; [`None`] for any other text, since a platform may write something else for an address.
fn network(value: &str) -> Result<Option<Network>, NoNetwork> {
    if let Ok(address) = value.parse::<IpAddr>() {
        let bits = bits_of(address);
        return Ok(Some(Network { bits, mask: u128::MAX }));
    }
    match value.split_once('/') {
        Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
            Network::parse(value).map(Some).ok_or(NoNetwork)
        }
        _ => Ok(None),
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

impl Values {
    /// The values of a file for this field.
    pub fn read(field: TextField, text: &str) -> Result<Self, NoValues> {
        let mut builder = Builder::new(field);
        let mut wrong = Vec::new();
        for (number, value) in values_of(text) {
            if builder.add(value).is_err() && wrong.len() < MOST_LINES_SHOWN {
                wrong.push(format!("line {number}, `{}`", value.chars().take(60).collect::<String>()));
            }
            if builder.len() > MOST_VALUES {
                return Err(NoValues::TooMany);
            }
        }
        match (wrong.is_empty(), builder.is_empty()) {
            (false, _) => Err(NoValues::NoNetworks(wrong)),
            (true, true) => Err(NoValues::Empty),
            (true, false) => Ok(builder.build()),
        }
    }

    /// Whether a text is among them; `address` is what it says where it is one.
    pub fn contain(&self, symbol: Symbol, address: impl FnOnce() -> Option<IpAddr>) -> bool {
        if self.symbols.binary_search(&symbol).is_ok() {
            return true;
        }
        if self.networks.is_empty() {
            return false;
        }
        let Some(bits) = address().map(bits_of) else { return false };
        let among = |networks: &Networks| networks.bits.binary_search(&(bits & networks.mask)).is_ok();
        self.networks.iter().any(among)
    }
}

impl List {
    pub fn symbols(&self) -> TextSet {
        TextSet::of(self.field)
    }
}

impl Point for List {
    fn finds(&self, event: &Event<'_>) -> bool {
        let symbol = event.symbol(self.field);
        let address = || event.text(self.field)?.parse().ok();
        symbol != Symbol::MISSING && self.values.contain(symbol, address) != self.not_in
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::event::EventType;
    use crate::core::rule::point::PointWatch;
    use crate::core::rule::table::Watch;
    use crate::core::rule::table::testing::{Pair, Random, at, disordered, given, seconds};

    fn list(field: TextField, values: &[&str]) -> List {
        let mut builder = Builder::new(field);
        values.iter().for_each(|value| builder.add(value).unwrap());
        assert_eq!((builder.len(), builder.is_empty()), (values.len(), values.is_empty()));
        List { field, values: builder.build(), not_in: false }
    }

    fn finds(list: &List, field: TextField, value: &str) -> bool {
        list.finds(&given(1, EventType::LoginFailed, at(0), &[(field, value)]).event)
    }

    #[test]
    fn a_value_is_in_the_list_or_it_is_not_and_a_field_that_is_missing_is_neither() {
        let mut list = list(TextField::DeviceId, &["d1", "00123", "设备"]);
        for (value, within) in [("d1", true), ("00123", true), ("设备", true), ("123", false), ("D1", false)]
        {
            list.not_in = false;
            assert_eq!(finds(&list, TextField::DeviceId, value), within, "{value}");
            list.not_in = true;
            assert_eq!(finds(&list, TextField::DeviceId, value), !within, "{value}");
        }
        for not_in in [false, true] {
            list.not_in = not_in;
            assert!(!finds(&list, TextField::Ip, "d1"), "the field is missing");
        }
    }

    #[test]
    fn addresses_are_compared_as_addresses_and_networks_hold_theirs() {
        let list =
            list(TextField::Ip, &["10.0.0.0/8", "192.168.7.9", "2001:DB8::/32", "2001:db9:0::1", "token-7"]);
        for (ip, within) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.168.7.9", true),
            ("::ffff:192.168.7.9", true),
            ("192.168.7.8", false),
            ("2001:db8:1::1", true),
            ("2001:0db9::1", true),
            ("2001:db9::2", false),
            ("token-7", true),
            ("token-8", false),
        ] {
            assert_eq!(finds(&list, TextField::Ip, ip), within, "{ip}");
        }
        assert_eq!(Builder::new(TextField::Ip).add("10.0.0.0/33"), Err(NoNetwork));
        assert_eq!(Builder::new(TextField::Ip).add("gate/7"), Ok(()), "not every platform writes addresses");
        assert_eq!(Builder::new(TextField::Product).add("10.0.0.0/33"), Ok(()));
    }

    #[test]
    fn any_order_of_arrival_finds_what_asking_value_by_value_finds() {
        let mut findings = 0;
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let value = |random: &mut Random| format!("10.0.{}.{}", random.below(3), random.below(4));
            let mut networks = BTreeSet::new();
            for _ in 0..random.between(1, 6) {
                let length = if random.percent(50) { "/32" } else { "/24" };
                networks.insert(value(&mut random) + length);
            }
            let written: Vec<&str> =
                networks.iter().map(|text| text.strip_suffix("/32").unwrap_or(text)).collect();
            let settings = List { not_in: random.percent(30), ..list(TextField::Ip, &written) };
            let mut events = Vec::new();
            for _ in 0..random.between(1, 40) {
                let ip = value(&mut random);
                let texts = [(TextField::Ip, ip.as_str())];
                let texts = if random.percent(90) { &texts[..] } else { &[] };
                let subject = random.between(1, 2) as u64;
                events.push(given(subject, EventType::LoginFailed, at(random.below(90)), texts));
            }
            let lateness = seconds(random.between(0, 30));
            let new = || Box::new(PointWatch(settings.clone())) as Box<dyn Watch>;
            let arrivals = disordered(&mut random, events.clone(), lateness);
            let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
            let expected = events.iter().filter(|given| {
                let Some(ip) = given.event.text(TextField::Ip) else { return false };
                let holds = |network: &String| Network::parse(network).unwrap().contains(ip);
                networks.iter().any(holds) != settings.not_in
            });
            let expected = expected.map(|given| (given.subject, given.event.time)).collect();
            assert_eq!(pair.said.found, expected, "seed {seed}: {networks:?}");
            findings += pair.said.found.len();
        }
        assert!(findings > 1_000, "{findings}");
    }
}
