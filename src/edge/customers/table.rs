//! Customers from rows that come one by one, as a compacted topic holds them: keyed by account, JSON as in a file.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

use super::LONGEST_RECORD;
use super::profiles::Profiles;
use super::record::Form;
use crate::core::event::Symbol;
use crate::delivery::customers::{Customer, Customers, Profile};

/// Customers in memory, as they were written; a row is taken apart when somebody asks for it.
#[derive(Default)]
pub struct CustomerTable {
    rows: RwLock<Rows>,
}

#[derive(Default)]
struct Rows {
    written: HashMap<Symbol, Row>,
    profiles: Profiles,
}

struct Row {
    json: Box<[u8]>,
    profile: Arc<Profile>,
}

impl CustomerTable {
    /// Takes a row; without a value the customer is gone. What is wrong with a row is returned without quoting it, and
    /// the row before it stays.
    pub fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let account = std::str::from_utf8(key).ok().filter(|account| !account.is_empty());
        let account = account.ok_or("the key is not an account")?;
        let row = match value {
            None => None,
            Some(value) if value.len() > LONGEST_RECORD => {
                return Err(format!("the record is longer than {LONGEST_RECORD} bytes"));
            }
            Some(value) => {
                let customer = Form::JsonLines.read(value)?;
                if customer.account_id != account {
                    return Err("the key is not the record's `account_id`".to_owned());
                }
                Some((Box::from(value), Profile::of(&customer)))
            }
        };
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        match row {
            Some((json, profile)) => {
                let profile = rows.profiles.shared(profile);
                rows.written.insert(Symbol::of(account), Row { json, profile })
            }
            None => rows.written.remove(&Symbol::of(account)),
        };
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).written.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Customers for CustomerTable {
    fn find(&self, account_id: &str) -> Option<Customer> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let customer = Form::JsonLines.read(&rows.written.get(&Symbol::of(account_id))?.json).ok()?;
        (customer.account_id == account_id).then_some(customer)
    }

    fn profile(&self, account_id: &str) -> Option<Arc<Profile>> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.written.get(&Symbol::of(account_id)).map(|row| Arc::clone(&row.profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_of_an_account_counts_and_a_row_without_a_value_removes_it() {
        let table = CustomerTable::default();
        let row = |locale: &str| format!("{{\"account_id\":\"a1\",\"locale\":\"{locale}\"}}");
        for locale in ["en", "zh-CN"] {
            table.set(b"a1", Some(row(locale).as_bytes())).unwrap();
        }
        assert_eq!(table.find("a1").unwrap().locale.as_deref(), Some("zh-CN"));
        assert_eq!(table.find("a2"), None);
        assert_eq!(table.profile("a1").unwrap().locale.as_deref(), Some("zh-CN"));
        assert_eq!(table.profile("a2"), None);
        table.set(b"a1", None).unwrap();
        assert!(table.is_empty());
        assert_eq!(table.profile("a1"), None);
    }

    #[test]
    fn a_wrong_row_changes_nothing_and_is_not_quoted() {
        let table = CustomerTable::default();
        table.set(b"a1", Some(b"{\"account_id\":\"a1\"}")).unwrap();
        let cases: [(&[u8], &[u8]); 4] = [
            (b"a1", b"{\"account_id\":\"a1\",\"email\":\"x@example.com\""),
            (b"a2", b"{\"account_id\":\"a1\",\"email\":\"x@example.com\"}"),
            (b"", b"{\"account_id\":\"a1\"}"),
            (b"\xFF", b"{\"account_id\":\"a1\"}"),
        ];
        for (key, value) in cases {
            let problem = table.set(key, Some(value)).unwrap_err();
            assert!(!problem.contains("example"), "{problem}");
        }
        assert!(table.find("a1").unwrap().email.is_none());
        assert_eq!(table.len(), 1);
    }
}
