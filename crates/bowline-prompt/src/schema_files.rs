//! JSON Schemas of the files that people write, so that editors complete and check them.

use bowline_canary::Plan;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::project::Project;
use crate::version::{ModelConfig, OutputFormat};

/// Returns the JSON Schema of `bowline.yaml`.
#[must_use]
pub fn project_schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Project>();
    schema.to_value()
}

/// Returns the JSON Schema of the front matter of a prompt: Dotprompt's keys and ours.
///
/// Dotted keys of other namespaces are allowed, as in Dotprompt.
#[must_use]
pub fn front_matter_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let config = generator.subschema_for::<ModelConfig>().to_value();
    let format = generator.subschema_for::<OutputFormat>().to_value();
    let rollout = generator.subschema_for::<Plan>().to_value();
    let definitions = generator.take_definitions(true);
    let picoschema = json!({ "description": "Picoschema or JSON Schema.", "type": ["object", "string"] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Front matter of a prompt",
        "type": "object",
        "properties": {
            "name": text("The name; must be that of the file. Leave it out."),
            "variant": text("The variant; must be that of the file. Leave it out."),
            "version": text("A version for people; Bowline names versions by their content."),
            "description": text("What the prompt is for."),
            "model": text("The alias of a model in bowline.yaml."),
            "tools": names("Tools that the model may call; each is defined in `toolDefs`."),
            "toolDefs": {
                "description": "Definitions of tools, in the order in which the model is told of them.",
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": text("The name by which the model calls it."),
                        "description": text("What it is for."),
                        "inputSchema": picoschema,
                        "outputSchema": picoschema
                    },
                    "required": ["name"],
                    "additionalProperties": false
                }
            },
            "config": config,
            "input": {
                "description": "What applications send.",
                "type": "object",
                "properties": {
                    "schema": picoschema,
                    "default": { "description": "Values of variables that an application leaves out.", "type": "object" }
                },
                "additionalProperties": false
            },
            "output": {
                "description": "What applications get.",
                "type": "object",
                "properties": { "format": format, "schema": picoschema },
                "additionalProperties": false
            },
            "metadata": { "description": "Anything, for readers.", "type": "object" },
            "bowline.owners": names("Who is asked about the prompt."),
            "bowline.suite": text("The path of its suite from the root of the project, such as `evals/support.yaml`."),
            "bowline.success": success(),
            "bowline.rollout": rollout
        },
        "patternProperties": { "^(?!bowline\\.).+\\..+$": true },
        "additionalProperties": false,
        "$defs": definitions
    })
}

fn text(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

fn names(description: &str) -> Value {
    json!({ "description": description, "type": "array", "items": { "type": "string", "minLength": 1 } })
}

fn success() -> Value {
    json!({
        "description": "What an inference must do to count as a success. Default: `complete`, and `schema` where the prompt has an \
                        output schema.",
        "type": "array",
        "items": { "anyOf": [
            { "description": "The output fits the output schema.", "const": "schema" },
            { "description": "The call ended without an error and the answer was not cut off.", "const": "complete" },
            { "description": "The answer is not a refusal.", "const": "not_refusal" },
            {
                "description": "An application sent feedback of this name: `true` or a number of at least 0.5 passes.",
                "type": "object",
                "properties": { "feedback": { "type": "string", "minLength": 1 } },
                "required": ["feedback"],
                "additionalProperties": false
            },
            {
                "description": "A CEL expression over `output`, `text`, `variables` and `finish`; true passes.",
                "type": "object",
                "properties": { "cel": { "type": "string", "minLength": 1 } },
                "required": ["cel"],
                "additionalProperties": false
            }
        ] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input_schema::compile_schema;
    use crate::yaml;

    /// Checks whether `yaml` is valid under `schema`; `expected` is a part of the first error, empty where there is none.
    fn check(schema: &Value, text: &str, expected: &str) {
        let instance = yaml::parse("a.yaml", text, 0).unwrap().to_json();
        let error = compile_schema(schema).unwrap().validate(&instance).map_err(|error| error.to_string()).err();
        match error {
            Some(error) => assert!(!expected.is_empty() && error.contains(expected), "{text}: {error}"),
            None => assert!(expected.is_empty(), "{text}: valid"),
        }
    }

    #[test]
    fn the_schema_of_a_project_is_as_strict_as_the_reader() {
        let schema = project_schema();
        check(
            &schema,
            "\
project: support-desk
providers:
  openai: { kind: openai, api_key: env:OPENAI_API_KEY }
  local: { kind: openai, base_url: http://127.0.0.1:11434/v1, identity: vllm/llama-3 }
models:
  fast: { provider: openai, model: gpt-5-mini }
  smart: { targets: [{ provider: openai, model: gpt-5, timeout: 30s }] }
environments:
  dev: {}
  prod: { source: cli, protected: true, rollout: { stages: ['10%', '50%'], margin: 0.05 } }
  staging: { rollout: direct, providers: { openai: { base_url: https://example.com } } }
telemetry: { content: failures, otlp: { endpoint: http://127.0.0.1:4318 } }
",
            "",
        );
        check(&schema, "projct: a\nproject: a\n", "projct");
        check(&schema, "providers: {}\n", "\"project\" is a required property");
        check(&schema, "project: a\nproviders: { o: { kind: openai, api_key: sk-live } }", "does not match");
        check(&schema, "project: a\nproviders: { o: { kind: opnai } }", "opnai");
        check(&schema, "project: a\nmodels: { m: { provider: o, modl: x } }", "not valid under any");
        check(&schema, "project: a\nmodels: { m: { targets: [] } }", "not valid under any");
        check(&schema, "project: a\nenvironments: { prod: { protectd: true } }", "protectd");
        check(&schema, "project: a\nenvironments: { prod: { rollout: { margn: 1 } } }", "not valid under any");
        check(&schema, "project: a\nenvironments: { dev: { providers: { o: { kind: gemini } } } }", "kind");
    }

    #[test]
    fn the_schema_of_front_matter_knows_dotprompt_and_us() {
        let schema = front_matter_schema();
        check(
            &schema,
            "\
model: fast
description: answers a ticket
config: { temperature: 0.2, maxOutputTokens: 256 }
input: { schema: { ticket: string, tone?: string }, default: { tone: calm } }
output: { format: json, schema: { answer: string } }
toolDefs: [{ name: lookup, inputSchema: { order: integer } }]
tools: [lookup]
bowline.owners: [support]
bowline.suite: evals/support.yaml
bowline.success: [schema, { feedback: helpful }, { cel: size(text) < 500 }]
bowline.rollout: { stages: ['5%', '25%'] }
other.tool: { x: 1 }
",
            "",
        );
        check(&schema, "modle: fast", "modle");
        check(&schema, "bowline.owner: [a]", "bowline.owner");
        check(&schema, "bowline.success: [judge]", "not valid under any");
        check(&schema, "config: { temprature: 1 }", "temprature");
        check(&schema, "config: { temperature: 3 }", "greater than");
        check(&schema, "bowline.rollout: { stage: ['5%'] }", "stage");
    }

    #[test]
    fn every_property_of_a_project_is_described() {
        let schema = project_schema();
        let mut undescribed = Vec::new();
        let types = std::iter::once(("Project", &schema))
            .chain(schema["$defs"].as_object().unwrap().iter().map(|(name, schema)| (name.as_str(), schema)));
        for (name, schema) in types {
            for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
                if schema.get("description").is_none() && schema.get("$ref").is_none() {
                    undescribed.push(format!("{name}.{property}"));
                }
            }
        }
        assert_eq!(undescribed, Vec::<String>::new());
    }
}
