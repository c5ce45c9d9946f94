//! The address of a PostgreSQL database: what may stand in it, and how it is called without its password.

use std::str::FromStr as _;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

/// A database on a server.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// With the password, if it is given here.
    pub url: SecretString,
    /// How people call it: `postgres://host:port/database`.
    pub name: String,
}

/// The parameters that an address may have.
const PARAMETERS: [&str; 13] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

impl PostgresSettings {
    /// What is wrong with the address is said without repeating what may be a password.
    pub fn parse(url: String) -> Result<Self, String> {
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
            let is_known = PARAMETERS.contains(&name) || name.starts_with("options[");
            if !is_known {
                let known = PARAMETERS.join(", ");
                return Err(format!("{name:?} is no parameter of an address; expected one of {known}"));
            }
        }
        let options = PgConnectOptions::from_str(&url).map_err(|error| {
            format!("cannot be read: {error}; expected \"postgres://USER@HOST/DATABASE\"")
        })?;
        let database = options
            .get_database()
            .ok_or_else(|| "names no database; expected \"postgres://USER@HOST/DATABASE\"".to_owned())?;
        let name = match options.get_socket() {
            Some(socket) => format!("postgres://{}/{database}", socket.display()),
            None => format!("postgres://{}:{}/{database}", options.get_host(), options.get_port()),
        };
        Ok(Self { url: url.into(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_called_by_its_name_and_never_by_its_password() {
        let cases = [
            ("postgres://li:secret@db.example.com/tickets", "postgres://db.example.com:5432/tickets"),
            ("postgresql://li:secret@db:6432/t?sslmode=verify-full", "postgres://db:6432/t"),
            ("postgres:///t?host=/run/postgresql&user=li&password=secret", "postgres:///run/postgresql/t"),
            ("postgres://db/t?options[search_path]=secret", "postgres://db:5432/t"),
        ];
        for (url, expected) in cases {
            let settings = PostgresSettings::parse(url.to_owned()).unwrap();
            assert_eq!(settings.name, expected);
            assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
        }
    }

    #[test]
    fn a_wrong_address_is_told_without_its_password() {
        let cases = [
            ("postgres://li:secret@db", "names no database"),
            ("postgres://li:secret@db:port/t", "cannot be read: "),
            ("postgres://li:secret@db/t?sslmode=secret-ish", "cannot be read: "),
            ("postgres://li:secret@db/t?ssl=on", "\"ssl\" is no parameter of an address; expected one of "),
        ];
        for (url, expected) in cases {
            let problem = PostgresSettings::parse(url.to_owned()).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
            assert!(!problem.contains("li:secret"), "{problem}");
        }
    }
}
