//! The variables of a call, as they are typed.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::cli;
use crate::failure::{Failure, Result};

/// Reads the variables of a call; `schema` is the input schema of the prompt, where it is known.
///
/// # Errors
/// A file that cannot be read, a value that is not what the schema wants, a name given twice.
pub(crate) fn read(given: &cli::Variables, schema: Option<&Value>) -> Result<Map<String, Value>> {
    let mut variables = match &given.vars {
        Some(path) => file(path)?,
        None => Map::new(),
    };
    let mut named = Vec::new();
    for assignment in &given.var {
        let Some((name, text)) = assignment.split_once('=') else {
            return Err(Failure::user(format!("`--var {assignment}` has no `=`\nhint: write `--var NAME=VALUE`")));
        };
        if named.contains(&name) {
            return Err(Failure::user(format!("the variable `{name}` is given twice")));
        }
        named.push(name);
        variables.insert(name.to_owned(), value(name, &text_of(text)?, schema)?);
    }
    Ok(variables)
}

fn file(path: &Path) -> Result<Map<String, Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let object = serde_json::from_str(&text);
    Ok(object.with_context(|| format!("{} is not a JSON object of variables", path.display()))?)
}

/// Returns the text that was typed, or that of the file behind `@`.
fn text_of(typed: &str) -> Result<String> {
    match typed.strip_prefix('@') {
        Some(literal) if literal.starts_with('@') => Ok(literal.to_owned()),
        Some(path) => Ok(fs::read_to_string(path).with_context(|| format!("could not read {path}"))?),
        None => Ok(typed.to_owned()),
    }
}

fn value(name: &str, text: &str, schema: Option<&Value>) -> Result<Value> {
    let property = schema.and_then(|schema| schema.get("properties")?.get(name));
    let Some(wanted) = property.and_then(wanted) else { return Ok(text.into()) };
    serde_json::from_str(text).map_err(|error| {
        let hint = format!("hint: the input schema wants {wanted}, written as JSON");
        Failure::user(format!("the variable `{name}` is no JSON: {error}\n{hint}"))
    })
}

/// Returns the type that a schema wants, in words; `None` where it takes a text.
fn wanted(schema: &Value) -> Option<String> {
    let types: Vec<&str> = match schema.get("type")? {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    (!types.contains(&"string")).then(|| types.join(" or "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(var: &[&str], expected: std::result::Result<Value, &str>) {
        let schema = json!({ "properties": {
            "ticket": { "type": "string" },
            "count": { "type": "integer" },
            "tags": { "type": ["array", "null"] },
            "tone": { "type": ["string", "null"] },
            "kind": { "enum": ["a", "b"] },
        } });
        let given = cli::Variables { var: var.iter().map(|text| (*text).to_owned()).collect(), vars: None };
        let found = read(&given, Some(&schema)).map(Value::Object);
        match expected {
            Ok(expected) => assert_eq!(found.unwrap(), expected),
            Err(message) => assert_eq!(found.unwrap_err().message(), message),
        }
    }

    #[test]
    fn values_are_what_the_schema_wants() {
        check(&[], Ok(json!({})));
        check(&["ticket=42", "count=42"], Ok(json!({ "ticket": "42", "count": 42 })));
        check(&["tags=[\"a\"]", "tone=null", "kind=a"], Ok(json!({ "tags": ["a"], "tone": "null", "kind": "a" })));
        check(&["ticket=a=b", "other=1"], Ok(json!({ "ticket": "a=b", "other": "1" })));
        check(&["ticket=@@anna"], Ok(json!({ "ticket": "@anna" })));
    }

    #[test]
    fn what_is_wrong_is_told() {
        check(&["ticket"], Err("`--var ticket` has no `=`\nhint: write `--var NAME=VALUE`"));
        check(&["ticket=a", "ticket=b"], Err("the variable `ticket` is given twice"));
        check(
            &["count=many"],
            Err(
                "the variable `count` is no JSON: expected value at line 1 column 1\nhint: the input schema wants integer, \
                 written as JSON",
            ),
        );
    }

    #[test]
    fn files_stand_behind_an_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ticket.txt");
        fs::write(&path, "My card\nwas charged twice.\n").unwrap();
        let vars = folder.path().join("vars.json");
        fs::write(&vars, r#"{"ticket": "other", "count": 3}"#).unwrap();
        let given = cli::Variables { var: vec![format!("ticket=@{}", path.display())], vars: Some(vars) };
        let found = Value::Object(read(&given, None).unwrap());
        assert_eq!(found, json!({ "ticket": "My card\nwas charged twice.\n", "count": 3 }));
    }
}
