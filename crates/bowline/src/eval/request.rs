//! From a case to the body of a call.

use std::collections::BTreeMap;

use bowline_eval::template::{PromptMessage, render_prompt};
use bowline_eval::{AskMessage, Case};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::plan::TargetSubject;

/// Parameters of a model in a suite that are sent as they are: those of OpenAI's chat completions, which the gateway writes in the
/// words of other providers or refuses.
///
/// Source: <https://platform.openai.com/docs/api-reference/chat/create>, read 2026-11-25.
const PARAMETERS: [&str; 21] = [
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "verbosity",
];

/// A call of a version.
#[derive(Serialize)]
struct VersionCall<'a> {
    model: &'a str,
    messages: [(); 0],
    #[serde(skip_serializing_if = "Map::is_empty")]
    variables: Map<String, Value>,
}

/// A call of a model.
#[derive(Serialize)]
struct ModelCall<'a, M> {
    model: &'a str,
    messages: &'a [M],
    #[serde(flatten)]
    parameters: &'a Map<String, Value>,
}

/// Why a case cannot be called, in words for its result.
pub(super) type Unsendable = String;

/// Returns the body of the call of a case, and the prompt as text where the suite itself has it.
///
/// # Errors
/// The template does not fit the variables of the case.
pub(super) fn of_case(
    subject: &TargetSubject,
    case: &Case,
    vars: &Map<String, Value>,
) -> Result<(Bytes, Option<String>), Unsendable> {
    match subject {
        TargetSubject::Version { name, digest, inputs, .. } => {
            let variables = match inputs {
                Some(inputs) => taken(inputs, vars),
                None => vars.clone(),
            };
            let call = VersionCall { model: &format!("prompt:{name}@{digest}"), messages: [], variables };
            Ok((body(&call)?, None))
        }
        TargetSubject::Inline { template, alias, parameters, .. } => {
            let (before, after) = case.around();
            let messages =
                render_prompt(template, before, after, vars.clone()).map_err(|error| bowline_types::chain(&error))?;
            let text = text_of(&messages);
            let own = case.parameters().map(|(name, value)| (name.to_owned(), value.clone())).collect();
            let own = self::parameters(&own)?;
            let together: Map<String, Value>;
            let parameters = if own.is_empty() {
                parameters
            } else {
                together = parameters.iter().chain(&own).map(|(name, value)| (name.clone(), value.clone())).collect();
                &together
            };
            Ok((body(&ModelCall { model: alias, messages: &messages, parameters })?, Some(text)))
        }
    }
}

/// Returns the body of a question to a judge, who is a model.
///
/// # Errors
/// It is none.
pub(super) fn of_judge(judge: &TargetSubject, messages: &[AskMessage]) -> Result<Bytes, Unsendable> {
    match judge {
        TargetSubject::Inline { alias, parameters, .. } => body(&ModelCall { model: alias, messages, parameters }),
        TargetSubject::Version { name, .. } => {
            Err(format!("the prompt `{name}` judges by its own words: name it as `rubricPrompt`, not as `provider`"))
        }
    }
}

/// Returns the body of a question for embeddings.
///
/// # Errors
/// Who is asked is no model.
pub(super) fn of_embeddings(judge: &TargetSubject, texts: &[String]) -> Result<Bytes, Unsendable> {
    match judge {
        TargetSubject::Inline { alias, .. } => body(&serde_json::json!({ "model": alias, "input": texts })),
        TargetSubject::Version { name, .. } => Err(format!("the prompt `{name}` gives no embeddings")),
    }
}

fn body(call: &impl Serialize) -> Result<Bytes, Unsendable> {
    serde_json::to_vec(call).map(Bytes::from).map_err(|error| error.to_string())
}

/// Returns the one message of a user as its text, anything else as JSON.
fn text_of(messages: &[PromptMessage]) -> String {
    match messages {
        [PromptMessage { role, content: Value::String(text), .. }] if role == "user" => text.clone(),
        _ => serde_json::to_string(messages).unwrap_or_default(),
    }
}

/// Returns the variables that a prompt takes: a case also has what its assertions expect. A text where the schema wants something
/// else, as CSV has it, is read as JSON.
fn taken(inputs: &BTreeMap<String, Value>, vars: &Map<String, Value>) -> Map<String, Value> {
    let of = |(name, schema): (&String, &Value)| {
        let value = vars.get(name)?;
        let read = value.as_str().filter(|_| !takes_text(schema)).and_then(|text| serde_json::from_str(text).ok());
        Some((name.clone(), read.unwrap_or_else(|| value.clone())))
    };
    inputs.iter().filter_map(of).collect()
}

fn takes_text(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == "string",
        Some(Value::Array(several)) => several.iter().any(|one| one == "string"),
        _ => true,
    }
}

/// Returns what a prompt takes, from its input schema; `None` where it takes whatever there is.
pub(super) fn inputs(schema: Option<&Value>) -> Option<BTreeMap<String, Value>> {
    let Some(schema) = schema else { return Some(BTreeMap::new()) };
    let open = schema.get("additionalProperties").is_some_and(|additional| *additional != Value::Bool(false));
    let properties = schema.get("properties").and_then(Value::as_object).filter(|_| !open)?;
    Some(properties.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect())
}

/// Returns the parameters that a suite gives a model, as they are sent.
///
/// # Errors
/// Names the one that is no parameter of a call.
pub(super) fn parameters(config: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    if let Some(other) = config.keys().find(|key| !PARAMETERS.contains(&key.as_str())) {
        let what = if other.starts_with("api") {
            "addresses and credentials of providers stand in bowline.yaml"
        } else {
            "it is no parameter of a call that Bowline knows"
        };
        return Err(format!("`{other}` of a model: {what}"));
    }
    Ok(config.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bowline_eval::{CaseId, Rules};
    use bowline_types::Digest;
    use serde_json::json;

    use super::*;

    fn case(options: &Value) -> Case {
        let rules = Rules {
            assertions: Vec::new().into(),
            threshold: None,
            must_pass: false,
            metadata: Map::new().into(),
            repeat: 1,
            only: None,
            own_file: None,
            options: options.as_object().unwrap().clone().into(),
        };
        Case::new(CaseId::new([0; 8], 1), None, Map::new().into(), Arc::new(rules))
    }

    #[test]
    fn a_version_gets_the_variables_that_it_takes() {
        let schema = json!({"properties": {"ticket": {"type": "string"}, "count": {"type": "integer"}}});
        let subject = TargetSubject::Version {
            name: "p".parse().unwrap(),
            digest: Digest::of(b"v"),
            inputs: inputs(Some(&schema)),
        };
        let vars = json!({"ticket": "7", "count": "7", "expected": "billing"});
        let (body, _) = of_case(&subject, &case(&json!({})), vars.as_object().unwrap()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["variables"], json!({"ticket": "7", "count": 7}));
        assert_eq!(body["model"], format!("prompt:p@{}", Digest::of(b"v")));
        assert_eq!(inputs(Some(&json!({"properties": {}, "additionalProperties": true}))), None);
    }

    #[test]
    fn a_template_becomes_messages_with_parameters() {
        let subject = TargetSubject::Inline {
            label: "l".to_owned(),
            template: "Say {{word}}".to_owned(),
            alias: "fast".to_owned(),
            parameters: json!({"temperature": 0}).as_object().unwrap().clone(),
        };
        let vars = json!({"word": "yes"});
        let case = case(&json!({"prefix": "Now: "}));
        let (body, text) = of_case(&subject, &case, vars.as_object().unwrap()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(text.as_deref(), Some("Now: Say yes"));
        assert_eq!(
            body,
            json!({"model": "fast", "messages": [{"role": "user", "content": "Now: Say yes"}], "temperature": 0})
        );
    }

    #[test]
    fn parameters_that_are_none_are_named() {
        let check = |config: Value, expected: Option<&str>| {
            let found = parameters(config.as_object().unwrap()).err();
            assert_eq!(
                found.as_deref().map(|text| text.contains(expected.unwrap())),
                expected.map(|_| true),
                "{found:?}"
            );
        };
        check(json!({"temperature": 0.2, "max_tokens": 5}), None);
        check(json!({"apiKey": "secret"}), Some("`apiKey` of a model: addresses and credentials"));
        check(json!({"showThinking": true}), Some("`showThinking` of a model: it is no parameter"));
    }
}
