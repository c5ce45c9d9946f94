//! One event of the simulated platform in a compact form, and how it is written on the wire.

use std::io::Write;

use crate::core::event::{EventType, Topic};
use crate::core::time::{Span, Time};

use super::market::{channel_at, error_code, product_at, supplier_at};
use super::places::{Network, REGIONS, city_at};

/// An event. `number` counts the events of its account, so that the two of them identify it.
#[derive(Clone, Debug)]
pub struct Record {
    pub time: Time,
    pub account: u32,
    pub number: u32,
    pub event_type: EventType,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Order(Order),
    Login(Login),
    Complaint { order: Option<u32>, category: &'static str },
    Rating { order: u32, score: u8 },
}

/// An order; indices point into the tables of the market.
#[derive(Clone, Debug)]
pub struct Order {
    pub number: u32,
    pub product: u8,
    pub supplier: u8,
    pub channel: u8,
    pub region: u8,
    pub quantity: u8,
    /// Index into the error codes, with what failed.
    pub error: u8,
    pub failed: bool,
    pub address: u32,
    pub device: u16,
    /// Which of the order's keys, for what is about a key.
    pub key: u8,
    /// Costs nothing: what the shop hands out in place of something else.
    pub free: bool,
}

/// A login, or a change to the account made from the same place.
#[derive(Clone, Debug)]
pub struct Login {
    pub address: u32,
    pub device: u16,
    pub city: u8,
    pub network: Network,
    /// Radius in km; the written coordinates lie somewhere within it.
    pub accuracy_km: u16,
    /// Hundredths of a degree by which the database is off.
    pub off_latitude: i16,
    pub off_longitude: i16,
    pub error: u8,
}

/// The device numbers from here on are an intruder's.
pub const INTRUDER_DEVICE: u16 = 900;
/// Device number of a machine that is shared by many, as in a hotel.
pub const SHARED_DEVICE: u16 = 800;

const USER_AGENTS: [&str; 5] = [
    "PointsApp/7.2 Android 15",
    "PointsApp/7.2 iOS 19.1",
    "Edge/141 Windows",
    "Chrome/142 macOS",
    "Chrome/142 Windows",
];

pub fn account_name(account: u32) -> String {
    format!("a{account}")
}

pub fn order_name(account: u32, order: u32) -> String {
    format!("o{account}-{order}")
}

pub fn address_name(address: u32) -> String {
    let [a, b, c, d] = address.to_be_bytes();
    format!("{a}.{b}.{c}.{d}")
}

/// Orders expire when they have not been paid by then.
pub const EXPIRES_AFTER: Span = Span::from_mins(15);

fn device_name(account: u32, device: u16) -> String {
    match device {
        0..SHARED_DEVICE => format!("d{account}-{device}"),
        SHARED_DEVICE..INTRUDER_DEVICE => format!("hotel-{device}"),
        INTRUDER_DEVICE.. => {
            format!("x{:06x}", (u64::from(account) * 2_654_435_761 + u64::from(device)) & 0xFF_FFFF)
        }
    }
}

impl Record {
    pub fn topic(&self) -> Topic {
        self.event_type.topic()
    }

    /// Appends the event as one line of JSON, without the line's end.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _written = self.try_write(out);
    }

    fn try_write(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let account = self.account;
        write!(
            out,
            r#"{{"id":"e{account}-{}","type":"{}","time":"{}","account_id":"a{account}""#,
            self.number, self.event_type, self.time
        )?;
        match &self.body {
            Body::Order(order) => {
                order.write(self.event_type, account, out)?;
                if self.event_type == EventType::OrderCreated {
                    write!(out, r#","expires_at":"{}""#, self.time + EXPIRES_AFTER)?;
                }
            }
            Body::Login(login) => login.write(account, out)?,
            Body::Complaint { order, category } => {
                if let Some(order) = order {
                    write!(out, r#","order_id":"o{account}-{order}""#)?;
                }
                write!(out, r#","category":"{category}""#)?;
            }
            Body::Rating { order, score } => {
                write!(out, r#","order_id":"o{account}-{order}","score":{score}"#)?;
            }
        }
        out.push(b'}');
        Ok(())
    }
}

impl Order {
    fn write(&self, event_type: EventType, account: u32, out: &mut Vec<u8>) -> std::io::Result<()> {
        let product = product_at(self.product);
        let cents = if self.free { 0 } else { u64::from(product.cents) * u64::from(self.quantity) };
        write!(
            out,
            r#","order_id":"o{account}-{}","kind":"{}","product":"{}","supplier":"{}","channel":"{}","region":"{}","#,
            self.number,
            product.kind,
            product.name,
            supplier_at(self.supplier).name,
            channel_at(self.channel).name,
            REGIONS.get(usize::from(self.region)).map_or("", |region| region.name),
        )?;
        write!(
            out,
            r#""amount":"{}.{:02}","currency":"CNY","quantity":{}"#,
            cents / 100,
            cents % 100,
            self.quantity
        )?;
        if self.failed
            && let Some(code) = error_code(self.error)
        {
            write!(out, r#","error_code":"{code}""#)?;
        }
        let is_about_a_key = match event_type {
            EventType::CardRedeemed | EventType::CardRedeemFailed => true,
            EventType::OrderDelivered => product.kind == "card_key",
            _ => false,
        };
        if is_about_a_key {
            write!(out, r#","card_id":"k{account}-{}-{}""#, self.number, self.key)?;
        }
        // What the platform's own machinery does later has no customer's device behind it.
        if matches!(event_type, EventType::OrderCreated | EventType::OrderPaid | EventType::OrderFailed) {
            let [a, b, c, d] = self.address.to_be_bytes();
            write!(out, r#","ip":"{a}.{b}.{c}.{d}","device_id":"{}""#, device_name(account, self.device))?;
        }
        Ok(())
    }
}

impl Login {
    fn write(&self, account: u32, out: &mut Vec<u8>) -> std::io::Result<()> {
        let [a, b, c, d] = self.address.to_be_bytes();
        let agent =
            USER_AGENTS.get(usize::from(self.device) % USER_AGENTS.len()).copied().unwrap_or_default();
        write!(
            out,
            r#","ip":"{a}.{b}.{c}.{d}","device_id":"{}","user_agent":"{agent}""#,
            device_name(account, self.device)
        )?;
        if let Some(code) = error_code(self.error) {
            write!(out, r#","error_code":"{code}""#)?;
        }
        let city = city_at(self.city);
        write!(
            out,
            r#","geo":{{"country":"{}","region":"{}","city":"{}","latitude":{:.2},"longitude":{:.2},"accuracy_km":{},"asn":"AS{}","network":"{}"}}"#,
            city.country,
            city.region,
            city.name,
            city.latitude + f64::from(self.off_latitude) / 100.0,
            city.longitude + f64::from(self.off_longitude) / 100.0,
            self.accuracy_km,
            self.network.asn(self.city),
            self.network.as_str()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: &Record) -> serde_json::Value {
        let mut line = Vec::new();
        record.write(&mut line);
        serde_json::from_slice(&line).expect("a record is written as JSON")
    }

    fn order(failed: bool) -> Body {
        Body::Order(Order {
            number: 3,
            product: 0,
            supplier: 0,
            channel: 1,
            region: 2,
            quantity: 2,
            error: 7,
            failed,
            address: 0x7588_0102,
            device: 0,
            key: 0,
            free: false,
        })
    }

    #[test]
    fn an_order_carries_the_fields_of_the_contract() {
        let record = Record {
            time: Time::from_millis(1_790_000_000_123),
            account: 42,
            number: 7,
            event_type: EventType::OrderFailed,
            body: order(true),
        };
        assert_eq!(
            written(&record),
            serde_json::json!({
                "id": "e42-7", "type": "order.failed", "time": "2026-09-21T14:13:20.123Z", "account_id": "a42",
                "order_id": "o42-3", "kind": "topup", "product": "phone-30", "supplier": "telcolink",
                "channel": "wechat", "region": "zhejiang", "amount": "59.70", "currency": "CNY", "quantity": 2,
                "error_code": "CHANNEL_TIMEOUT", "ip": "117.136.1.2", "device_id": "d42-0",
            })
        );
    }

    #[test]
    fn a_delivery_names_no_device_and_a_success_no_error() {
        let record = Record {
            time: Time::from_millis(0),
            account: 42,
            number: 8,
            event_type: EventType::OrderDelivered,
            body: order(false),
        };
        let json = written(&record);
        for absent in ["ip", "device_id", "error_code", "card_id"] {
            assert!(json.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn an_order_says_when_it_expires_and_a_delivered_key_which_it_is() {
        let of = |event_type, body| {
            written(&Record { time: Time::from_millis(0), account: 42, number: 1, event_type, body })
        };
        let created = of(EventType::OrderCreated, order(false));
        assert_eq!(created["expires_at"], "1970-01-01T00:15:00Z");
        let Body::Order(order) = order(false) else { return };
        let keys = Order { product: 4, key: 1, free: true, ..order };
        let delivered = of(EventType::OrderDelivered, Body::Order(keys));
        assert_eq!((&delivered["card_id"], &delivered["amount"]), (&"k42-3-1".into(), &"0.00".into()));
    }

    #[test]
    fn a_login_says_where_it_came_from() {
        let record = Record {
            time: Time::from_millis(0),
            account: 1,
            number: 1,
            event_type: EventType::LoginSucceeded,
            body: Body::Login(Login {
                address: 0x5B00_0001,
                device: INTRUDER_DEVICE,
                city: 24,
                network: Network::Hosting,
                accuracy_km: 20,
                off_latitude: -10,
                off_longitude: 10,
                error: 0,
            }),
        };
        let geo = &written(&record)["geo"];
        assert_eq!(
            (geo["country"].as_str(), geo["latitude"].as_f64(), geo["network"].as_str()),
            (Some("JP"), Some(35.58), Some("hosting"))
        );
    }
}
