//! SQLite in memory, for tests: the same statements in the same transactions, answered before the caller waits at all, so
//! that a test with a clock of its own has the same course every time.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::{MIGRATIONS, classify, in_transaction};
use crate::delivery::store::StoreError;
use crate::edge::store::sql::{self, Transaction};

/// A database that is gone with its last holder.
#[derive(Clone, Debug)]
pub struct SqliteMemory(Arc<Mutex<SqliteConnection>>);

impl SqliteMemory {
    pub fn open() -> Self {
        let connection = wait_for(async {
            let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
            let mut connection = options.connect().await.expect("opened");
            Migrator::with_migrations(sql::migrations(MIGRATIONS))
                .run(&mut connection)
                .await
                .expect("migrated");
            connection
        });
        Self(Arc::new(Mutex::new(connection)))
    }

    /// Empties all tables, which takes less time than a new database.
    pub fn clear(&self) {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wait_for(async {
            for table in
                ["proposals", "ticket_steps", "notices", "affected", "tickets", "incidents", "shards"]
            {
                let statement = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
                sqlx::query(statement).execute(&mut *connection).await.expect("emptied");
            }
        });
    }

    pub fn run<T>(&self, work: impl Transaction<T>) -> Result<T, StoreError> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wait_for(in_transaction(&mut connection, work)).map_err(classify)
    }
}

/// Waits for a future whose work is done in another thread.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
