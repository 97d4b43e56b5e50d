//! `is-xml` and `contains-xml`.
//!
//! `is-xml` is strict: one well-formed document, with the namespaces and entities that it uses. `contains-xml` takes what a careless
//! model writes: an element in prose counts as soon as its tags match, whatever its attributes and entities. Both may ask for elements
//! by path, `order.items.item`; elements of one name beside each other are a list, with a number in the path. `@_name` is an attribute,
//! `#text` the text beside elements or attributes.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;

use super::javascript;
use super::verdict;
use crate::assertion::Kind;
use crate::subject::{Grade, Subject};

mod scan;

use scan::Element;

/// The most nodes of a document.
const NODES_MAX: u32 = 200_000;

/// `is-xml`, `contains-xml`.
pub(super) struct Xml {
    contained: bool,
    /// The paths of elements that must be there.
    required: Vec<String>,
}

// === impl Xml ===

impl Xml {
    pub(super) fn new(value: &Value, kind: Kind) -> Result<Self, String> {
        let list = |items: &[Value]| items.iter().map(javascript::string).collect();
        let required = match value {
            Value::Null => Vec::new(),
            Value::String(text) => text.split(',').map(|path| javascript::trim(path).to_owned()).collect(),
            Value::Array(items) => list(items),
            Value::Object(members) if members.is_empty() => Vec::new(),
            Value::Object(members) => match members.get("requiredElements") {
                Some(Value::Array(items)) => list(items),
                _ => return Err(format!("`{}` needs `requiredElements`, a list, in its value", kind.as_str())),
            },
            _ => return Err(format!("`{}` needs paths of elements as its value, or none", kind.as_str())),
        };
        Ok(Self { contained: kind == Kind::ContainsXml, required })
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        let fault =
            if self.contained { self.contained_fault(&subject.text)? } else { self.document_fault(&subject.text) };
        Ok(verdict(fault.is_none(), negated, || {
            fault.unwrap_or_else(|| {
                let what = if self.contained { "contains" } else { "is" };
                format!("the answer {what} XML with every element that is asked for")
            })
        }))
    }

    /// Says why a text is no XML document with the elements, `None` where it is.
    fn document_fault(&self, text: &str) -> Option<String> {
        // A document type that only points elsewhere is harmless and dropped; one that declares entities is refused by the parser.
        let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, entity_resolver: None };
        let document = match Document::parse_with_options(text, options) {
            Ok(document) => document,
            Err(roxmltree::Error::DtdDetected) => {
                let Some(plain) = without_doctype(text) else {
                    return Some("the answer declares a document type with declarations of its own".to_owned());
                };
                return self.document_fault(&plain);
            }
            Err(error) => return Some(format!("the answer is no XML: {error}")),
        };
        let root = element(document.root_element());
        missing(&self.required, std::slice::from_ref(&root), text.trim_start().starts_with("<?xml"))
    }

    fn contained_fault(&self, text: &str) -> Result<Option<String>, String> {
        let groups = scan::elements(text)?;
        let mut fault = Some("the answer contains no XML".to_owned());
        for group in &groups {
            fault = missing(&self.required, group, false);
            if fault.is_none() {
                break;
            }
        }
        Ok(fault)
    }
}

/// Drops a document type that declares nothing inside brackets; `None` where there is no such.
fn without_doctype(text: &str) -> Option<String> {
    let start = text.find("<!DOCTYPE")?;
    let rest = text.get(start..)?;
    let end = rest.find('>')?;
    let declared = rest.get(..end)?;
    (!declared.contains('['))
        .then(|| format!("{}{}", text.get(..start).unwrap_or(""), rest.get(end + 1..).unwrap_or("")))
}

/// Returns an element without its namespaces resolved: paths name it as it is written.
fn element(node: Node<'_, '_>) -> Element {
    let written = |node: &Node<'_, '_>| {
        let start = node.range().start + 1;
        let text = node.document().input_text().get(start..).unwrap_or("");
        text.split(|character: char| character.is_whitespace() || matches!(character, '>' | '/'))
            .next()
            .unwrap_or("")
            .to_owned()
    };
    let text = node
        .children()
        .any(|child| child.text().is_some_and(|text| child.is_text() && !javascript::trim(text).is_empty()));
    Element {
        name: written(&node),
        attributes: node.attributes().map(|attribute| attribute.name().to_owned()).collect(),
        text,
        children: node.children().filter(Node::is_element).map(element).collect(),
    }
}

/// Says which elements are missing, `None` where none is.
fn missing(required: &[String], roots: &[Element], declared: bool) -> Option<String> {
    let is_there = |path: &&String| {
        let keys: Vec<&str> = path.split('.').collect();
        has_path(roots, &keys) || declared && keys == ["?xml"]
    };
    let missing: Vec<&str> = required.iter().filter(|path| !is_there(path)).map(String::as_str).collect();
    (!missing.is_empty()).then(|| format!("the XML has no {}", missing.join(", ")))
}

fn has_path(siblings: &[Element], keys: &[&str]) -> bool {
    let [name, rest @ ..] = keys else { return true };
    let named: Vec<&Element> = siblings.iter().filter(|element| element.name == *name).collect();
    match (named.as_slice(), rest) {
        ([], _) => false,
        (_, []) => true,
        ([one], rest) => has_inside(one, rest),
        (several, [index, rest @ ..]) => {
            // As in a JavaScript list: an index is written without signs and leading zeros.
            let element = index.parse().ok().filter(|number: &usize| number.to_string() == *index);
            element
                .and_then(|index| several.get(index))
                .is_some_and(|element| rest.is_empty() || has_inside(element, rest))
        }
    }
}

fn has_inside(element: &Element, keys: &[&str]) -> bool {
    match keys {
        [key] if *key == "#text" => element.text && (!element.children.is_empty() || !element.attributes.is_empty()),
        [key] if key.starts_with("@_") => element.attributes.iter().any(|name| key.strip_prefix("@_") == Some(name)),
        keys => has_path(&element.children, keys),
    }
}
