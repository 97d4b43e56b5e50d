//! `POST /v1/embeddings`, in OpenAI's form: a bag of words, so that texts with the same words are similar, and the same text always is the
//! same vector.

use bowline_providers::ProviderSpec;
use bowline_types::chain;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::Body;
use super::call::REQUEST_BYTES_MAX;
use super::refusal::{Refusal, response};
use crate::model::stems;
use crate::random::Seed;
use crate::tokens;

/// The length of a vector where the request asks for none.
const DIMENSIONS: usize = 256;
/// The longest vector, that of the largest model of OpenAI.
const DIMENSIONS_MAX: usize = 3_072;
/// The most texts of one request, as OpenAI has it.
const TEXTS_MAX: usize = 2_048;

/// A request.
///
/// Source: <https://platform.openai.com/docs/api-reference/embeddings/create>, read 2026-11-25.
#[derive(Deserialize)]
struct Asked {
    model: String,
    input: Input,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(default)]
    encoding_format: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Several(Vec<String>),
}

#[derive(Serialize)]
struct Answer {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Answers a call; waits and faults are those of any other.
pub(super) async fn answer(
    shared: &Shared,
    spec: &'static ProviderSpec,
    request: http::Request<Incoming>,
) -> Response<Body> {
    let course = shared.scenario.course(shared.number());
    let invalid = |message| Refusal::of_request(StatusCode::BAD_REQUEST, message).into_response(spec);
    let body = match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return invalid(chain(error.as_ref())),
    };
    if !course.first_byte.is_zero() {
        tokio::time::sleep(course.first_byte).await;
    }
    if let Some(refusal) = course.fault.and_then(|fault| Refusal::of_fault(&fault, spec.dialect)) {
        return refusal.into_response(spec);
    }
    match embedded(&body) {
        Ok(body) => response(StatusCode::OK, HeaderMap::new(), "application/json", Body::Whole(Some(body.into()))),
        Err(message) => invalid(message),
    }
}

fn embedded(body: &[u8]) -> Result<Vec<u8>, String> {
    let Asked { model, input, dimensions, encoding_format } =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if encoding_format.is_some_and(|format| format != "float") {
        return Err("the simulator writes embeddings as numbers only".to_owned());
    }
    let dimensions = dimensions.unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(format!("`dimensions` must be 1 to {DIMENSIONS_MAX}"));
    }
    let texts = match input {
        Input::One(text) => vec![text],
        Input::Several(texts) => texts,
    };
    if !(1..=TEXTS_MAX).contains(&texts.len()) {
        return Err(format!("`input` must be 1 to {TEXTS_MAX} texts"));
    }
    let prompt_tokens = texts.iter().map(|text| tokens::count(text)).sum();
    let of =
        |(index, text): (usize, &String)| Embedding { object: "embedding", index, embedding: vector(text, dimensions) };
    let data = texts.iter().enumerate().map(of).collect();
    let usage = Usage { prompt_tokens, total_tokens: prompt_tokens };
    serde_json::to_vec(&Answer { object: "list", data, model, usage }).map_err(|error| error.to_string())
}

/// Returns the vector of a text, of length 1: each word goes its own random way.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f64; dimensions];
    let words = stems(text);
    // A text without words is not similar to any other.
    let words = if words.is_empty() { vec![format!("\u{0}{text}")] } else { words };
    for word in words {
        let seed = Seed::new(0).text(&word);
        for (place, value) in (0..).zip(&mut sum) {
            *value += seed.number(place).normal();
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "a vector of OpenAI has single precision")]
    sum.into_iter().map(|value| (value / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(left: &str, right: &str) -> f32 {
        vector(left, DIMENSIONS).iter().zip(vector(right, DIMENSIONS)).map(|(left, right)| left * right).sum()
    }

    #[test]
    fn texts_with_the_same_words_are_similar() {
        assert!(cosine("the invoice is wrong", "the invoice is wrong") > 0.999);
        assert!(cosine("wrong invoices", "the invoice is wrong") > 0.9);
        assert!(cosine("the invoice is wrong", "a parcel got lost").abs() < 0.3);
        assert!(cosine("", "the invoice is wrong").abs() < 0.3);
    }

    #[test]
    fn requests_that_cannot_be_served_are_refused() {
        let check = |body: &str, expected: &str| {
            let error = embedded(body.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(r#"{"model": "m", "input": []}"#, "`input` must be 1 to 2048 texts");
        check(r#"{"model": "m", "input": "a", "dimensions": 0}"#, "`dimensions` must be 1 to 3072");
        check(r#"{"model": "m", "input": "a", "encoding_format": "base64"}"#, "as numbers only");
        check(r#"{"input": "a"}"#, "missing field `model`");
    }
}
