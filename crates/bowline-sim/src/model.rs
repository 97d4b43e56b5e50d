//! The simulated model: what it answers depends on what the rendered prompt says, and on nothing else.
//!
//! It reads definitions (`- billing: charges, refunds`) and examples (`- "How do I pay?" -> how_to`) in the prompt, and sorts
//! the input by the words they hold and by a small thesaurus. A label whose definition is missing is known by its name alone, so a
//! prompt without definitions really does worse. Noise is a pure function of seed, prompt and input: the same call gives the same
//! answer. It never knows a version, an arm or an environment.

mod classify;
mod instructions;
mod prose;
mod shape;
mod text;
mod thesaurus;

use bowline_chat::{Finish, Request, ResponseFormat, Role};
use serde_json::{Map, Value};

use self::instructions::{Instructions, input_of};
use self::shape::Filler;
use crate::random::Seed;
use crate::tokens;

pub(crate) use self::text::{pieces, stems};

/// What the model says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Why it ends: [`Finish::Stop`], or [`Finish::Length`] where `max_output_tokens` cut it.
    pub finish: Finish,
    /// Tokens of the text.
    pub tokens: u64,
}

/// Returns what the simulated model says to a request.
///
/// `noise` is the scale of its errors: 0 reads every word right, 0.3 is a good small model, at 1 every fourth easy input goes wrong.
#[must_use]
pub fn answer(request: &Request, noise: f64, seed: u64) -> Answer {
    let system: String = texts(request, Role::is_instruction).collect::<Vec<_>>().join("\n\n");
    let last = texts(request, |role| role == Role::User).last().unwrap_or_default();
    let mut instructions = Instructions::default();
    instructions.read(&system);
    // Where the application gave instructions, what a user writes is input, whatever it looks like.
    let input = if instructions.definitions.is_empty() {
        instructions.read(&last);
        input_of(&last)
    } else {
        last.trim()
    };
    let prompt = last.strip_suffix(input).unwrap_or_default();
    let seed = Seed::new(seed).text(&system).text(prompt);
    let filler = Filler { instructions: &instructions, input, noise, seed };
    let text = match &request.response_format {
        Some(ResponseFormat::JsonSchema { schema, .. }) => filler.value("answer", schema).to_string(),
        Some(ResponseFormat::JsonObject) => labels(&filler).to_string(),
        Some(ResponseFormat::Text) | None if instructions.definitions.is_empty() => prose::reply(input, seed),
        Some(ResponseFormat::Text) | None if mentions_json(&system) || mentions_json(prompt) => {
            labels(&filler).to_string()
        }
        Some(ResponseFormat::Text) | None => in_words(&labels(&filler)),
    };
    cut(text, request.parameters.max_output_tokens)
}

fn texts(request: &Request, wanted: impl Fn(Role) -> bool) -> impl Iterator<Item = String> {
    request.messages.iter().filter(move |message| wanted(message.role)).map(bowline_chat::Message::plain_text)
}

/// One label for each group that the prompt defines.
fn labels(filler: &Filler<'_>) -> Value {
    let groups = filler.instructions.groups();
    let chosen = groups.into_iter().map(|(key, labels)| {
        let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
        let label = filler.label(&key, &labels);
        (key, label)
    });
    Value::Object(chosen.collect::<Map<_, _>>())
}

fn mentions_json(text: &str) -> bool {
    text.contains("JSON") || text.contains("json")
}

/// A single label stands alone; several are written with their keys.
fn in_words(labels: &Value) -> String {
    let Value::Object(fields) = labels else { return String::new() };
    let text = |label: &Value| label.as_str().unwrap_or_default().to_owned();
    match fields.values().next() {
        Some(label) if fields.len() == 1 => text(label),
        _ => fields.iter().map(|(key, label)| format!("{key}: {}", text(label))).collect::<Vec<_>>().join("\n"),
    }
}

/// Cuts a text to a number of tokens.
fn cut(mut text: String, tokens_max: Option<u64>) -> Answer {
    let mut tokens = tokens::count(&text);
    let Some(tokens_max) = tokens_max.filter(|max| *max < tokens) else {
        return Answer { text, finish: Finish::Stop, tokens };
    };
    // A few characters at a time: what is left of a token may count as more than one.
    while tokens > tokens_max && text.pop().is_some() {
        let keep = text.len().min(usize::try_from(tokens_max.saturating_mul(16)).unwrap_or(usize::MAX));
        text.truncate(text.floor_char_boundary(keep));
        tokens = tokens::count(&text);
    }
    Answer { text, finish: Finish::Length, tokens }
}

#[cfg(test)]
mod tests;
