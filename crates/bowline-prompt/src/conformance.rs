//! Runs the language-neutral cases of the Dotprompt specification.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bowline_types::conformance::{Group, Report};
use serde_json::{Map, Value, json};

use crate::picoschema;
use crate::prompt::ParsedPrompt;
use crate::render::Message;
use crate::template::{CompiledTemplate, Missing, RenderInput};
use crate::yaml::{self, Node};

/// The nonce of every case; no case writes it.
const NONCE: u128 = 0x5eed;
/// What a case may state about the metadata of a prompt, besides its messages.
const METADATA: [&str; 8] = ["model", "config", "input", "output", "ext", "raw", "name", "tools"];

/// Runs every case of the YAML files below `dir`: one group per file.
///
/// # Errors
/// When the files cannot be read or are not lists of cases.
pub fn dotprompt(dir: &Path) -> io::Result<Report> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort();
    let mut report = Report { corpus: "dotprompt-spec".to_owned(), groups: Vec::new() };
    for path in files {
        let name = path.strip_prefix(dir).unwrap_or(&path).with_extension("").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path)?;
        let suites = yaml::parse(&name, &text, 0).map_err(|error| io::Error::other(error.message))?;
        let mut group = Group::new(name);
        for suite in suites.items() {
            run_suite(suite, &mut group);
        }
        report.groups.push(group);
    }
    Ok(report)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

fn run_suite(suite: &Node, group: &mut Group) {
    let text = |node: &Node, key: &str| node.get(key).and_then(Node::as_str).unwrap_or_default().to_owned();
    for case in suite.get("tests").map(Node::items).unwrap_or_default() {
        match run_case(suite, case) {
            Ok(()) => group.passed += 1,
            Err(reason) => group.failed.push(format!("{} / {}: {reason}", text(suite, "name"), text(case, "desc"))),
        }
    }
}

fn run_case(suite: &Node, case: &Node) -> Result<(), String> {
    let template = suite.get("template").and_then(Node::as_str).ok_or("no template")?;
    let prompt = ParsedPrompt::parse("case.prompt", template).map_err(|errors| format!("{errors:?}"))?;
    let options = object(case.at(&["options"]));
    let data = Data::of(suite, case)?;
    let defaults = match options.get("input").and_then(|input| input.get("default")) {
        Some(Value::Object(defaults)) => defaults.clone(),
        _ => prompt.defaults(),
    };
    let partials = partials(suite);
    let compiled = CompiledTemplate::compile(&prompt.body, &partials, Missing::Empty).map_err(|e| e.to_string())?;
    let input = RenderInput {
        variables: &data.input,
        defaults: &defaults,
        context: &data.context,
        history: &data.messages,
        nonce: NONCE,
    };
    let messages = compiled.render(&input).map_err(|error| error.to_string())?;
    let mut actual = metadata(&prompt, suite, &options)?;
    actual.insert("messages".to_owned(), serde_json::to_value(messages).map_err(|error| error.to_string())?);
    compare(&actual, &object(case.get("expect")))
}

/// `data` of a suite, with that of the case over it.
struct Data {
    input: Map<String, Value>,
    context: Map<String, Value>,
    messages: Vec<Message>,
}

// === impl Data ===

impl Data {
    fn of(suite: &Node, case: &Node) -> Result<Self, String> {
        let mut data = object(suite.get("data"));
        data.extend(object(case.get("data")));
        let mut part = |key: &str| match data.remove(key) {
            Some(Value::Object(part)) => part,
            _ => Map::new(),
        };
        let (input, context) = (part("input"), part("context"));
        let messages = data.remove("messages").unwrap_or_else(|| json!([]));
        let messages = serde_json::from_value(messages).map_err(|error| error.to_string())?;
        Ok(Self { input, context, messages })
    }
}

fn object(node: Option<&Node>) -> Map<String, Value> {
    match node.map(Node::to_json) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn partials(suite: &Node) -> BTreeMap<String, String> {
    let all =
        ["partials", "resolverPartials"].into_iter().flat_map(|key| suite.get(key).map_or(&[][..], Node::entries));
    all.filter_map(|(name, text)| Some((name.text.clone(), text.as_str()?.to_owned()))).collect()
}

/// What a runtime reports about a prompt beside its messages.
fn metadata(prompt: &ParsedPrompt, suite: &Node, options: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let named = |name: &str| {
        let find = |key: &str| suite.at(&[key, name]).map(Node::to_json);
        find("schemas").or_else(|| find("resolverSchemas"))
    };
    let schema = |node: Option<&Node>| match node {
        None => Ok(None),
        Some(node) => picoschema::compile("case.prompt", node, &named).map_err(|error| error.message),
    };
    let mut out = Map::new();
    let mut insert = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(key.to_owned(), value);
        }
    };
    insert("name", prompt.name.as_ref().map(|name| json!(name.value)));
    insert("model", prompt.model.as_ref().map(|model| json!(model.value)));
    insert("config", prompt.config.as_ref().map(Node::to_json));
    let tools: Vec<&str> = prompt.tools.iter().map(|tool| tool.value.as_str()).collect();
    insert("tools", (!tools.is_empty()).then(|| json!(tools)));
    insert("raw", (!prompt.raw.is_null()).then(|| prompt.raw.to_json()));
    let mut namespaces: Map<String, Value> = Map::new();
    for extension in &prompt.extensions {
        let fields = namespaces.entry(extension.namespace.clone()).or_insert_with(|| json!({}));
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(extension.field.clone(), extension.value.to_json());
        }
    }
    insert("ext", Some(Value::Object(namespaces)));
    let mut input = Map::new();
    input.extend(prompt.input.default.as_ref().map(|default| ("default".to_owned(), default.to_json())));
    input.extend(schema(prompt.input.schema.as_ref())?.map(|schema| ("schema".to_owned(), schema)));
    // Options given with the data replace what the file states.
    input.extend(options.get("input").and_then(Value::as_object).cloned().unwrap_or_default());
    insert("input", (!input.is_empty()).then_some(Value::Object(input)));
    let mut output = Map::new();
    output.extend(prompt.output.format.as_ref().map(|format| ("format".to_owned(), json!(format.value))));
    output.extend(schema(prompt.output.schema.as_ref())?.map(|schema| ("schema".to_owned(), schema)));
    insert("output", (!output.is_empty()).then_some(Value::Object(output)));
    Ok(out)
}

/// Messages must be as stated, and so must whatever else the case states.
fn compare(actual: &Map<String, Value>, expected: &Map<String, Value>) -> Result<(), String> {
    for (key, expected) in expected {
        if key != "messages" && !METADATA.contains(&key.as_str()) {
            return Err(format!("the case states `{key}`, which is not compared"));
        }
        let actual = actual.get(key).unwrap_or(&Value::Null);
        if actual != expected {
            return Err(format!("{key}: {actual} instead of {expected}"));
        }
    }
    let unexpected = expected.get("messages").is_none() && actual.get("messages") != Some(&json!([]));
    if unexpected { Err("messages that the case does not state".to_owned()) } else { Ok(()) }
}
