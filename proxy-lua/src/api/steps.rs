//! The arguments that inspectors and mutators share: tables with the name `t` of a step.

use mlua::{Result, Table, Value};

use super::error;

/// The kind of object that steps are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Requests.
    Request,
    /// Responses.
    Response,
}

/// Returns the table of a step.
pub(super) fn table(step: &Value, number: usize) -> Result<&Table> {
    step.as_table()
        .ok_or_else(|| error(format!("bad argument #{number} (table expected, got {})", step.type_name())))
}

/// Returns the name of a step, if it has one.
pub(super) fn name(step: &Table) -> Result<Option<Vec<u8>>> {
    Ok(match step.get("t")? {
        Value::String(name) => Some(name.as_bytes().to_vec()),
        _ => None,
    })
}
