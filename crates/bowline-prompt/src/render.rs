//! The messages that a rendered template is.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person or application that asks.
    User,
    /// The model.
    Model,
    /// The developer.
    System,
    /// A tool that answers the model.
    Tool,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Vec<Part>,
    /// Values beside it; `purpose: history` marks a message of the history.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Values beside it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
    },
    /// An image, sound, video or document.
    Media {
        /// Where it is.
        media: Media,
        /// Values beside it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
    },
    /// A call of a tool by the model.
    ToolRequest {
        /// The call.
        #[serde(rename = "toolRequest")]
        tool_request: ToolRequest,
        /// Values beside it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
    },
    /// The answer of a tool.
    ToolResponse {
        /// The answer.
        #[serde(rename = "toolResponse")]
        tool_response: ToolResponse,
        /// Values beside it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
    },
    /// A place that someone fills in later, such as a section.
    Pending {
        /// `pending: true` and what it is for.
        metadata: Map<String, Value>,
    },
}

/// Where a medium is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Media {
    /// An address or a `data:` URL.
    pub url: String,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// The tool.
    pub name: String,
    /// What the answer refers to.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The arguments.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
}

/// The answer of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResponse {
    /// The tool.
    pub name: String,
    /// The call it answers.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The result.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
}

/// The markers of one render: what helpers say about the text around them.
///
/// A marker stands in the text as the nonce of the render and a number; what it means is kept here. So a value of a
/// variable can neither write a marker, for it does not know the nonce, nor break out of one.
pub(crate) struct Markers {
    open: String,
    list: Mutex<Vec<Marker>>,
}

#[derive(Clone, Debug)]
enum Marker {
    Role(Role, Map<String, Value>),
    History,
    Section(String),
    Media(Media),
}

/// A message in the making: what stands between two changes of role.
struct Draft {
    role: Role,
    parts: Vec<Part>,
    metadata: Map<String, Value>,
}

/// Closes a marker in the text.
const CLOSE: char = '\u{fdd1}';

// === impl Role ===

impl Role {
    /// Returns the role called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "model" => Some(Self::Model),
            "system" => Some(Self::System),
            "tool" => Some(Self::Tool),
            _ => None,
        }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Model => "model",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }
}

// === impl Message ===

impl Message {
    /// Returns a message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Part::text(text)], metadata: Map::new() }
    }

    fn is_history(&self) -> bool {
        self.metadata.get("purpose").and_then(Value::as_str) == Some("history")
    }
}

// === impl Part ===

impl Part {
    /// Returns a part of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), metadata: Map::new() }
    }
}

// === impl Markers ===

impl Markers {
    pub(crate) fn new(nonce: u128) -> Self {
        // Two characters that are no characters of any text frame it; the nonce is what makes it safe.
        Self { open: format!("\u{fdd0}{nonce:032x}:"), list: Mutex::new(Vec::new()) }
    }

    pub(crate) fn role(&self, role: Role, metadata: Map<String, Value>) -> String {
        self.add(Marker::Role(role, metadata))
    }

    pub(crate) fn history(&self) -> String {
        self.add(Marker::History)
    }

    pub(crate) fn section(&self, name: &str) -> String {
        self.add(Marker::Section(name.to_owned()))
    }

    pub(crate) fn media(&self, url: &str, content_type: Option<&str>) -> String {
        self.add(Marker::Media(Media { url: url.to_owned(), content_type: content_type.map(str::to_owned) }))
    }

    fn add(&self, marker: Marker) -> String {
        let mut list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.push(marker);
        format!("{}{}{CLOSE}", self.open, list.len() - 1)
    }

    /// Cuts `text` at its markers.
    fn cut<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        let list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut pieces = Vec::new();
        let mut between = text.split(self.open.as_str());
        pieces.extend(between.next().map(Piece::Text));
        for marked in between {
            let found = marked.split_once(CLOSE).and_then(|(number, rest)| {
                let marker = list.get(number.parse::<usize>().ok()?)?;
                Some((marker.clone(), rest))
            });
            match found {
                Some((marker, rest)) => pieces.extend([Piece::Marker(marker), Piece::Text(rest)]),
                // Only a caller that lets the nonce be known comes here; what is no marker of this render stays text.
                None => pieces.push(Piece::Text(marked)),
            }
        }
        pieces
    }

    /// Returns the messages that `text` is, with the history in its place.
    pub(crate) fn messages(&self, text: &str, history: &[Message]) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut current = Draft::new(Role::User);
        // Text, media and sections up to the next role or history.
        let mut run: Vec<Part> = Vec::new();
        for piece in self.cut(text) {
            match piece {
                Piece::Text(text) => {
                    if !text.trim().is_empty() {
                        run.push(Part::text(text));
                    }
                }
                Piece::Marker(Marker::Section(name)) => run.push(Part::section(&name)),
                Piece::Marker(Marker::Media(media)) => run.push(Part::Media { media, metadata: Map::new() }),
                Piece::Marker(Marker::Role(role, metadata)) => {
                    current.parts.append(&mut run);
                    if current.parts.is_empty() {
                        current.role = role;
                        current.metadata.extend(metadata);
                    } else {
                        messages
                            .extend(std::mem::replace(&mut current, Draft { metadata, ..Draft::new(role) }).finish());
                    }
                }
                Piece::Marker(Marker::History) => {
                    current.parts.append(&mut run);
                    messages.extend(std::mem::replace(&mut current, Draft::new(Role::Model)).finish());
                    messages.extend(history.iter().map(as_history));
                }
            }
        }
        current.parts.append(&mut run);
        messages.extend(current.finish());
        with_history(messages, history)
    }
}

enum Piece<'t> {
    Text(&'t str),
    Marker(Marker),
}

impl Part {
    fn section(name: &str) -> Self {
        let metadata = [("purpose".to_owned(), json!(name)), ("pending".to_owned(), json!(true))];
        Self::Pending { metadata: Map::from_iter(metadata) }
    }
}

// === impl Draft ===

impl Draft {
    fn new(role: Role) -> Self {
        Self { role, parts: Vec::new(), metadata: Map::new() }
    }

    fn finish(self) -> Option<Message> {
        let Self { role, parts, metadata } = self;
        (!parts.is_empty()).then_some(Message { role, content: parts, metadata })
    }
}

fn as_history(message: &Message) -> Message {
    let mut message = message.clone();
    message.metadata.insert("purpose".to_owned(), json!("history"));
    message
}

/// Puts `history` before a closing message of the user, else at the end, unless the template has placed it.
fn with_history(mut messages: Vec<Message>, history: &[Message]) -> Vec<Message> {
    if messages.iter().any(Message::is_history) {
        return messages;
    }
    let closing = messages.pop_if(|last| last.role == Role::User);
    messages.extend(history.iter().cloned());
    messages.extend(closing);
    messages
}
