//! What must not be seen: values that print as `***` wherever they are shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// What a secret looks like in every output.
pub const HIDDEN: &str = "***";

/// Options of librdkafka whose value is a secret. For each, `<name>_file` names a file that holds it.
pub const SECRET_OPTIONS: [&str; 8] = [
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl_key",
    "sasl.oauthbearer.assertion.private.key.passphrase",
];

/// The value of an option for librdkafka; some of them are secrets.
#[derive(Clone)]
pub enum OptionValue {
    Plain(String),
    Secret(SecretString),
}

impl OptionValue {
    pub fn new(name: &str, value: String) -> Self {
        if SECRET_OPTIONS.contains(&name) { Self::Secret(value.into()) } else { Self::Plain(value) }
    }

    /// The value itself, for the client that needs it.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Secret(value) => value.expose_secret(),
        }
    }
}

impl fmt::Debug for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => value.fmt(f),
            Self::Secret(_) => f.write_str(HIDDEN),
        }
    }
}
