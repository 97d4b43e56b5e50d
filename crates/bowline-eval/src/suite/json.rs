//! JSON as nodes, quickly: rows of a dataset know their line, and nothing finer.

use std::fmt;

use bowline_prompt::Span;
use bowline_prompt::yaml::{Key, Node, Value};
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// Reads one JSON value whose every part is said to stand at `span`.
pub(super) fn node(text: &str, span: Span) -> Result<Node, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = At(span).deserialize(&mut reader)?;
    reader.end()?;
    Ok(node)
}

/// Returns a value as JSON without copying its texts.
pub(super) fn into_json(node: Node) -> serde_json::Value {
    match node.value {
        Value::String(text) => serde_json::Value::String(text),
        Value::Sequence(items) => items.into_iter().map(into_json).collect(),
        Value::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key.text, into_json(value)));
            serde_json::Value::Object(entries.collect())
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => node.to_json(),
    }
}

#[derive(Clone, Copy)]
struct At(Span);

// === impl At ===

impl At {
    const fn node(self, value: Value) -> Node {
        Node { value, span: self.0 }
    }
}

impl<'de> DeserializeSeed<'de> for At {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(self.node(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(self.node(Value::Integer(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        let value = i64::try_from(value).map_err(|_| E::custom(format!("the number {value} is out of range")))?;
        Ok(self.node(Value::Integer(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(self.node(Value::Float(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(self.node(Value::String(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(self.node(Value::String(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element_seed(self)? {
            nodes.push(node);
        }
        Ok(self.node(Value::Sequence(nodes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut nodes: Vec<(Key, Node)> = Vec::new();
        while let Some(text) = entries.next_key::<String>()? {
            if nodes.iter().any(|(key, _)| key.text == text) {
                return Err(de::Error::custom(format!("the key `{text}` stands twice in one object")));
            }
            let node = entries.next_value_seed(self)?;
            nodes.push((Key { text, span: self.0 }, node));
        }
        Ok(self.node(Value::Mapping(nodes)))
    }
}
