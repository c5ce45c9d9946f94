//! One daemon per database file: a lock on a file beside it, which ends with the process however that ends.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Held as long as the daemon uses the database.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another forewarn uses the database {}: its lock {} is held", database.display(), lock.display())]
    Held { database: PathBuf, lock: PathBuf },
    #[error("there is no folder {} for the database (store.url)", .0.display())]
    NoFolder(PathBuf),
    #[error("cannot lock the database {}: {}: {error}", database.display(), lock.display())]
    Failed { database: PathBuf, lock: PathBuf, error: std::io::Error },
}

impl Lock {
    pub fn take(database: &Path) -> Result<Self, LockError> {
        let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(LockError::NoFolder(folder.to_owned()));
        }
        let mut name = OsString::from(database);
        name.push(".lock");
        let lock = PathBuf::from(name);
        let failed = |error| LockError::Failed { database: database.to_owned(), lock: lock.clone(), error };
        // The file stays behind, so that no second process can lock a new one while the first still holds the old.
        let file = File::options().create(true).append(true).open(&lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { database: database.to_owned(), lock }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
