use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::{DecodeError, Dialect, Opaque};

/// A wire object while it is read: modelled fields are taken out one by one, and what is left becomes opaque.
///
/// `null` counts as absent everywhere. There are two ways to take a field: requests are read strictly (`string`, `number`, …),
/// so that the client hears of its mistake; answers are read leniently (`take_string`, `take_count`, …), so that a field of
/// an unexpected type is kept as opaque instead of costing the whole answer.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    map: Map<String, Value>,
    path: String,
}

/// The members of an object in their order, repeated keys included.
pub(crate) struct Members<V>(pub(crate) Vec<(String, V)>);

// === impl Fields ===

impl Fields {
    /// Reads a body that must be one JSON object whose keys are unique.
    ///
    /// # Errors
    /// The bytes are no JSON object, or a key of its top level repeats.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let members: Members<Value> = serde_json::from_slice(body).map_err(DecodeError::Json)?;
        Ok(Self { map: members.unique()?.into_iter().collect(), path: String::new() })
    }

    /// Returns a reader of an object that stands at `path`.
    ///
    /// # Errors
    /// The value is no object.
    pub fn new(value: Value, path: impl Into<String>) -> Result<Self, DecodeError> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            _ => Err(DecodeError::Invalid { path, expected: "an object" }),
        }
    }

    /// Returns the path of a field of this object.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Looks at a field without taking it.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Takes a field of any type.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Puts back a field that turned out not to be modelled.
    pub fn put_back(&mut self, key: &str, value: Value) {
        self.map.insert(key.to_owned(), value);
    }

    /// Takes a text.
    ///
    /// # Errors
    /// The field is of another type.
    pub fn string(&mut self, key: &str) -> Result<Option<String>, DecodeError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(key, "a string")),
        }
    }

    /// Takes a text that must be there.
    ///
    /// # Errors
    /// The field is missing or of another type.
    pub fn required_string(&mut self, key: &str) -> Result<String, DecodeError> {
        self.string(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a truth value.
    ///
    /// # Errors
    /// The field is of another type.
    pub fn bool(&mut self, key: &str) -> Result<Option<bool>, DecodeError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.invalid(key, "true or false")),
        }
    }

    /// Takes a number.
    ///
    /// # Errors
    /// The field is of another type.
    pub fn number(&mut self, key: &str) -> Result<Option<f64>, DecodeError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.invalid(key, "a number"))
    }

    /// Takes a whole number of at least 0; `20.0` is one too.
    ///
    /// # Errors
    /// The field is of another type.
    pub fn count(&mut self, key: &str) -> Result<Option<u64>, DecodeError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        as_count(&value).map(Some).ok_or_else(|| self.invalid(key, "a whole number of at least 0"))
    }

    /// Takes a whole number.
    ///
    /// # Errors
    /// The field is of another type.
    pub fn integer(&mut self, key: &str) -> Result<Option<i64>, DecodeError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| self.invalid(key, "a whole number"))
    }

    /// Takes an object.
    ///
    /// # Errors
    /// The field is of another type.
    pub fn object(&mut self, key: &str) -> Result<Option<Self>, DecodeError> {
        let path = self.path(key);
        self.take(key).map(|value| Self::new(value, path)).transpose()
    }

    /// Takes a list.
    ///
    /// # Errors
    /// The field is of another type.
    pub fn array(&mut self, key: &str) -> Result<Option<Vec<Value>>, DecodeError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(self.invalid(key, "an array")),
        }
    }

    /// Takes a list of objects, each of which knows its path.
    ///
    /// # Errors
    /// The field is of another type, or an item is.
    pub fn objects(&mut self, key: &str) -> Result<Option<Vec<Self>>, DecodeError> {
        let path = self.path(key);
        let Some(items) = self.array(key)? else { return Ok(None) };
        let read = |(index, item)| Self::new(item, format!("{path}[{index}]"));
        items.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// Takes a list of texts.
    ///
    /// # Errors
    /// The field is of another type, or an item is.
    pub fn strings(&mut self, key: &str) -> Result<Option<Vec<String>>, DecodeError> {
        let Some(items) = self.array(key)? else { return Ok(None) };
        let text = |item| if let Value::String(text) = item { Some(text) } else { None };
        let texts: Option<Vec<_>> = items.into_iter().map(text).collect();
        texts.map(Some).ok_or_else(|| self.invalid(key, "an array of strings"))
    }

    /// Takes a text if it is one.
    pub fn take_string(&mut self, key: &str) -> Option<String> {
        match self.map.get_mut(key) {
            Some(Value::String(text)) => {
                let text = std::mem::take(text);
                self.map.shift_remove(key);
                Some(text)
            }
            _ => None,
        }
    }

    /// Takes a whole number of at least 0 if it is one.
    pub fn take_count(&mut self, key: &str) -> Option<u64> {
        let count = as_count(self.map.get(key)?)?;
        self.map.shift_remove(key);
        Some(count)
    }

    /// Takes an object if it is one.
    pub fn take_object(&mut self, key: &str) -> Option<Self> {
        if !self.map.get(key)?.is_object() {
            return None;
        }
        let path = self.path(key);
        self.take(key).and_then(|value| Self::new(value, path).ok())
    }

    /// Takes a list if it is one.
    pub fn take_array(&mut self, key: &str) -> Option<Vec<Value>> {
        if !self.map.get(key)?.is_array() {
            return None;
        }
        match self.take(key) {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        }
    }

    /// Takes a field that has exactly this text, which then says nothing more.
    pub fn take_constant(&mut self, key: &str, text: &str) -> bool {
        let found = self.map.get(key).and_then(Value::as_str) == Some(text);
        if found {
            self.map.shift_remove(key);
        }
        found
    }

    /// Renames the keys for which `name` has another one; where two get the same, the later one wins.
    pub fn rename(&mut self, name: impl Fn(&str) -> Option<String>) {
        if self.map.keys().any(|key| name(key).is_some()) {
            let fields = std::mem::take(&mut self.map);
            self.map = fields.into_iter().map(|(key, value)| (name(&key).unwrap_or(key), value)).collect();
        }
    }

    /// Takes over the fields of a later object; where both have one, the later one wins.
    pub fn merge(&mut self, later: Self) {
        self.map.extend(later.map);
    }

    /// Returns how many fields are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.values().filter(|value| !value.is_null()).count()
    }

    /// Returns whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.values().all(Value::is_null)
    }

    /// Returns what is left as opaque pieces; `parent` is the pointer from the wire object of their node to this one.
    #[must_use]
    pub fn rest(self, dialect: Dialect, parent: &str) -> Vec<Opaque> {
        Opaque::rest(dialect, parent, self.map)
    }

    /// Returns what is left as one value.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.map)
    }

    /// Returns the error for a field of a wrong type or value.
    #[must_use]
    pub fn invalid(&self, key: &str, expected: &'static str) -> DecodeError {
        DecodeError::Invalid { path: self.path(key), expected }
    }

    /// Returns the error for a field that is not there.
    #[must_use]
    pub fn missing(&self, key: &str) -> DecodeError {
        DecodeError::Missing { path: self.path(key) }
    }
}

fn as_count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let whole = value.as_f64().filter(|number| number.fract() == 0.0)?;
        // Rust prints a whole float without exponent, so its text parses exactly or is out of range.
        format!("{whole:.0}").parse().ok()
    })
}

// === impl Members ===

impl<V> Members<V> {
    /// Returns the members, or the first key that repeats.
    pub(crate) fn unique(self) -> Result<Vec<(String, V)>, DecodeError> {
        let mut seen = HashSet::with_capacity(self.0.len());
        match self.0.iter().find(|(key, _)| !seen.insert(key.as_str())) {
            Some((key, _)) => Err(DecodeError::DuplicateKey { key: key.clone() }),
            None => Ok(self.0),
        }
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Collect<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect(PhantomData))
    }
}
