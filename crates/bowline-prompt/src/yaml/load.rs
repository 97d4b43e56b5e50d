//! Builds nodes from the parser's events.

use std::collections::HashMap;

use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, StrInput};

use super::{Key, Node, Value};
use crate::diagnostic::{Diagnostic, Position, Span};

/// How deep mappings and lists may nest.
const DEPTH_MAX: usize = 96;
/// How many nodes a document may have after its aliases are expanded.
const NODES_MAX: usize = 200_000;

/// Reads one YAML document; an empty text is null.
///
/// `lines_before` is how many lines of the file stand before `text`, so that places are those of the file.
///
/// # Errors
/// The first thing that is not YAML, a second document, a duplicate key, or a document past the bounds.
pub fn parse(file: &str, text: &str, lines_before: usize) -> Result<Node, Diagnostic> {
    let mut loader =
        Loader { file, parser: Parser::new_from_str(text), lines_before, anchors: HashMap::new(), nodes: 0, depth: 0 };
    loader.document()
}

struct Loader<'a> {
    file: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    lines_before: usize,
    /// Anchored nodes and how many nodes each one is.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    depth: usize,
}

// === impl Loader ===

impl<'a> Loader<'a> {
    fn document(&mut self) -> Result<Node, Diagnostic> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(self.error(span, "a second document").hint("one file holds one document"));
                }
                event => root = Some(self.node(event, span)?),
            }
        }
        let start = Position::new(1 + self.lines_before, 1);
        Ok(root.unwrap_or(Node { value: Value::Null, span: Span::new(start, start) }))
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Diagnostic> {
        self.count(1, span)?;
        let before = self.nodes;
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar::parse_from_cow_and_metadata(text.clone(), style, tag.as_ref());
                let scalar = scalar.ok_or_else(|| self.error(span, format!("`{text}` is not of the type of its tag")));
                (anchor, Node { value: self.scalar(scalar?, &text, span)?, span })
            }
            Event::SequenceStart(anchor, _) => (anchor, self.nested(span, Self::sequence)?),
            Event::MappingStart(anchor, _) => (anchor, self.nested(span, Self::mapping)?),
            other => return Err(self.error(span, format!("a value was expected, not {other:?}"))),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Diagnostic> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(self.error(span, "an alias of an anchor that is not complete here"));
        };
        let (value, size) = (node.value.clone(), *size);
        self.count(size, span)?;
        Ok(Node { value, span })
    }

    fn nested(
        &mut self,
        start: Span,
        read: impl FnOnce(&mut Self) -> Result<(Value, Position), Diagnostic>,
    ) -> Result<Node, Diagnostic> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(start, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let (value, end) = read(self)?;
        self.depth -= 1;
        Ok(Node { value, span: Span::new(start.start, end) })
    }

    fn sequence(&mut self) -> Result<(Value, Position), Diagnostic> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => return Ok((Value::Sequence(items), span.end)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<(Value, Position), Diagnostic> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, Position> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, span) => return Ok((Value::Mapping(entries), span.end)),
                (Event::Scalar(text, ..), span) => Key { text: text.into_owned(), span },
                (_, span) => return Err(self.error(span, "a key must be plain text")),
            };
            if let Some(first) = seen.insert(key.text.clone(), key.span.start) {
                return Err(self
                    .error(key.span, format!("the key `{}` stands twice in one mapping", key.text))
                    .label(format!("first on line {}", first.line)));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            entries.push((key, value));
        }
    }

    fn scalar(&self, scalar: Scalar<'_>, text: &str, span: Span) -> Result<Value, Diagnostic> {
        Ok(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::Bool(value),
            Scalar::Integer(value) => Value::Integer(value),
            Scalar::FloatingPoint(value) => {
                let digits_only = text.trim_start_matches(['+', '-']).chars().all(|c| c.is_ascii_digit());
                if !value.is_finite() || digits_only {
                    return Err(self
                        .error(span, format!("the number `{text}` is out of range"))
                        .hint("put it in quotes if it is text"));
                }
                Value::Float(value.into_inner())
            }
            Scalar::String(text) => Value::String(text.into_owned()),
        })
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Diagnostic> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(self.error(span, format!("more than {NODES_MAX} values, aliases expanded")));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let span = Span::new(self.position(&span.start), self.position(&span.end));
                Ok((event, span))
            }
            Some(Err(error)) => {
                let at = self.position(error.marker());
                Err(self.error(Span::new(at, at), format!("not valid YAML: {}", error.info())))
            }
            None => {
                let at = Position::new(1 + self.lines_before, 1);
                Ok((Event::StreamEnd, Span::new(at, at)))
            }
        }
    }

    /// The parser counts lines from 1 and columns from 0.
    fn position(&self, marker: &Marker) -> Position {
        Position::new(marker.line() + self.lines_before, marker.col() + 1)
    }

    fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error("yaml", self.file, message).at(span)
    }
}
