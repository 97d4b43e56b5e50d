//! Merge keys and `$ref` of a document, as promptfoo works them in.

use bowline_prompt::Diagnostic;
use bowline_prompt::yaml::{Key, Node, Value};

use crate::suite::files::At;

/// How deep references of references go.
const DEPTH_MAX: usize = 64;
/// How many values a document may have with everything worked in.
const NODES_MAX: usize = 400_000;
/// A mapping whose entries go before those of the other one.
const MERGE: &str = "<<";
/// A reference to another place of the same document.
const REFERENCE: &str = "$ref";

/// Returns `root` with its merge keys and local references worked in.
///
/// A reference that points to nothing stays as it is: JSON Schemas have references of their own.
pub(crate) fn resolve(file: &str, root: Node) -> Result<Node, Diagnostic> {
    if !needs_work(&root) {
        return Ok(root);
    }
    let mut resolver = Resolver { file, root: &root, nodes: 0 };
    resolver.node(&root, 0)
}

fn needs_work(node: &Node) -> bool {
    let entries = node.entries();
    entries.iter().any(|(key, node)| key.text == MERGE || key.text == REFERENCE || needs_work(node))
        || node.items().iter().any(needs_work)
}

struct Resolver<'a> {
    file: &'a str,
    root: &'a Node,
    nodes: usize,
}

// === impl Resolver ===

impl Resolver<'_> {
    fn node(&mut self, node: &Node, depth: usize) -> Result<Node, Diagnostic> {
        let at = At { file: self.file, span: node.span };
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(at.error("reference", format!("references nest more than {DEPTH_MAX} levels deep")));
        }
        if self.nodes > NODES_MAX {
            return Err(at.error("reference", format!("more than {NODES_MAX} values, references worked in")));
        }
        let value = match &node.value {
            Value::Sequence(items) => {
                Value::Sequence(items.iter().map(|item| self.node(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            Value::Mapping(entries) => return self.mapping(node, entries, depth),
            value => value.clone(),
        };
        Ok(Node { value, span: node.span })
    }

    fn mapping(&mut self, node: &Node, entries: &[(Key, Node)], depth: usize) -> Result<Node, Diagnostic> {
        let mut merged: Vec<(Key, Node)> = Vec::with_capacity(entries.len());
        let mut below: Vec<(Key, Node)> = Vec::new();
        for (key, value) in entries {
            if key.text == MERGE {
                let parents = if value.is_mapping() { std::slice::from_ref(value) } else { value.items() };
                for parent in parents {
                    below.extend(self.node(parent, depth + 1)?.entries().iter().cloned());
                }
            } else if let Some(target) = (key.text == REFERENCE).then(|| self.target(value)).flatten() {
                let target = self.node(&target.clone(), depth + 1)?;
                if entries.len() == 1 {
                    return Ok(target);
                }
                below.extend(target.entries().iter().cloned());
            } else {
                merged.push((key.clone(), self.node(value, depth + 1)?));
            }
        }
        for (key, value) in below {
            if !merged.iter().any(|(other, _)| other.text == key.text) {
                merged.push((key, value));
            }
        }
        Ok(Node { value: Value::Mapping(merged), span: node.span })
    }

    /// Returns what `#/a/b` of this document points to (a JSON pointer, RFC 6901).
    fn target(&self, reference: &Node) -> Option<&Node> {
        let pointer = reference.as_str()?.strip_prefix("#/")?;
        pointer.split('/').try_fold(self.root, |node, part| {
            let part = part.replace("~1", "/").replace("~0", "~");
            node.get(&part).or_else(|| node.items().get(part.parse::<usize>().ok()?))
        })
    }
}
