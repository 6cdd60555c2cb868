//! The connections to SQLite: one that writes, and some that read beside it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use crate::error::{Error, Result};

/// How long a writer waits for those of other processes. Those of this one
/// queue for the connection, since SQLite itself lets nobody queue.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many connections for reading are kept open. There are as many at once
/// as the runtime has blocking threads.
const IDLE: usize = 8;

#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Database {
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let mut writer = connect(&path)?;
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match tx.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => tx.execute_batch(include_str!("schema.sql"))?,
            1 => {}
            other => return Err(Error::Schema(other)),
        }
        tx.commit()?;
        Ok(Self {
            path,
            writer: Mutex::new(writer),
            readers: Mutex::default(),
        })
    }

    /// Reads what is committed, while others may write.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = || self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = idle().pop();
        let connection = pooled.map_or_else(|| connect(&self.path), Ok)?;
        let result = work(&connection);
        let mut idle = idle();
        if idle.len() < IDLE {
            idle.push(connection);
        }
        result
    }

    /// Does all of `work`, durably, or when it fails nothing. Nobody else
    /// writes meanwhile, in no process.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        // A panic has rolled its transaction back.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Every commit is synced, which WAL alone does not promise.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// A value that was stored as its text.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.get::<_, String>(column)?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}
