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

/// The most nodes of a document, and its deepest nesting.
const NODES_MAX: u32 = 200_000;
const DEPTH_MAX: usize = 512;

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
            if self.contained { self.contained_fault(&subject.text)? } else { self.document_fault(&subject.text)? };
        Ok(verdict(fault.is_none(), negated, || {
            fault.unwrap_or_else(|| {
                let what = if self.contained { "contains" } else { "is" };
                format!("the answer {what} XML with every element that is asked for")
            })
        }))
    }

    /// Says why a text is no XML document with the elements, `None` where it is.
    fn document_fault(&self, text: &str) -> Result<Option<String>, String> {
        // A document type that only points elsewhere is harmless and dropped, once; one that declares something is refused.
        let plain = without_doctype(text);
        let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, entity_resolver: None };
        let document = match Document::parse_with_options(plain.as_deref().unwrap_or(text), options) {
            Ok(document) => document,
            Err(roxmltree::Error::DtdDetected) => {
                return Ok(Some("the answer declares a document type with declarations of its own".to_owned()));
            }
            Err(error) => return Ok(Some(format!("the answer is no XML: {error}"))),
        };
        let root = element(document.root_element(), DEPTH_MAX)
            .ok_or_else(|| format!("the answer has elements nested more than {DEPTH_MAX} deep"))?;
        Ok(missing(&self.required, std::slice::from_ref(&root), text.trim_start().starts_with("<?xml")))
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

/// Returns an element without its namespaces resolved: paths name it as it is written. `None` where it is nested too deep.
fn element(node: Node<'_, '_>, depth: usize) -> Option<Element> {
    let depth = depth.checked_sub(1)?;
    let written = node.document().input_text().get(node.range().start + 1..).unwrap_or("");
    let ends_name = |character: char| character.is_whitespace() || matches!(character, '>' | '/');
    let is_text =
        |child: Node<'_, '_>| child.is_text() && child.text().is_some_and(|text| !javascript::trim(text).is_empty());
    let children = node.children().filter(Node::is_element).map(|child| element(child, depth));
    Some(Element {
        name: written.split(ends_name).next().unwrap_or("").to_owned(),
        attributes: node.attributes().map(|attribute| attribute.name().to_owned()).collect(),
        text: node.children().any(is_text),
        children: children.collect::<Option<_>>()?,
    })
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
