//! The written form: sections and keys as they stand in the file, each with its default. What a value means is decided
//! in `check`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::core::rule::parse::parse_duration;
use crate::core::time::Span;
use crate::delivery::guard::Limits;

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawSettings {
    pub time_zone: String,
    pub locale: RawLocale,
    pub shutdown_timeout: Written,
    pub kafka: RawKafka,
    pub topics: RawTopics,
    pub rules: RawRules,
    pub store: RawStore,
    pub state: RawState,
    pub customers: RawCustomers,
    pub smtp: Option<RawSmtp>,
    pub departments: BTreeMap<String, String>,
    pub geo: RawGeo,
    pub faults: RawFaults,
    pub events: RawEvents,
    pub notices: RawNotices,
    pub http: RawHttp,
    pub log: RawLog,
    pub calendars: BTreeMap<String, RawCalendar>,
    /// Read by later parts; any content is accepted.
    pub sla: BTreeMap<String, Anything>,
    pub guard: BTreeMap<String, Anything>,
}

impl Default for RawSettings {
    fn default() -> Self {
        Self {
            time_zone: "Asia/Shanghai".to_owned(),
            locale: RawLocale::ZhCn,
            shutdown_timeout: Written::secs(30),
            kafka: RawKafka::default(),
            topics: RawTopics::default(),
            rules: RawRules::default(),
            store: RawStore::default(),
            state: RawState::default(),
            customers: RawCustomers::default(),
            smtp: None,
            departments: BTreeMap::new(),
            geo: RawGeo::default(),
            faults: RawFaults::default(),
            events: RawEvents::default(),
            notices: RawNotices::default(),
            http: RawHttp::default(),
            log: RawLog::default(),
            calendars: BTreeMap::new(),
            sla: BTreeMap::new(),
            guard: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum RawLocale {
    #[serde(rename = "zh-CN")]
    ZhCn,
    #[serde(rename = "en")]
    En,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawKafka {
    pub brokers: TextList,
    pub group: String,
    pub start: String,
    pub workers: u32,
    pub poll_batch: u32,
    pub held_bytes: u64,
    pub options: Options,
}

impl Default for RawKafka {
    fn default() -> Self {
        Self {
            brokers: TextList(vec!["127.0.0.1:9092".to_owned()]),
            group: "forewarn".to_owned(),
            start: "latest".to_owned(),
            workers: 1,
            poll_batch: 64,
            held_bytes: 64 << 20,
            options: Options::default(),
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawTopics {
    pub orders: Option<String>,
    pub logins: Option<String>,
    pub catalog: Option<String>,
    pub feedback: Option<String>,
    pub dead_letter: String,
    pub changelog: Option<String>,
}

impl Default for RawTopics {
    fn default() -> Self {
        Self {
            orders: None,
            logins: None,
            catalog: None,
            feedback: None,
            dead_letter: "forewarn.dead-letter".to_owned(),
            changelog: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawRules {
    pub path: PathBuf,
    pub watch: bool,
    /// Per cent of one core.
    pub history_cpu: u32,
}

impl Default for RawRules {
    fn default() -> Self {
        Self { path: PathBuf::from("rules"), watch: true, history_cpu: 50 }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawStore {
    /// `sqlite:forewarn.db` where neither is given.
    pub url: Option<String>,
    pub url_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawState {
    pub dir: PathBuf,
    pub recovery: Written,
}

impl Default for RawState {
    fn default() -> Self {
        Self { dir: PathBuf::from("forewarn-state"), recovery: Written::secs(10) }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawCustomers {
    pub file: Option<PathBuf>,
    pub topic: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawGeo {
    pub database: Option<PathBuf>,
    pub networks: Option<PathBuf>,
    pub cities: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawSmtp {
    pub host: Option<String>,
    /// 587 with `starttls`, 465 with `implicit`, 25 with `none`.
    pub port: Option<u16>,
    pub tls: RawTls,
    pub from: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub connections: u32,
    pub timeout: Written,
    pub resend_unconfirmed: bool,
}

impl Default for RawSmtp {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            tls: RawTls::StartTls,
            from: None,
            user: None,
            password: None,
            password_file: None,
            ca_file: None,
            connections: 4,
            timeout: Written::secs(30),
            resend_unconfirmed: false,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RawTls {
    StartTls,
    Implicit,
    None,
}

/// Globs of error codes. Tried in this order.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawFaults {
    pub customer: TextList,
    pub channel: TextList,
    pub supplier: TextList,
    pub platform: TextList,
    pub none: TextList,
    pub unknown: TextList,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawEvents {
    pub extra: TextList,
    pub max_ahead: Written,
    pub mapping: BTreeMap<String, RawMapping>,
}

impl Default for RawEvents {
    fn default() -> Self {
        Self { extra: TextList::default(), max_ahead: Written::secs(300), mapping: BTreeMap::new() }
    }
}

/// A mapping in full; a text alone, or a list of texts, stands for `pointer`.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct RawMapping {
    pub pointer: TextList,
    pub values: BTreeMap<String, String>,
    pub default: Option<String>,
    pub format: Option<RawTimeFormat>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RawTimeFormat {
    Any,
    Rfc3339,
    EpochS,
    EpochMs,
    EpochUs,
    EpochNs,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawNotices {
    pub mode: RawMode,
    pub max_age: Written,
    pub per_minute: u32,
    pub per_rule: u32,
    pub per_incident: u32,
    pub staff_per_minute: u32,
    pub brand: String,
    pub templates: Option<PathBuf>,
}

impl Default for RawNotices {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            mode: RawMode::Send,
            max_age: Written::secs(6 * 3_600),
            per_minute: limits.per_minute,
            per_rule: limits.per_rule,
            per_incident: limits.per_incident,
            staff_per_minute: limits.staff_per_minute,
            brand: "forewarn".to_owned(),
            templates: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RawMode {
    Send,
    Hold,
    Off,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawHttp {
    pub listen: String,
    pub reload_token: Option<String>,
    pub reload_token_file: Option<PathBuf>,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9290".to_owned(), reload_token: None, reload_token_file: None }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawLog {
    pub format: RawLogFormat,
    pub level: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { format: RawLogFormat::Text, level: "info".to_owned() }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RawLogFormat {
    Text,
    Json,
}

/// Hours of weekdays, dated spans, or both.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RawCalendar {
    /// The configuration's own where left out.
    pub time_zone: Option<String>,
    pub hours: BTreeMap<String, TextList>,
    pub holidays: TextList,
    pub workdays: TextList,
    pub spans: TextList,
}

/// A duration in the form of the rule files: `30s`, `10m`, `6h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written(pub Span);

impl Written {
    const fn secs(seconds: i64) -> Self {
        Self(Span::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match parse_duration(&text) {
            Some(span) if span >= Span::ZERO => Ok(Self(span)),
            _ => Err(D::Error::custom(format_args!(
                "{text:?} is not a duration; expected one such as \"30s\", \"10m\", \"6h\" or \"7d\""
            ))),
        }
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list of texts; a text alone is a list of one.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct TextList(pub Vec<String>);

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TextListVisitor)
    }
}

struct TextListVisitor;

impl<'de> Visitor<'de> for TextListVisitor {
    type Value = TextList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<TextList, E> {
        Ok(TextList(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TextList, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<String>()? {
            list.push(item);
        }
        Ok(TextList(list))
    }
}

/// A table whose content is somebody else's business.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(transparent)]
pub struct Anything(pub serde_json::Value);

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(Self)
    }
}

/// Options for librdkafka. Their names hold points, so that `security.protocol` may also be written as a table.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Options(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        let mut options = BTreeMap::new();
        for (name, value) in written {
            flatten(name, value, &mut options).map_err(D::Error::custom)?;
        }
        Ok(Self(options))
    }
}

fn flatten(
    name: String,
    value: serde_json::Value,
    options: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    use serde_json::Value;
    let text = match value {
        Value::String(text) => text,
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Object(members) => {
            for (member, value) in members {
                flatten(format!("{name}.{member}"), value, options)?;
            }
            return Ok(());
        }
        Value::Null | Value::Array(_) => {
            return Err(format!("option {name:?} is a list; expected a text, a number or a truth value"));
        }
    };
    options.insert(name, text);
    Ok(())
}

impl<'de> Deserialize<'de> for RawMapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MappingVisitor)
    }
}

struct MappingVisitor;

impl<'de> Visitor<'de> for MappingVisitor {
    type Value = RawMapping;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON pointer, a list of them, or a table with pointer, values, default and format")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawMapping, E> {
        Ok(RawMapping { pointer: TextList(vec![text.to_owned()]), ..RawMapping::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<RawMapping, A::Error> {
        Ok(RawMapping { pointer: TextListVisitor.visit_seq(items)?, ..RawMapping::default() })
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<RawMapping, A::Error> {
        /// The same keys, read as a plain table.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            #[serde(default)]
            pointer: TextList,
            #[serde(default)]
            values: BTreeMap<String, String>,
            default: Option<String>,
            format: Option<RawTimeFormat>,
        }
        let table = Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        let Table { pointer, values, default, format } = table;
        Ok(RawMapping { pointer, values, default, format })
    }
}
