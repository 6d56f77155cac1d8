//! An object's storage: a real SQLite in memory that outlives the object, counts the rows that are
//! written, and fails when it is told to.

use std::cell::Cell;

use dialtone_core::storage::{Row, Sql, StorageError, Value};

use crate::mutant::Mutant;

// Core's own: what its tests run on.
#[path = "../../../core/src/storage/memory.rs"]
mod memory;

/// One object's database.
pub struct Disk {
    sql: memory::Memory,
    /// Rows written, deletes included. Secondary indexes are not counted: no table that messages are
    /// written to has one.
    pub rows_written: Cell<u64>,
    /// Which statement from now fails.
    pub fails_in: Cell<Option<u32>>,
    mutant: Option<Mutant>,
    writes: Cell<u64>,
}

impl Disk {
    /// An empty one.
    pub fn new(mutant: Option<Mutant>) -> Self {
        let sql = memory::Memory::new();
        // There are thousands of these, with twenty tables of few rows each.
        sql.0.execute_batch("PRAGMA page_size = 1024").unwrap();
        sql.0.set_prepared_statement_cache_capacity(24);
        Self {
            sql,
            rows_written: Cell::new(0),
            fails_in: Cell::new(None),
            mutant,
            writes: Cell::new(0),
        }
    }

    /// A turn begins.
    pub fn begin(&self) {
        self.sql.0.execute_batch("BEGIN").unwrap();
    }

    /// What the turn wrote stays.
    pub fn commit(&self) {
        self.sql.0.execute_batch("COMMIT").unwrap();
    }

    /// What the turn wrote never was.
    pub fn roll_back(&self) {
        self.sql.0.execute_batch("ROLLBACK").unwrap();
    }

    /// What a mutant does to a disk while its object is away.
    pub fn tamper(&self) {
        let statement = match self.mutant {
            Some(Mutant::LogRowLost) => {
                "DELETE FROM log WHERE offset = (SELECT MAX(offset) FROM log)"
            }
            Some(Mutant::JournalRowLost) => {
                "DELETE FROM journal WHERE first = (SELECT MAX(first) FROM journal)"
            }
            _ => return,
        };
        // A database that nobody has used has no tables.
        drop(self.sql.0.execute(statement, []));
    }

    /// A mutant's disk that forgets what it was told: one such row in three.
    fn forgets(&self, statement: &str) -> bool {
        let table = match self.mutant {
            Some(Mutant::DedupeRowLost) => "INTO dedupe",
            Some(Mutant::RosterRowLost) => "INTO roster",
            Some(Mutant::LinkRowLost) => "INTO links",
            _ => return false,
        };
        if !statement.contains(table) {
            return false;
        }
        self.writes.set(self.writes.get() + 1);
        self.writes.get().is_multiple_of(3)
    }
}

impl Sql for Disk {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        if let Some(left) = self.fails_in.get() {
            self.fails_in.set(left.checked_sub(1));
            if left == 0 {
                return Err(StorageError::Sqlite("disk full".to_owned()));
            }
        }
        if self.mutant.is_some() && self.forgets(statement) {
            return Ok(Vec::new());
        }
        let rows = self.sql.run(statement, parameters)?;
        if ["INSERT", "UPDATE", "DELETE", "REPLACE"]
            .iter()
            .any(|verb| statement.starts_with(verb))
        {
            let written = self.rows_written.get() + self.sql.0.changes();
            self.rows_written.set(written);
        }
        Ok(rows)
    }
}
