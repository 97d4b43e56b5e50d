//! How JavaScript sees values and texts, where a verdict depends on it.

use bowline_prompt::canonical_json;
use serde_json::Value;

/// Returns whether JavaScript counts a character as white space (`\s`, `trim`).
///
/// Source: ECMA-262, productions WhiteSpace and LineTerminator.
pub(super) const fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{feff}'
    )
}

/// Returns the text without white space around it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Returns the words between white space.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Returns whether a character is of `[A-Za-z0-9_]`.
pub(super) const fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Returns `String(value)`.
pub(super) fn string(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) => canonical_json(value),
        Value::Array(items) => {
            let items = items.iter().map(|item| if item.is_null() { String::new() } else { string(item) });
            items.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// Returns whether two values are the same JSON: numbers by their value, objects in any order.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    canonical_json(left) == canonical_json(right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Golden: printed by Node.js 20.
    #[test]
    fn values_become_text_as_in_javascript() {
        let check = |value: Value, expected: &str| assert_eq!(string(&value), expected, "{value}");
        check(json!(5), "5");
        check(json!(5.0), "5");
        check(json!(0.1), "0.1");
        check(json!(1e21), "1e+21");
        check(json!(1e-7), "1e-7");
        check(json!(true), "true");
        check(json!(null), "null");
        check(json!([1, null, "a", [2, 3]]), "1,,a,2,3");
        check(json!({"a": 1}), "[object Object]");
    }

    #[test]
    fn json_is_equal_by_value() {
        let check = |left: Value, right: Value, expected| assert_eq!(equal(&left, &right), expected, "{left} {right}");
        check(json!({"a": 1, "b": [2.0]}), json!({"b": [2], "a": 1.0}), true);
        check(json!([1, 2]), json!([2, 1]), false);
        check(json!("1"), json!(1), false);
        check(json!(null), json!({}), false);
    }

    #[test]
    fn words_are_set_apart_by_white_space_of_javascript() {
        let check = |text: &str, expected: usize| assert_eq!(words(text).count(), expected, "{text:?}");
        check("", 0);
        check("  one\ttwo\n three\u{a0}four\u{feff}five ", 5);
        // A next-line character is no white space to JavaScript.
        check("one\u{85}two", 1);
        assert_eq!(trim("\u{feff} a b \n"), "a b");
    }
}
