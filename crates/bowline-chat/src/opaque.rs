use std::fmt;

use serde_json::{Map, Value};

/// A wire format of chat requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI Chat Completions, which many other servers speak too.
    OpenAiChat,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Gemini `generateContent` and `streamGenerateContent`.
    Gemini,
}

/// A piece of a wire body that the neutral form does not model, kept as it came.
///
/// It can be written back into its own dialect. Writing it into another one is [`crate::EncodeError::Opaque`], never a loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Opaque {
    /// The dialect it came from.
    pub dialect: Dialect,
    /// Where it stood: an RFC 6901 pointer from the wire object of the node that holds it; empty for a whole node.
    pub path: String,
    /// The piece itself.
    pub raw: Value,
}

// === impl Dialect ===

impl Dialect {
    /// Returns the name used in configuration, records and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::AnthropicMessages => "anthropic-messages",
            Self::Gemini => "gemini",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Opaque ===

impl Opaque {
    /// Returns a whole wire object that is not modelled.
    #[must_use]
    pub const fn whole(dialect: Dialect, raw: Value) -> Self {
        Self { dialect, path: String::new(), raw }
    }

    /// Returns what is left of a wire object once the modelled fields were taken from it; `null` says nothing and is left out.
    ///
    /// `parent` is the pointer from the wire object of the node to `fields`, empty where that is the same object.
    #[must_use]
    pub fn rest(dialect: Dialect, parent: &str, fields: Map<String, Value>) -> Vec<Self> {
        let said = fields.into_iter().filter(|(_, raw)| !raw.is_null());
        said.map(|(key, raw)| Self { dialect, path: format!("{parent}/{}", escape(&key)), raw }).collect()
    }

    /// Writes the piece back where it stood in the wire object of its node.
    ///
    /// Objects on the way are created. What the neutral form already wrote there stays, since the caller may have changed it;
    /// of an object only the missing fields are added.
    pub fn restore(&self, node: &mut Map<String, Value>) {
        let keys: Vec<String> = self.path.split('/').skip(1).map(unescape).collect();
        let Some((last, parents)) = keys.split_last() else { return };
        let mut object = node;
        for key in parents {
            let child = object.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(child) = child else { return };
            object = child;
        }
        fill(object, last, &self.raw);
    }
}

fn fill(object: &mut Map<String, Value>, key: &str, raw: &Value) {
    match (object.get_mut(key), raw) {
        (None, _) => {
            object.insert(key.to_owned(), raw.clone());
        }
        (Some(Value::Object(present)), Value::Object(fields)) => {
            for (key, raw) in fields {
                fill(present, key, raw);
            }
        }
        (Some(_), _) => {}
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pieces_return_to_their_place() {
        let Value::Object(fields) = json!({"a/b": 1, "none": null}) else { panic!("object") };
        let rest = Opaque::rest(Dialect::Gemini, "/config", fields);
        assert_eq!(rest.len(), 1);
        let Value::Object(mut node) = json!({"config": {"kept": true}}) else { panic!("object") };
        rest[0].restore(&mut node);
        let more = Opaque { path: "/config".to_owned(), raw: json!({"kept": false, "c": 2}), ..rest[0].clone() };
        more.restore(&mut node);
        assert_eq!(Value::Object(node), json!({"config": {"kept": true, "a/b": 1, "c": 2}}));
    }
}
