//! From what was written to what is checked: values that depend on each other, secrets in files, names that must exist.

mod events;
mod geo;
mod http;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::calendars;
use super::error::Problem;
use super::layers::Layers;
use super::raw::{RawKafka, RawLocale, RawLogFormat, RawMode, RawNotices, RawSmtp, RawTls, Written};
use super::secret::{OptionValue, SECRET_OPTIONS};
use super::{
    CustomerSettings, KafkaSettings, LogFormat, LogSettings, NoticeSettings, PostgresSettings, RuleSettings,
    SecretString, Settings, SettingsError, SmtpLogin, SmtpSettings, Start, StateSettings, StoreSettings, Tls,
    TopicSettings,
};
use crate::core::calendar::Calendars;
use crate::core::time::{Span, Time};
use crate::delivery::customers::Locale;
use crate::delivery::dispatch::Mode;
use crate::delivery::guard::Limits;

/// A password is one line; a larger file is not one.
const MAX_SECRET_BYTES: u64 = 64 << 10;

pub(super) fn check(layers: &Layers) -> Result<Settings, SettingsError> {
    let mut check = Check { layers, problems: Vec::new() };
    match check.settings() {
        Some(settings) if check.problems.is_empty() => Ok(settings),
        _ => Err(SettingsError(check.problems)),
    }
}

struct Check<'l> {
    layers: &'l Layers,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn wrong(&mut self, key: &str, what: impl Into<String>) {
        self.problems.push(self.layers.problem(key, what));
    }

    /// Collects the problems of all sections before it gives up.
    fn settings(&mut self) -> Option<Settings> {
        let raw = &self.layers.raw;
        let time_zone = self.time_zone(&raw.time_zone);
        let kafka = self.kafka(&raw.kafka);
        let topics = self.topics();
        let store = self.store();
        let customers = self.customers();
        let smtp = raw.smtp.as_ref().map(|smtp| self.smtp(smtp));
        let (departments, geo) = (self.departments(), self.geo());
        let events = self.events(&raw.events, &raw.faults);
        let http = self.http(&raw.http);
        let calendars = self.calendars(&raw.time_zone);
        if tracing_subscriber::EnvFilter::builder().parse(&raw.log.level).is_err() {
            let expected =
                "expected a level such as \"info\", or directives such as \"info,forewarn::edge=debug\"";
            self.wrong("log.level", format!("is {:?}; {expected}", raw.log.level));
        }
        if raw.rules.path.as_os_str().is_empty() {
            self.wrong("rules.path", "is empty; expected a folder of rule files");
        }
        if !(1..=100).contains(&raw.rules.history_cpu) {
            let told = format!("is {}; expected 1 to 100, in per cent of one core", raw.rules.history_cpu);
            self.wrong("rules.history_cpu", told);
        }
        Some(Settings {
            kafka: kafka?,
            topics,
            rules: RuleSettings {
                path: raw.rules.path.clone(),
                watch: raw.rules.watch,
                history_share: f64::from(raw.rules.history_cpu.clamp(1, 100)) / 100.0,
            },
            store: store?,
            state: StateSettings { dir: raw.state.dir.clone(), recovery: duration(raw.state.recovery) },
            customers,
            smtp: smtp.flatten(),
            departments,
            geo,
            events: events?,
            notices: notices(&raw.notices),
            http: http?,
            log: LogSettings {
                format: match raw.log.format {
                    RawLogFormat::Text => LogFormat::Text,
                    RawLogFormat::Json => LogFormat::Json,
                },
                level: raw.log.level.clone(),
            },
            calendars: Arc::new(calendars),
            time_zone: time_zone?,
            locale: match raw.locale {
                RawLocale::ZhCn => Locale::ZhCn,
                RawLocale::En => Locale::En,
            },
            shutdown_timeout: duration(raw.shutdown_timeout),
        })
    }

    fn time_zone(&mut self, name: &str) -> Option<String> {
        if jiff::tz::TimeZone::get(name).is_ok() {
            return Some(name.to_owned());
        }
        self.wrong(
            "time_zone",
            format!("there is no time zone {name:?}; expected one such as \"Asia/Shanghai\""),
        );
        None
    }

    fn calendars(&mut self, time_zone: &str) -> Calendars {
        let layers = self.layers;
        calendars::check(&layers.raw.calendars, time_zone, |key, what| self.wrong(key, what))
    }

    fn kafka(&mut self, raw: &RawKafka) -> Option<KafkaSettings> {
        let brokers: Vec<String> = raw
            .brokers
            .0
            .iter()
            .flat_map(|broker| broker.split(','))
            .map(|broker| broker.trim().to_owned())
            .filter(|broker| !broker.is_empty())
            .collect();
        if brokers.is_empty() {
            self.wrong("kafka.brokers", "is empty; expected at least one \"host:port\"");
        }
        if raw.group.trim().is_empty() {
            self.wrong("kafka.group", "is empty; expected the name of a consumer group");
        }
        match raw.workers {
            1 => {}
            0 => self.wrong("kafka.workers", "is 0; expected 1"),
            more => self.wrong(
                "kafka.workers",
                format!("is {more}, but this version runs one worker per process; expected 1"),
            ),
        }
        if !(1..=100_000).contains(&raw.poll_batch) {
            self.wrong("kafka.poll_batch", format!("is {}; expected 1 to 100000", raw.poll_batch));
        }
        if raw.held_bytes < 1 << 20 {
            self.wrong("kafka.held_bytes", format!("is {}; expected at least 1048576", raw.held_bytes));
        }
        let options = self.kafka_options(&raw.options.0);
        let start = self.start(&raw.start)?;
        Some(KafkaSettings {
            brokers,
            group: raw.group.clone(),
            start,
            workers: raw.workers,
            options,
            poll_batch: usize::try_from(raw.poll_batch).ok()?,
            held_bytes: usize::try_from(raw.held_bytes).ok()?,
        })
    }

    fn start(&mut self, text: &str) -> Option<Start> {
        match text {
            "earliest" => Some(Start::Earliest),
            "latest" => Some(Start::Latest),
            time => match time.parse::<jiff::Timestamp>() {
                Ok(time) => Some(Start::At(Time::from_millis(time.as_millisecond()))),
                Err(_) => {
                    let expected =
                        "expected \"earliest\", \"latest\" or a time such as \"2026-10-01T08:00:00Z\"";
                    self.wrong("kafka.start", format!("is {text:?}; {expected}"));
                    None
                }
            },
        }
    }

    fn kafka_options(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<String, OptionValue> {
        /// What the daemon itself must decide; another value would lose events or tell customers twice.
        const OURS: [(&str, &str); 5] = [
            ("bootstrap.servers", "kafka.brokers says it"),
            ("metadata.broker.list", "kafka.brokers says it"),
            ("group.id", "kafka.group says it"),
            ("enable.auto.commit", "offsets are committed once their effects are durable"),
            ("enable.auto.offset.store", "offsets are committed once their effects are durable"),
        ];
        let mut options = BTreeMap::new();
        for (name, value) in written {
            let key = format!("kafka.options.{name}");
            if let Some((_, reason)) = OURS.iter().find(|(ours, _)| ours == name) {
                self.wrong(&key, format!("can't be set here: {reason}"));
                continue;
            }
            let secret = name.strip_suffix("_file").filter(|base| SECRET_OPTIONS.contains(base));
            if let Some(base) = secret {
                if written.contains_key(base) {
                    self.wrong(&key, format!("is given together with {base:?}; expected one of them"));
                } else if let Some(text) = self.read_secret(&key, Path::new(value)) {
                    options.insert(base.to_owned(), OptionValue::new(base, text));
                }
            } else {
                options.insert(name.clone(), OptionValue::new(name, value.clone()));
            }
        }
        options
    }

    fn topics(&mut self) -> TopicSettings {
        let raw = &self.layers.raw.topics;
        let all = [
            ("topics.orders", &raw.orders),
            ("topics.logins", &raw.logins),
            ("topics.catalog", &raw.catalog),
            ("topics.feedback", &raw.feedback),
        ];
        let mut named: Vec<(&str, &str)> =
            all.iter().filter_map(|(key, name)| Some((*key, name.as_deref()?))).collect();
        named.push(("topics.dead_letter", &raw.dead_letter));
        named.extend(raw.changelog.as_deref().map(|name| ("topics.changelog", name)));
        for (number, (key, name)) in named.iter().enumerate() {
            let is_legal = !name.is_empty()
                && name.len() <= 249
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
            if !is_legal {
                let expected = "expected 1 to 249 letters, digits, points, underscores or hyphens";
                self.wrong(key, format!("{name:?} is no name of a topic; {expected}"));
            }
            if let Some((other, _)) = named.iter().take(number).find(|(_, earlier)| earlier == name) {
                self.wrong(key, format!("{name:?} is the same topic as {other}; expected another"));
            }
        }
        // Whoever names none has them under their usual names.
        let is_bare = all.iter().all(|(_, name)| name.is_none());
        let usual = |name: &str| is_bare.then(|| name.to_owned());
        TopicSettings {
            orders: raw.orders.clone().or_else(|| usual("orders")),
            logins: raw.logins.clone().or_else(|| usual("logins")),
            catalog: raw.catalog.clone(),
            feedback: raw.feedback.clone(),
            dead_letter: raw.dead_letter.clone(),
            changelog: raw.changelog.clone(),
        }
    }

    fn store(&mut self) -> Option<StoreSettings> {
        let raw = &self.layers.raw.store;
        let url = match (&raw.url, &raw.url_file) {
            (Some(_), Some(_)) => {
                self.wrong("store.url_file", "is given together with store.url; expected one of them");
                return None;
            }
            (Some(url), None) => url.clone(),
            (None, Some(path)) => self.read_secret("store.url_file", path)?,
            (None, None) => "sqlite:forewarn.db".to_owned(),
        };
        let key = if raw.url_file.is_some() { "store.url_file" } else { "store.url" };
        // The value may hold a password, so it is not repeated.
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return match PostgresSettings::parse(url) {
                Ok(settings) => Some(StoreSettings::Postgres(settings)),
                Err(problem) => {
                    self.wrong(key, problem);
                    None
                }
            };
        }
        let path = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) if !path.is_empty() && !path.contains('?') => {
                Some(StoreSettings::Sqlite(PathBuf::from(path)))
            }
            _ => {
                let expected =
                    "expected \"sqlite:FILE\", without parameters, or \"postgres://USER@HOST/DATABASE\"";
                self.wrong(key, format!("is no address of a database; {expected}"));
                None
            }
        }
    }

    fn customers(&mut self) -> Option<CustomerSettings> {
        let raw = &self.layers.raw.customers;
        match (&raw.file, &raw.topic) {
            (Some(_), Some(_)) => {
                self.wrong("customers.topic", "is given together with customers.file; expected one of them");
                None
            }
            (Some(file), None) => Some(CustomerSettings::File(file.clone())),
            (None, Some(topic)) => Some(CustomerSettings::Topic(topic.clone())),
            (None, None) => None,
        }
    }

    fn smtp(&mut self, raw: &RawSmtp) -> Option<SmtpSettings> {
        let (tls, usual_port) = match raw.tls {
            RawTls::StartTls => (Tls::StartTls, 587),
            RawTls::Implicit => (Tls::Implicit, 465),
            RawTls::None => (Tls::None, 25),
        };
        let mut required = |name: &str, value: &Option<String>, expected: &str| {
            let value = value.as_ref().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
            if value.is_none() {
                self.wrong(&format!("smtp.{name}"), format!("is missing; expected {expected}"));
            }
            value
        };
        let host = required("host", &raw.host, "the name of the mail server, or no section [smtp] at all");
        let from = required("from", &raw.from, "the sender, such as \"Service <service@example.com>\"");
        if let Some(from) = &from
            && !is_mailbox(from)
        {
            self.wrong(
                "smtp.from",
                format!("{from:?} is no sender; expected \"Service <service@example.com>\""),
            );
        }
        if !(1..=64).contains(&raw.connections) {
            self.wrong("smtp.connections", format!("is {}; expected 1 to 64", raw.connections));
        }
        if raw.timeout.0 == Span::ZERO {
            self.wrong("smtp.timeout", "is zero; expected how long the server may take, such as \"30s\"");
        }
        let password = self.secret(
            "smtp.password",
            raw.password.as_deref(),
            "smtp.password_file",
            raw.password_file.as_deref(),
        );
        let login = match (&raw.user, password) {
            (Some(user), Ok(Some(password))) => Some(SmtpLogin { user: user.clone(), password }),
            (Some(_), Ok(None)) => {
                self.wrong("smtp.user", "is given without a password; expected smtp.password_file too");
                None
            }
            (None, Ok(Some(_))) => {
                let key = if raw.password_file.is_some() { "smtp.password_file" } else { "smtp.password" };
                self.wrong(key, "is given without smtp.user; expected both or neither");
                None
            }
            (_, Err(Reported) | Ok(None)) => None,
        };
        if login.is_some() && tls == Tls::None {
            self.wrong(
                "smtp.tls",
                "is \"none\", but a password would be sent; expected \"starttls\" or \"implicit\"",
            );
        }
        Some(SmtpSettings {
            host: host?,
            port: raw.port.unwrap_or(usual_port),
            tls,
            from: from?,
            login,
            ca_file: raw.ca_file.clone(),
            connections: usize::try_from(raw.connections).ok()?,
            timeout: duration(raw.timeout),
            resend_unconfirmed: raw.resend_unconfirmed,
        })
    }

    fn departments(&mut self) -> BTreeMap<String, String> {
        let departments = &self.layers.raw.departments;
        for (name, address) in departments {
            if !is_mailbox(address) {
                self.wrong(
                    &format!("departments.{name}"),
                    "is no mail address; expected one such as \"team@example.com\"",
                );
            }
        }
        departments.clone()
    }

    /// A secret that is given itself or as a file.
    fn secret(
        &mut self,
        key: &str,
        value: Option<&str>,
        file_key: &str,
        file: Option<&Path>,
    ) -> Result<Option<SecretString>, Reported> {
        match (value, file) {
            (Some(_), Some(_)) => {
                self.wrong(file_key, format!("is given together with {key}; expected one of them"));
                Err(Reported)
            }
            (Some(value), None) => Ok(Some(value.into())),
            (None, Some(file)) => match self.read_secret(file_key, file) {
                Some(text) => Ok(Some(text.into())),
                None => Err(Reported),
            },
            (None, None) => Ok(None),
        }
    }

    fn read_secret(&mut self, key: &str, file: &Path) -> Option<String> {
        let what = match read_small(file) {
            Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {
                "is empty; expected the secret".to_owned()
            }
            Ok(text) => return Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => format!("cannot be read: {error}"),
        };
        self.wrong(key, format!("the file {} {what}", file.display()));
        None
    }
}

/// The problem is on the list already.
struct Reported;

fn read_small(file: &Path) -> std::io::Result<String> {
    let about = std::fs::metadata(file)?;
    if about.len() > MAX_SECRET_BYTES {
        return Err(std::io::Error::other("it is too large for a secret"));
    }
    std::fs::read_to_string(file)
}

/// A local part and a host with something on both sides; whether mail arrives there only sending tells.
fn is_mailbox(text: &str) -> bool {
    let address = match text.rsplit_once('<') {
        Some((_, address)) => match address.strip_suffix('>') {
            Some(address) => address,
            None => return false,
        },
        None => text,
    };
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains([' ', '<', '>', ',', ';']) && !part.contains(char::is_control)
    };
    address.rsplit_once('@').is_some_and(|(local, host)| is_plain(local) && is_plain(host))
}

fn notices(raw: &RawNotices) -> NoticeSettings {
    NoticeSettings {
        mode: match raw.mode {
            RawMode::Send => Mode::Send,
            RawMode::Hold => Mode::Hold,
            RawMode::Off => Mode::Off,
        },
        max_age: (raw.max_age.0 > Span::ZERO).then_some(raw.max_age.0),
        limits: Limits {
            per_minute: raw.per_minute,
            per_rule: raw.per_rule,
            per_incident: raw.per_incident,
            staff_per_minute: raw.staff_per_minute,
        },
        brand: raw.brand.clone(),
        templates: raw.templates.clone(),
    }
}

fn duration(written: Written) -> Duration {
    Duration::from_millis(u64::try_from(written.0.as_millis()).unwrap_or_default())
}
