use serde_json::{Map, Value};

use crate::{Dialect, Opaque};

/// A wire object while it is written; the counterpart of [`crate::Fields`].
#[derive(Clone, Debug, Default)]
pub struct Object(Map<String, Value>);

// === impl Object ===

impl Object {
    /// Returns an empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds a field if there is a value.
    #[must_use]
    pub fn with_some(mut self, key: &str, value: Option<impl Into<Value>>) -> Self {
        self.set_some(key, value);
        self
    }

    /// Adds what is opaque of this dialect; pieces of other dialects are the caller's.
    #[must_use]
    pub fn with_opaque(mut self, dialect: Dialect, opaque: &[Opaque]) -> Self {
        self.restore(dialect, opaque);
        self
    }

    /// Sets a field.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Sets a field if there is a value.
    pub fn set_some(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Restores what is opaque of this dialect; what was set stays.
    pub fn restore(&mut self, dialect: Dialect, opaque: &[Opaque]) {
        for opaque in opaque.iter().filter(|opaque| opaque.dialect == dialect) {
            opaque.restore(&mut self.0);
        }
    }

    /// Returns whether nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the fields.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// Returns the fields, to be looked at or changed.
    pub const fn fields(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}
