//! The configuration: what was written (`raw`) becomes what is checked ([`Settings`]).
//!
//! Layers, later ones winning: defaults, the file, the environment (`FOREWARN__SECTION__KEY`), flags. Nothing else
//! in the house reads the environment. A relative path is taken from the working directory.

pub mod build;
mod calendars;
mod check;
mod error;
mod layers;
mod raw;
mod secret;
mod show;
mod store;
mod strict;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::core::calendar::Calendars;
use crate::core::event::decode::EventSettings;
use crate::core::time::{Span, Time};
use crate::delivery::customers::Locale;
use crate::delivery::dispatch::Mode;
use crate::delivery::guard::Limits;

pub use error::{Problem, SettingsError};
pub use layers::{Layers, Sources};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::OptionValue;
pub use store::PostgresSettings;

/// The whole configuration with comments, every key at its default or, where it has none, as an example.
pub const EXAMPLE: &str = include_str!("settings/example.toml");

/// The whole configuration, checked. Sections that a platform may lack are optional.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kafka: KafkaSettings,
    pub topics: TopicSettings,
    pub rules: RuleSettings,
    pub store: StoreSettings,
    pub state: StateSettings,
    /// [`None`]: nobody's address is known, so nobody is told.
    pub customers: Option<CustomerSettings>,
    /// [`None`]: no mail can be sent.
    pub smtp: Option<SmtpSettings>,
    /// Mail addresses of departments, so that they hear of their tickets; `default` stands for all others.
    pub departments: BTreeMap<String, String>,
    /// [`None`]: where an event was is known when the platform says it.
    pub geo: Option<GeoSettings>,
    /// How records are read, fault table included.
    pub events: EventSettings,
    pub notices: NoticeSettings,
    pub http: HttpSettings,
    pub log: LogSettings,
    /// By the names under which rules know them.
    pub calendars: Arc<Calendars>,
    /// The time zone of messages to staff and to customers whose own is not known.
    pub time_zone: String,
    /// The locale of messages to staff and to customers whose own is not known.
    pub locale: Locale,
    /// How long a stop may take to drain before the process gives up.
    pub shutdown_timeout: Duration,
}

impl Settings {
    /// Reads and checks all layers. The errors name file or variable, key, and what was expected.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        Layers::read(sources)?.check()
    }
}

impl Layers {
    pub fn check(&self) -> Result<Settings, SettingsError> {
        check::check(self)
    }

    /// What holds after all layers, as a configuration file; secrets read `***`. With `origin`, each line says where
    /// its value comes from.
    pub fn show(&self, origin: ShowOrigin) -> String {
        show::show(self, origin)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowOrigin {
    Yes,
    No,
}

#[derive(Clone, Debug)]
pub struct KafkaSettings {
    pub brokers: Vec<String>,
    pub group: String,
    pub start: Start,
    /// Always 1 so far; more is refused when the configuration is read.
    pub workers: u32,
    /// Handed to librdkafka as they are, over the daemon's own choices.
    pub options: BTreeMap<String, OptionValue>,
    /// Records taken from a topic in one turn.
    pub poll_batch: usize,
    /// Bytes of records that may wait in a worker because their partition is ahead of the others.
    pub held_bytes: usize,
}

/// Where a group without committed offsets begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    At(Time),
}

/// The names of the topics; those that a platform does not have are [`None`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    pub orders: Option<String>,
    pub logins: Option<String>,
    pub catalog: Option<String>,
    pub feedback: Option<String>,
    /// Where records that can't be read go.
    pub dead_letter: String,
    /// Where the state is kept beside the state folder, so that another machine can go on from it.
    pub changelog: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RuleSettings {
    /// A folder of rule files, or one file.
    pub path: PathBuf,
    /// A change of the files is taken up without being asked for.
    pub watch: bool,
    /// Of one core, what reading history for new and changed rules may take.
    pub history_share: f64,
}

/// Where tickets, the outbox and the audit trail are kept.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// A file.
    Sqlite(PathBuf),
    /// A database on a server.
    Postgres(PostgresSettings),
}

impl fmt::Display for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(settings) => f.write_str(&settings.name),
        }
    }
}

/// The local snapshot of the engine's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    pub dir: PathBuf,
    /// How much input, in time of reading it, a restart may have to read again.
    pub recovery: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerSettings {
    /// A CSV or JSON Lines file, by its extension.
    File(PathBuf),
    /// A compacted topic keyed by account.
    Topic(String),
}

/// The location files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoSettings {
    /// In MaxMind's format, or ip2region's where the name ends in `.xdb`.
    pub database: PathBuf,
    /// Another in MaxMind's format, asked for network and AS number.
    pub networks: Option<PathBuf>,
    /// Where cities are, for a database without coordinates.
    pub cities: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct SmtpSettings {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// The mailbox that messages come from: `Service <service@example.com>`.
    pub from: String,
    pub login: Option<SmtpLogin>,
    /// A PEM file of authorities to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Connections used at the same time.
    pub connections: usize,
    /// How long each phase of a conversation may take.
    pub timeout: Duration,
    /// Whether what was handed over without an answer is sent again: at least once in place of at most once.
    pub resend_unconfirmed: bool,
}

#[derive(Clone, Debug)]
pub struct SmtpLogin {
    pub user: String,
    pub password: SecretString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Required: a server that does not offer it gets no mail.
    StartTls,
    Implicit,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSettings {
    pub mode: Mode,
    /// Nothing older is sent; [`None`]: no limit.
    pub max_age: Option<Span>,
    pub limits: Limits,
    /// Who the messages come from, as customers know it.
    pub brand: String,
    /// A folder of templates that stand in for the shipped ones of the same name.
    pub templates: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// [`None`]: no metrics, health or status over HTTP.
    pub listen: Option<SocketAddr>,
    /// Who has it may have the rules read anew; [`None`]: nobody.
    pub reload_token: Option<SecretString>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    /// A level, or directives such as `info,forewarn::edge=debug`.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
