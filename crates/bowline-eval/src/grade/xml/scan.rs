//! Elements in the middle of text, by their tags alone.

/// What paths see of an element.
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<String>,
    /// Whether text that is not blank stands directly inside.
    pub(super) text: bool,
    pub(super) children: Vec<Self>,
}

/// The deepest nesting of elements, and the most elements, of one answer.
const DEPTH_MAX: usize = 512;
const ELEMENTS_MAX: usize = 100_000;

/// Returns the outermost elements of a text whose tags match, those together that stand beside each other. A tag that is never
/// closed is text, and so is everything that is open where a closing tag fits nothing.
///
/// # Errors
/// Says that there are more or deeper elements than are looked at.
pub(super) fn elements(text: &str) -> Result<Vec<Vec<Element>>, String> {
    let (mut roots, mut open, mut groups) = (Vec::new(), Vec::<Element>::new(), Vec::new());
    let (mut count, mut at) = (0, 0);
    while let Some(start) = text.get(at..).and_then(|rest| rest.find('<')).map(|offset| at + offset) {
        note_text(&mut open, text.get(at..start).unwrap_or(""));
        let rest = text.get(start + 1..).unwrap_or("");
        let Some((tag, length)) = Tag::read(rest) else {
            at = start + 1;
            continue;
        };
        at = start + 1 + length;
        match tag {
            Tag::Other(content) => note_text(&mut open, content),
            Tag::Open(element) => open.push(element),
            Tag::Empty(element) => close(element, &mut open, &mut roots),
            Tag::Close(name) if open.last().is_some_and(|element| element.name == name) => {
                if let Some(element) = open.pop() {
                    close(element, &mut open, &mut roots);
                }
            }
            Tag::Close(_) => groups.extend(open.drain(..).map(|element| element.children)),
        }
        count += 1;
        if count > ELEMENTS_MAX || open.len() > DEPTH_MAX {
            return Err(format!(
                "the answer has more than {ELEMENTS_MAX} tags, or elements nested more than {DEPTH_MAX} deep"
            ));
        }
    }
    groups.extend(open.into_iter().map(|element| element.children));
    groups.push(roots);
    groups.retain(|group| !group.is_empty());
    Ok(groups)
}

fn note_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text |= !text.trim().is_empty();
    }
}

fn close(element: Element, open: &mut [Element], roots: &mut Vec<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => roots.push(element),
    }
}

enum Tag<'a> {
    Open(Element),
    Empty(Element),
    Close(&'a str),
    /// A comment, an instruction, a declaration, or a section of text, with its text.
    Other(&'a str),
}

// === impl Tag ===

impl<'a> Tag<'a> {
    /// Reads a tag after its `<`, and returns it and its length with the `>`.
    fn read(text: &'a str) -> Option<(Self, usize)> {
        let until = |opening: &str, end: &str, content: bool| {
            let inside = text.strip_prefix(opening)?;
            let length = inside.find(end).unwrap_or(inside.len());
            let whole = text.len().min(opening.len() + length + end.len());
            Some((Self::Other(if content { inside.get(..length)? } else { "" }), whole))
        };
        let other = until("!--", "-->", false)
            .or_else(|| until("![CDATA[", "]]>", true))
            .or_else(|| until("?", "?>", false))
            .or_else(|| until("!", ">", false));
        if other.is_some() {
            return other;
        }
        let end = tag_end(text)?;
        let inside = text.get(..end)?;
        if let Some(name) = inside.strip_prefix('/') {
            let name = name_of(name)?;
            return Some((Self::Close(name), end + 1));
        }
        let name = name_of(inside)?;
        let rest = inside.get(name.len()..)?;
        let (rest, empty) = rest.trim_end().strip_suffix('/').map_or((rest, false), |rest| (rest, true));
        let element =
            Element { name: name.to_owned(), attributes: attributes(rest), text: false, children: Vec::new() };
        Some((if empty { Self::Empty(element) } else { Self::Open(element) }, end + 1))
    }
}

/// Returns where a tag ends, outside of quotes; none where another one begins first.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '<') => return None,
            (None, '>') => return Some(at),
            _ => {}
        }
    }
    None
}

/// Returns the name that a text begins with.
fn name_of(text: &str) -> Option<&str> {
    let is_start = |character: char| character.is_alphabetic() || matches!(character, ':' | '_');
    let is_inside =
        |character: char| is_start(character) || character.is_numeric() || matches!(character, '-' | '.' | '\u{b7}');
    let end = text.find(|character| !is_inside(character)).unwrap_or(text.len());
    text.get(..end).filter(|name| name.starts_with(is_start))
}

/// Returns the names of attributes, with and without values.
fn attributes(text: &str) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let end = rest.find(|character: char| character == '=' || character.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        names.push(name.to_owned());
        rest = after.trim_start();
        if let Some(value) = rest.strip_prefix('=') {
            let value = value.trim_start();
            let quote = value.chars().next().filter(|character| matches!(character, '"' | '\''));
            let length = match quote {
                Some(quote) => value.get(1..).and_then(|inside| inside.find(quote)).map_or(value.len(), |at| at + 2),
                None => value.find(char::is_whitespace).unwrap_or(value.len()),
            };
            rest = value.get(length..).unwrap_or("").trim_start();
        }
    }
    names
}
