//! What an error of PostgreSQL means: whether to do the same again, and whether the connection is still good.

use std::time::Duration;

/// What helps against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// Doing the transaction again: others were in its way.
    Again,
    /// Waiting: the server is away, full, busy, or not the one that may write.
    Later,
    None,
}

/// Why a transaction has not taken place, as far as we know.
#[derive(Debug)]
pub struct Failure {
    pub help: Help,
    pub text: String,
    /// The connection may be used again.
    pub connection_is_whole: bool,
    /// The transaction had not even begun.
    pub before_begin: bool,
}

impl Failure {
    pub fn no_answer(within: Duration) -> Self {
        Self {
            help: Help::Later,
            text: format!("no answer within {} s", within.as_secs()),
            connection_is_whole: false,
            before_begin: false,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let (help, connection_is_whole) = match &error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                let help = help_for(&code);
                (help, help != Help::Later)
            }
            // A protocol that breaks off is a connection that does.
            sqlx::Error::Io(_) | sqlx::Error::BeginFailed | sqlx::Error::WorkerCrashed => {
                (Help::Later, false)
            }
            // What we can't read, or asked for in the wrong way.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::RowNotFound => {
                (Help::None, true)
            }
            _ => (Help::None, false),
        };
        Self { help, text: error.to_string(), connection_is_whole, before_begin: false }
    }
}

/// By the code of the error: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub fn help_for(code: &str) -> Help {
    match code {
        // Serialization failure, deadlock, and a unique value that another transaction has just written.
        "40001" | "40P01" | "23505" => Help::Again,
        // Read-only, as a standby is; a statement or a wait for a lock that took too long; idle in a transaction.
        "25006" | "57014" | "55P03" | "25P03" => Help::Later,
        // Shut down, crashed, starting up, idle for too long.
        "57P01" | "57P02" | "57P03" | "57P05" => Help::Later,
        _ => match code.get(..2) {
            // No connection; out of connections, of memory, of disk.
            Some("08" | "53") => Help::Later,
            _ => Help::None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_helps_against_is_told_from_what_it_does_not() {
        let cases = [
            ("40001", Help::Again),
            ("40P01", Help::Again),
            ("23505", Help::Again),
            ("08006", Help::Later),
            ("53100", Help::Later),
            ("53300", Help::Later),
            ("57P01", Help::Later),
            ("57P03", Help::Later),
            ("25006", Help::Later),
            ("55P03", Help::Later),
            ("42P01", Help::None),
            ("42601", Help::None),
            ("42501", Help::None),
            ("22021", Help::None),
            ("28P01", Help::None),
            ("", Help::None),
        ];
        for (code, expected) in cases {
            assert_eq!(help_for(code), expected, "{code}");
        }
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let failure = Failure::from(sqlx::Error::Io(lost));
        assert_eq!((failure.help, failure.connection_is_whole), (Help::Later, false));
    }
}
