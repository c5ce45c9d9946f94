//! Customers from a file: CSV (with a header line) or JSON Lines, one customer a record, the last one of an account counts.
//!
//! A million customers are a hundred megabytes of text but are asked for one by one, when somebody has to be told. So only
//! where each record lies and what rules may ask of it is kept in memory, some thirty bytes; the record itself is read when it is needed. The file is
//! to be replaced as a whole (written elsewhere and renamed): what is open stays readable until [`CustomerFile::refresh`].

mod profiles;
mod record;
mod table;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use hashbrown::HashMap;

use crate::core::event::Symbol;
use crate::delivery::customers::{Customer, Customers, Profile};
use profiles::Profiles;
use record::Form;

pub use table::CustomerTable;

/// A record longer than this is refused.
const LONGEST_RECORD: usize = 64 * 1024;

/// Why a file of customers can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CustomersError {
    #[error("cannot read the customers in {path} (customers.file)", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {problem}", path = path.display())]
    Record { path: PathBuf, line: u64, problem: String },
}

/// Customers that lie in a file.
pub struct CustomerFile {
    path: PathBuf,
    index: RwLock<Index>,
}

struct Index {
    file: File,
    form: Form,
    modified: Option<SystemTime>,
    places: HashMap<Symbol, Place>,
}

struct Place {
    offset: u64,
    length: u32,
    profile: Arc<Profile>,
}

impl CustomerFile {
    /// Reads the whole file once; every record must be right.
    pub fn open(path: &Path) -> Result<Self, CustomersError> {
        Ok(Self { path: path.to_owned(), index: RwLock::new(Index::read(path)?) })
    }

    /// Reads the file anew if it has changed; what was read before stays in use if it is not right.
    pub fn refresh(&self) -> Result<bool, CustomersError> {
        let read_error = |source| CustomersError::Read { path: self.path.clone(), source };
        let modified = std::fs::metadata(&self.path).and_then(|data| data.modified()).map_err(read_error)?;
        if self.index.read().unwrap_or_else(PoisonError::into_inner).modified == Some(modified) {
            return Ok(false);
        }
        let fresh = Index::read(&self.path)?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    pub fn len(&self) -> usize {
        self.index.read().unwrap_or_else(PoisonError::into_inner).places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Customers for CustomerFile {
    fn find(&self, account_id: &str) -> Option<Customer> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).find(account_id)
    }

    fn profile(&self, account_id: &str) -> Option<Arc<Profile>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.places.get(&Symbol::of(account_id)).map(|place| Arc::clone(&place.profile))
    }
}

impl Index {
    fn read(path: &Path) -> Result<Self, CustomersError> {
        let read_error = |source| CustomersError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let modified = file.metadata().and_then(|data| data.modified()).ok();
        let mut reader = BufReader::with_capacity(1 << 18, file.try_clone().map_err(read_error)?);
        let wrong = |line, problem| CustomersError::Record { path: path.to_owned(), line, problem };
        let is_csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let (mut places, mut form, mut profiles) = (HashMap::new(), Form::JsonLines, Profiles::default());
        let (mut record, mut offset, mut line) = (Vec::new(), 0_u64, 0_u64);
        loop {
            record.clear();
            let first_line = line + 1;
            // A quoted text of a CSV record may hold line breaks; then the record goes on.
            while reader.read_until(b'\n', &mut record).map_err(read_error)? > 0 {
                line += 1;
                if !is_csv || record::is_whole(&record) || record.len() > LONGEST_RECORD {
                    break;
                }
            }
            if record.is_empty() {
                return Ok(Self { file, form, modified, places });
            }
            if record.len() > LONGEST_RECORD {
                let problem = format!("the record is longer than {LONGEST_RECORD} bytes");
                return Err(wrong(first_line, problem));
            }
            let (start, length) = (offset, record.len() as u32);
            offset += u64::from(length);
            if first_line == 1 && is_csv {
                form = Form::csv(&record).map_err(|problem| wrong(1, problem))?;
                continue;
            }
            if record.trim_ascii().is_empty() {
                continue;
            }
            let customer = form.read(&record).map_err(|problem| wrong(first_line, problem))?;
            let profile = profiles.shared(Profile::of(&customer));
            places.insert(Symbol::of(&customer.account_id), Place { offset: start, length, profile });
        }
    }

    fn find(&self, account_id: &str) -> Option<Customer> {
        let place = self.places.get(&Symbol::of(account_id))?;
        let mut record = vec![0; place.length as usize];
        self.file.read_exact_at(&mut record, place.offset).ok()?;
        self.form.read(&record).ok().filter(|customer| customer.account_id == account_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Tier;

    fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    const JSON: &str = "{\"account_id\":\"a1\",\"name\":\"周芳\",\"email\":\"fang@example.com\",\"tier\":\"enterprise\",\"manager\":\"m@example.com\"}\n\n{\"account_id\":\"a2\",\"email\":\"two@example.com\",\"opt_outs\":[\"email\"]}\n{\"account_id\":\"a1\",\"email\":\"new@example.com\"}";
    const CSV: &str = "email,account_id,name,opt_outs\r\none@example.com,a1,\"Li, \"\"the\nfirst\"\"\",email;all\r\ntwo@example.com,a2,,\r\n";

    #[test]
    fn the_last_record_of_an_account_counts_and_blank_lines_do_not() {
        let (_folder, path) = file("customers.jsonl", JSON);
        let customers = CustomerFile::open(&path).unwrap();
        assert_eq!(customers.len(), 2);
        let email =
            |account| customers.find(account)?.email.map(crate::delivery::customers::Personal::into_inner);
        assert_eq!(email("a1").as_deref(), Some("new@example.com"));
        assert_eq!(email("a2").as_deref(), Some("two@example.com"));
        assert_eq!(customers.find("a3"), None);
        assert_eq!(customers.find("a1").unwrap().tier, Tier::Individual);
        assert_eq!(customers.find("a2").unwrap().opt_outs, ["email"]);
        assert_eq!(customers.profile("a1").unwrap().tier, Tier::Individual);
        assert_eq!(customers.profile("a3"), None);
    }

    #[test]
    fn csv_may_name_its_columns_in_any_order_and_quote_what_it_likes() {
        let (_folder, path) = file("customers.csv", CSV);
        let customers = CustomerFile::open(&path).unwrap();
        let first = customers.find("a1").unwrap();
        assert_eq!(first.name.unwrap().into_inner(), "Li, \"the\nfirst\"");
        assert_eq!(first.opt_outs, ["email", "all"]);
        assert_eq!(customers.find("a2").unwrap().name, None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_nothing_personal() {
        let cases = [
            ("c.jsonl", "{\"account_id\":\"a1\"}\n{\"email\":\"x@example.com\"}\n", ":2: ", "account_id"),
            (
                "c.jsonl",
                "{\"account_id\":\"a1\",\"tier\":\"gold\"}",
                ":1: ",
                "individual, merchant or enterprise",
            ),
            ("c.jsonl", "{\"account_id\":\"a1\"", ":1: ", "not one JSON object"),
            ("c.csv", "email,name\nx@example.com,x\n", ":1: ", "account_id"),
            ("c.csv", "account_id,email\na1\n", ":2: ", "2 columns"),
        ];
        for (name, text, line, expected) in cases {
            let (_folder, path) = file(name, text);
            let error = CustomerFile::open(&path).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(expected), "{text}: {error}");
            assert!(!error.contains("example.com"), "{error}");
        }
    }

    #[test]
    fn a_replaced_file_is_read_anew_and_one_that_is_wrong_leaves_the_old_one_in_use() {
        let (folder, path) = file("customers.jsonl", JSON);
        let customers = CustomerFile::open(&path).unwrap();
        assert!(!customers.refresh().unwrap());
        let replace = |text: &str, age: u64| {
            let next = folder.path().join("next");
            std::fs::write(&next, text).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age);
            File::options().write(true).open(&next).unwrap().set_modified(time).unwrap();
            std::fs::rename(&next, &path).unwrap();
        };
        replace("{\"account_id\":\"a9\"}\n", 1_000);
        assert!(customers.refresh().unwrap());
        assert!(customers.find("a9").is_some() && customers.find("a1").is_none());
        replace("broken", 2_000);
        assert!(customers.refresh().is_err());
        assert!(customers.find("a9").is_some());
    }
}
