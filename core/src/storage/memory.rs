//! A real SQLite in memory: for tests, the simulator and benches, which have it by its path.

use super::{Row, Sql, StorageError, Value};

/// One room's database, and how many steps of its virtual machine SQLite has made for it: what it did,
/// where what it took would be a matter of the day.
pub struct Memory(pub rusqlite::Connection, pub std::cell::Cell<i64>);

impl Memory {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        Self(connection, std::cell::Cell::new(0))
    }
}

impl Sql for Memory {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        let error = |e: rusqlite::Error| StorageError::Sqlite(e.to_string());
        let mut prepared = self.0.prepare_cached(statement).map_err(error)?;
        let parameters = parameters.iter().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Integer(integer) => rusqlite::types::Value::Integer(*integer),
            Value::Text(text) => rusqlite::types::Value::Text(text.clone()),
        });
        let columns = prepared.column_count();
        assert!(
            columns == 0 || statement.starts_with("SELECT"),
            "{statement}"
        );
        let mut rows = prepared
            .query(rusqlite::params_from_iter(parameters))
            .map_err(error)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(error)? {
            let values = (0..columns).map(|i| match row.get_ref(i).unwrap() {
                rusqlite::types::ValueRef::Null => Ok(Value::Null),
                rusqlite::types::ValueRef::Integer(integer) => Ok(Value::Integer(integer)),
                rusqlite::types::ValueRef::Text(text) => {
                    Ok(Value::Text(String::from_utf8(text.to_vec()).unwrap()))
                }
                // As in `durable/`: there all numbers are floats.
                #[allow(clippy::cast_possible_truncation)]
                rusqlite::types::ValueRef::Real(real) if real.fract() == 0.0 => {
                    Ok(Value::Integer(real as i64))
                }
                _ => Err(StorageError::Corrupt("value")),
            });
            out.push(Row(values.collect::<Result<_, _>>()?));
        }
        drop(rows);
        let steps = prepared.reset_status(rusqlite::StatementStatus::VmStep);
        self.1.set(self.1.get() + i64::from(steps));
        Ok(out)
    }
}
