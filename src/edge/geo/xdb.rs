//! Databases of ip2region (xdb): for each range of addresses a line `国家|区域|省|市|ISP`, or in newer ones
//! `国家|省|市|ISP|code`. A 0 stands for what is not known.
//!
//! The file: a header of 256 bytes, an index of 256 × 256 entries by the first two bytes of an address, then the lines and the
//! ranges, in the order of their addresses. Version 2 is about IPv4; version 3 says which of the two, and writes IPv6 addresses
//! highest byte first.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::core::event::Located;

const HEADER: usize = 256;
const FIRST_INDEX: usize = 256 * 256 * 8;

pub struct Xdb {
    bytes: Vec<u8>,
    /// The bytes of an address: 4 or 16.
    width: usize,
    /// Where the ranges end.
    end: usize,
}

impl Xdb {
    pub fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let short = || "it ends within its header".to_owned();
        let version = number(&bytes, 0, 2).ok_or_else(short)?;
        let width = match (version, number(&bytes, 16, 2).ok_or_else(short)?) {
            (2, _) | (3, 4) => 4,
            (3, 6) => 16,
            _ => {
                return Err(format!(
                    "it says that it is version {version}; expected 2 or 3 of ip2region's xdb"
                ));
            }
        };
        let (first, last) =
            (number(&bytes, 8, 4).ok_or_else(short)?, number(&bytes, 12, 4).ok_or_else(short)?);
        let range = 2 * width + 6;
        let database = Self { bytes, width, end: last + range };
        if first < HEADER + FIRST_INDEX || last < first || (last - first) % range != 0 {
            return Err("its header does not say where its ranges are".to_owned());
        }
        // Of every range, where it begins and ends, and that its line is there.
        let mut before: Option<&[u8]> = None;
        for at in (first..=last).step_by(range) {
            let broken = || format!("the range at byte {at} is broken");
            let entry = database.bytes.get(at..at + range).ok_or_else(broken)?;
            database.line(entry).ok_or_else(broken)?;
            let (start, end) = entry.get(..2 * width).ok_or_else(broken)?.split_at(width);
            if database.order(start, end).is_gt()
                || before.is_some_and(|before| database.order(before, start).is_ge())
            {
                return Err(broken());
            }
            before = Some(end);
        }
        Ok(database)
    }

    const fn range_bytes(&self) -> usize {
        2 * self.width + 6
    }

    /// How two addresses as they are written compare: IPv4 stands lowest byte first.
    fn order(&self, one: &[u8], other: &[u8]) -> std::cmp::Ordering {
        if self.width == 4 { one.iter().rev().cmp(other.iter().rev()) } else { one.cmp(other) }
    }

    fn line(&self, entry: &[u8]) -> Option<&str> {
        let length = number(entry, 2 * self.width, 2)?;
        let at = number(entry, 2 * self.width + 2, 4)?;
        std::str::from_utf8(self.bytes.get(at..at.checked_add(length)?)?).ok()
    }

    pub fn find(&self, address: IpAddr) -> Option<Located<'_>> {
        let (written, leading) = match address {
            IpAddr::V4(address) if self.width == 4 => {
                let [one, two, three, four] = address.octets();
                (vec_of([four, three, two, one]), [one, two])
            }
            IpAddr::V6(address) if self.width == 16 => {
                let octets = address.octets();
                (octets, [octets[0], octets[1]])
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        let written = written.get(..self.width)?;
        let vector = HEADER + (usize::from(leading[0]) * 256 + usize::from(leading[1])) * 8;
        let (first, last) = (number(&self.bytes, vector, 4)?, number(&self.bytes, vector + 4, 4)?);
        let range = self.range_bytes();
        // Whether the last one belongs to it, makers of these files see differently.
        let end = (last + range).min(self.end);
        let (mut low, mut high) = (0, end.checked_sub(first)? / range);
        if first < HEADER + FIRST_INDEX {
            return None;
        }
        while low < high {
            let middle = low.midpoint(high);
            let at = first + middle * range;
            let entry = self.bytes.get(at..at + range)?;
            if self.order(written, entry.get(..self.width)?).is_lt() {
                high = middle;
            } else if self.order(written, entry.get(self.width..2 * self.width)?).is_gt() {
                low = middle + 1;
            } else {
                return self.line(entry).and_then(located);
            }
        }
        None
    }
}

const fn vec_of(octets: [u8; 4]) -> [u8; 16] {
    let [one, two, three, four] = octets;
    [one, two, three, four, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn located(line: &str) -> Option<Located<'_>> {
    let mut parts = line.split('|').map(|part| if part == "0" { "" } else { part });
    let mut next = || parts.next().unwrap_or("");
    let parts = [next(), next(), next(), next(), next()];
    let is_code = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let (country, region, city, network) = match parts {
        [_, region, city, network, code] if is_code(code) => (code, region, city, network),
        ["中国", _, region, city, network] => ("CN", region, city, network),
        [country, _, region, city, network] => (country, region, city, network),
    };
    let located = Located {
        country: Cow::Borrowed(country),
        region: Cow::Borrowed(region),
        city: Cow::Borrowed(city),
        network: Cow::Borrowed(network),
        ..Located::default()
    };
    (located != Located::default()).then_some(located)
}

/// A number, lowest byte first.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}
