//! What readers ask.

pub(crate) mod inference;
pub(crate) mod registry;
pub(crate) mod rollout;
pub(crate) mod summary;

use rusqlite::ToSql;

/// Conditions that only some filters have, with their parameters.
#[derive(Default)]
struct Conditions {
    sql: String,
    parameters: Vec<Box<dyn ToSql>>,
}

// === impl Conditions ===

impl Conditions {
    /// Adds a condition, such as `prompt = ?`, where there is a value.
    fn add(&mut self, condition: &str, value: Option<impl ToSql + 'static>) {
        let Some(value) = value else { return };
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
        self.parameters.push(Box::new(value));
    }
}
