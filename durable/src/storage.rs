//! [`Sql`] on the object's SQLite.

use dialtone_core::storage::{Row, Sql, StorageError, Value};
use worker::{
    js_sys::Array,
    wasm_bindgen::{JsCast, JsValue},
};

use crate::bindings::SqlStorage;

/// The object's database.
pub struct ObjectSql(pub SqlStorage);

impl Sql for ObjectSql {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        let parameters: Array = parameters.iter().map(to_js).collect();
        let failed = |error| StorageError::Sqlite(describe(&error));
        let cursor = self.0.exec(statement, &parameters).map_err(failed)?;
        // What has no rows is through by now.
        if !statement.starts_with("SELECT") {
            return Ok(Vec::new());
        }
        let rows = cursor.raw().and_then(|rows| rows.to_array());
        let rows = rows.map_err(failed)?;
        rows.iter().map(|row| from_js(&row)).collect()
    }
}

fn to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        // Offsets and instants stay below 2^53, where a double is exact.
        Value::Integer(integer) => {
            #[allow(clippy::cast_precision_loss)]
            let number = *integer as f64;
            JsValue::from_f64(number)
        }
        Value::Text(text) => JsValue::from_str(text),
    }
}

fn from_js(row: &JsValue) -> Result<Row, StorageError> {
    let row = row.dyn_ref::<Array>().ok_or(StorageError::Corrupt("row"))?;
    row.iter()
        .map(|value| {
            if value.is_null() {
                Ok(Value::Null)
            } else if let Some(text) = value.as_string() {
                Ok(Value::Text(text))
            } else if let Some(number) = value.as_f64().filter(|n| n.fract() == 0.0) {
                // A whole double within i64's range converts exactly; beyond it, it saturates.
                #[allow(clippy::cast_possible_truncation)]
                let integer = number as i64;
                Ok(Value::Integer(integer))
            } else {
                Err(StorageError::Corrupt("value"))
            }
        })
        .collect::<Result<_, _>>()
        .map(Row)
}

/// An exception as text, for the log.
pub fn describe(error: &JsValue) -> String {
    error
        .dyn_ref::<worker::js_sys::Error>()
        .map(|error| String::from(error.message()))
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "unknown exception".to_owned())
}
