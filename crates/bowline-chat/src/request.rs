use serde_json::Value;

use crate::{Dialect, EncodeError, Opaque};

/// A chat request, whatever the client's dialect and the provider's format are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The model as the client or the route names it. Gemini carries it in the path, not in the body.
    pub model: String,
    /// The conversation so far, oldest first; system messages stand where they apply, usually first.
    pub messages: Vec<Message>,
    /// Sampling and length.
    pub parameters: Parameters,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether and what the model must call; `None` leaves it to the provider, which means [`ToolChoice::Auto`].
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may come in one answer; `None` leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer; `None` means text.
    pub response_format: Option<ResponseFormat>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the client asked for usage at the end of a stream. Upstream it is always asked for.
    pub include_usage: bool,
    /// The end user as the client names it.
    pub user: Option<String>,
    /// Fields of the body that are not modelled.
    pub opaque: Vec<Opaque>,
}

/// Sampling and length of an answer. `None` leaves a parameter to the provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// The most tokens of the answer, reasoning included.
    pub max_output_tokens: Option<u64>,
    /// Sampling temperature, 0 to 2 (Anthropic: 0 to 1).
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Sample among this many most likely tokens.
    pub top_k: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Seed of the sampling, where a provider has one.
    pub seed: Option<i64>,
    /// Penalty for tokens that appeared at all, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Penalty for tokens by how often they appeared, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// How many answers to give; `None` means 1.
    pub choices: Option<u32>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub content: Vec<Part>,
    /// Fields of the message that are not modelled.
    pub opaque: Vec<Opaque>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The application, in the name of which the model answers.
    System,
    /// OpenAI's newer word for the same; providers without it treat it as [`Role::System`].
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The results of tool calls; holds [`Part::ToolResult`] only.
    Tool,
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// What Gemini wants back with the next request; opaque to everyone else.
        signature: Option<Signature>,
        /// Fields of the part that are not modelled.
        opaque: Vec<Opaque>,
    },
    /// An image.
    Image {
        /// Where its bytes are.
        source: ImageSource,
        /// Fields of the part that are not modelled, such as OpenAI's `detail`.
        opaque: Vec<Opaque>,
    },
    /// A call of a tool by the model.
    ToolCall(ToolCall),
    /// The result of a call.
    ToolResult(ToolResult),
    /// The model's reasoning.
    Reasoning(Reasoning),
    /// The model says that it will not answer.
    Refusal(String),
    /// A piece that is not modelled.
    Opaque(Opaque),
}

/// Where the bytes of an image are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// At an address that the provider fetches.
    Url {
        /// The address.
        url: String,
        /// The media type, where the dialect states it.
        media_type: Option<String>,
    },
    /// In the request.
    Data {
        /// The media type, such as `image/png`.
        media_type: String,
        /// The bytes in base64, as they came.
        base64: String,
    },
}

/// A call of a tool by the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    /// Ties the result to the call. Empty where the provider gave none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as JSON text, exactly as the model wrote them; may be broken JSON.
    pub arguments: String,
    /// What Gemini wants back with the result; opaque to everyone else.
    pub signature: Option<Signature>,
    /// Fields of the call that are not modelled.
    pub opaque: Vec<Opaque>,
}

/// The result of a tool call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// The call.
    pub call_id: String,
    /// The tool, where the dialect repeats it; encoders that need it look the call up otherwise.
    pub name: Option<String>,
    /// What the tool returned.
    pub content: Vec<Part>,
    /// Whether the tool failed; `None` where the dialect does not say.
    pub is_error: Option<bool>,
    /// Fields of the result that are not modelled.
    pub opaque: Vec<Opaque>,
}

/// The model's reasoning.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasoning {
    /// The text; empty where the provider keeps it to itself.
    pub text: String,
    /// What the issuer wants back, verbatim.
    pub signature: Option<Signature>,
    /// How it was written on the wire.
    pub form: ReasoningForm,
    /// Fields of the part that are not modelled.
    pub opaque: Vec<Opaque>,
}

/// How reasoning is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasoningForm {
    /// `reasoning_content` of a message (DeepSeek, older vLLM and others).
    ReasoningContent,
    /// `reasoning` of a message (Groq, OpenRouter, newer vLLM).
    Reasoning,
    /// A `thinking` block of Anthropic.
    Thinking,
    /// A `redacted_thinking` block of Anthropic; the text is empty, the signature holds `data`.
    RedactedThinking,
    /// A part of Gemini with `thought: true`.
    Thought,
}

/// A token by which a provider recognises its own reasoning; sent back to its issuer only, verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whose it is.
    pub issuer: Dialect,
    /// The token.
    pub value: String,
}

/// Something the model may call.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// A function of the application.
    Function {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema of its arguments; `None` takes none.
        parameters: Option<Value>,
        /// Whether arguments must follow the schema; `None` leaves it to the provider.
        strict: Option<bool>,
        /// Fields of the tool that are not modelled.
        opaque: Vec<Opaque>,
    },
    /// A tool that is not modelled, such as one that the provider runs.
    Opaque(Opaque),
}

/// Whether and what the model must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No call.
    None,
    /// At least one call.
    Required,
    /// A call of this function.
    Function(String),
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// A label for the schema; only OpenAI has one.
        name: Option<String>,
        /// JSON Schema.
        schema: Value,
        /// Whether the provider must hold the model to it; `None` leaves it to the provider.
        strict: Option<bool>,
    },
}

// === impl Request ===

impl Request {
    /// Checks that everything opaque in the request may be written in dialect `to`.
    ///
    /// Encoders call this first, and then restore opaque pieces without looking at their dialect again.
    ///
    /// # Errors
    /// Names the first piece that belongs to another dialect.
    pub fn check_opaque(&self, to: Dialect) -> Result<(), EncodeError> {
        check(&self.opaque, "", to)?;
        for (index, message) in self.messages.iter().enumerate() {
            check_message(message, &format!("messages[{index}]"), to)?;
        }
        for (index, tool) in self.tools.iter().enumerate() {
            let pieces = match tool {
                Tool::Function { opaque, .. } => opaque.as_slice(),
                Tool::Opaque(opaque) => std::slice::from_ref(opaque),
            };
            check(pieces, &format!("tools[{index}]"), to)?;
        }
        Ok(())
    }
}

/// Checks that everything opaque in a message may be written in dialect `to`; `path` is where it stands.
pub(crate) fn check_message(message: &Message, path: &str, to: Dialect) -> Result<(), EncodeError> {
    check(&message.opaque, path, to)?;
    check_parts(&message.content, path, to)
}

/// Checks that everything opaque in `parts` may be written in dialect `to`; `path` is where they stand.
fn check_parts(parts: &[Part], path: &str, to: Dialect) -> Result<(), EncodeError> {
    for (index, part) in parts.iter().enumerate() {
        let path = format!("{path}.content[{index}]");
        match part {
            Part::Opaque(opaque) => check(std::slice::from_ref(opaque), &path, to)?,
            part => check(part.opaque(), &path, to)?,
        }
        if let Part::ToolResult(result) = part {
            check_parts(&result.content, &path, to)?;
        }
    }
    Ok(())
}

fn check(pieces: &[Opaque], node: &str, to: Dialect) -> Result<(), EncodeError> {
    let Some(foreign) = pieces.iter().find(|piece| piece.dialect != to) else { return Ok(()) };
    let path = format!("{node}{}", foreign.path.replace('/', "."));
    Err(EncodeError::Opaque { path: path.trim_start_matches('.').to_owned(), from: foreign.dialect, to })
}

// === impl Message ===

impl Message {
    /// Returns a message of `role` with the given parts.
    #[must_use]
    pub const fn new(role: Role, content: Vec<Part>) -> Self {
        Self { role, content, opaque: Vec::new() }
    }

    /// Returns a message of `role` that says `text`.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(role, vec![Part::text(text)])
    }

    /// Returns the texts of the message, joined; what is not text is left out.
    #[must_use]
    pub fn plain_text(&self) -> String {
        plain_text(&self.content)
    }
}

// === impl Role ===

impl Role {
    /// Returns the word of OpenAI's dialect.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// Returns whether the application speaks.
    #[must_use]
    pub const fn is_instruction(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

// === impl Part ===

impl Part {
    /// Returns a text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), signature: None, opaque: Vec::new() }
    }

    /// Returns the fields of the part that are not modelled; none for a part that is opaque as a whole.
    #[must_use]
    pub fn opaque(&self) -> &[Opaque] {
        match self {
            Self::Text { opaque, .. } | Self::Image { opaque, .. } => opaque,
            Self::ToolCall(call) => &call.opaque,
            Self::ToolResult(result) => &result.opaque,
            Self::Reasoning(reasoning) => &reasoning.opaque,
            Self::Refusal(_) | Self::Opaque(_) => &[],
        }
    }

    /// Returns an image: a `data:` URL becomes [`ImageSource::Data`], anything else stays an address.
    #[must_use]
    pub fn image(url: impl Into<String>, media_type: Option<String>) -> Self {
        Self::Image { source: ImageSource::from_url(url.into(), media_type), opaque: Vec::new() }
    }
}

/// Returns the texts among `parts`, joined.
pub(crate) fn plain_text(parts: &[Part]) -> String {
    let texts =
        parts.iter().filter_map(|part| if let Part::Text { text, .. } = part { Some(text.as_str()) } else { None });
    texts.collect()
}

// === impl ImageSource ===

impl ImageSource {
    /// Reads an address; `data:TYPE;base64,DATA` becomes [`Self::Data`].
    #[must_use]
    pub fn from_url(url: String, media_type: Option<String>) -> Self {
        let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        match data {
            Some((media_type, base64)) => Self::Data { media_type: media_type.to_owned(), base64: base64.to_owned() },
            None => Self::Url { url, media_type },
        }
    }

    /// Returns the address, a `data:` URL for bytes in the request.
    #[must_use]
    pub fn to_url(&self) -> String {
        match self {
            Self::Url { url, .. } => url.clone(),
            Self::Data { media_type, base64 } => format!("data:{media_type};base64,{base64}"),
        }
    }
}

// === impl Tool ===

impl Tool {
    /// Returns a function.
    #[must_use]
    pub fn function(name: impl Into<String>, description: Option<String>, parameters: Option<Value>) -> Self {
        Self::Function { name: name.into(), description, parameters, strict: None, opaque: Vec::new() }
    }
}
