//! What Nunjucks writes otherwise than MiniJinja.

use std::borrow::Cow;

/// Returns `template` in the words of MiniJinja: `===` and `!==`, `elseif`, and `for key, value in object`.
///
/// Only what stands inside tags is touched; text, comments and `raw` blocks stay.
pub(super) fn rewrite(template: &str) -> Cow<'_, str> {
    if is_partial(template) {
        return Cow::Owned(format!("{{% raw %}}{template}{{% endraw %}}"));
    }
    let needed = ["===", "!==", "elseif", "for "].iter().any(|word| template.contains(word));
    if !needed {
        return Cow::Borrowed(template);
    }
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((start, close)) = next_tag(rest) {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let Some(end) = tag_end(tag, close) else { break };
        let (tag, after) = tag.split_at(end);
        rest = after;
        if close == "#}" {
            out.push_str(tag);
            continue;
        }
        if is_raw(tag)
            && let Some(end) = raw_end(rest)
        {
            let (raw, after) = rest.split_at(end);
            out.push_str(tag);
            out.push_str(raw);
            rest = after;
            continue;
        }
        out.push_str(&rewrite_tag(tag));
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Returns whether a line opens a tag that nothing closes: promptfoo takes such a text as it stands.
fn is_partial(template: &str) -> bool {
    let open = |line: &str, opening: &str, closing: char| {
        line.rfind(opening).is_some_and(|at| line.get(at + opening.len()..).is_some_and(|rest| !rest.contains(closing)))
    };
    // promptfoo's `$` stands for the end of any line, and its classes run over line ends: what counts is the rest of the text.
    let partial = open(template, "{{", '}') || open(template, "{%", '%') || open(template, "{#", '#');
    partial && !(template.contains("raw") && template.contains("endraw"))
}

fn next_tag(text: &str) -> Option<(usize, &'static str)> {
    [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
        .into_iter()
        .filter_map(|(open, close)| text.find(open).map(|at| (at, close)))
        .min_by_key(|(at, _)| *at)
}

/// Returns where the tag that `text` begins with ends, quotes kept in mind.
fn tag_end(text: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if close != "#}" && matches!(c, '"' | '\'') => quote = Some(c),
            None if text.get(at..).is_some_and(|rest| rest.starts_with(close)) => return Some(at + close.len()),
            None => {}
        }
    }
    None
}

fn is_raw(tag: &str) -> bool {
    tag.starts_with("{%") && word_of(tag) == "raw"
}

fn raw_end(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find("{%").map(|at| from + at) {
        if word_of(text.get(at..)?) == "endraw" {
            return Some(at);
        }
        from = at + 2;
    }
    None
}

/// Returns the first word of the tag that `text` begins with.
fn word_of(text: &str) -> &str {
    let inside = text.get(2..).unwrap_or_default().trim_start_matches('-').trim_start();
    inside.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

fn rewrite_tag(tag: &str) -> String {
    let mut out = String::with_capacity(tag.len());
    let mut quote = None;
    let mut rest = tag.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        match quote {
            Some(_) if c == '\\' => out.extend(rest.next()),
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            // The third `=` of `===` and `!==` goes.
            None if c == '=' && (out.ends_with("==") || out.ends_with("!=")) => {
                rest.next_if_eq(&'=');
            }
            None => {}
        }
    }
    if !tag.starts_with("{%") {
        return out;
    }
    match word_of(&out) {
        "elseif" => out.replacen("elseif", "elif", 1),
        "for" => rewrite_for(&out).unwrap_or(out),
        _ => out,
    }
}

/// `for key, value in x` goes over the entries of an object.
fn rewrite_for(tag: &str) -> Option<String> {
    let (targets, _) = tag.split_once(" in ")?;
    if !targets.contains(',') {
        return None;
    }
    let body = tag.strip_suffix("%}")?;
    let (body, close) = body.strip_suffix('-').map_or((body, "%}"), |body| (body, "-%}"));
    let (head, expression) = body.split_once(" in ")?;
    Some(format!("{head} in ({})|pairs {close}", expression.trim()))
}
