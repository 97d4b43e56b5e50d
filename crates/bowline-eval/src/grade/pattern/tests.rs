use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::compile(pattern).unwrap().is_match(text).unwrap()
}

/// Verdicts are held against Node.js in the tests of the module above; here is why a pattern is refused.
#[test]
fn refusals_say_what_is_wrong() {
    let check = |pattern: &str, expected: &str| {
        let found = Pattern::compile(pattern).unwrap_err();
        assert!(found.contains(expected), "{pattern}: {found}");
    };
    check("*a", "nothing to repeat before `*`");
    check("a|+", "nothing to repeat before `+`");
    check("^{2}", "nothing to repeat before `{2}`");
    check("a{3,2}", "out of order");
    check("[b-a]", "the range `b-a`");
    check("[a", "a class has no end");
    check("a\\", "at the end of the pattern");
    check("(?i)a", "no inline flags");
    check("(?<1a>x)\\k<b>", "there is no group `b`");
    check("(?<a>x)\\k", "followed by no name");
    check("(?<>x)", "name of a group");
    check("\\ud83d", "half of a character");
    check(&"a".repeat(PATTERN_BYTES_MAX + 1), "longer than");
    check(&"(".repeat(2_000), "invalid");
}

#[test]
fn any_case_matches_any_case() {
    let pattern = Pattern::compile_any_case("^select::null::[a-c]+$").unwrap();
    assert!(pattern.is_match("SELECT::null::aBc").unwrap() && !pattern.is_match("select::null::d").unwrap());
}

proptest! {
    /// No pattern makes the translation fail in any other way than by a message.
    #[test]
    fn any_pattern_is_compiled_or_refused(pattern in r"(\PC|[\\\[\](){}*+?|^$.,:=!<>0-9a-z-]){0,40}", text in "\\PC{0,20}") {
        if let Ok(compiled) = Pattern::compile(&pattern) {
            let _matched = compiled.is_match(&text);
        }
    }

    /// Outside and inside of classes, an escaped text matches itself and, as a whole, nothing else.
    #[test]
    fn literal_texts_match_themselves(text in "\\PC{1,20}", other in "\\PC{1,20}") {
        let escaped: String = text
            .chars()
            .map(|character| if character.is_ascii_punctuation() { format!("\\{character}") } else { character.to_string() })
            .collect();
        let (whole, class, inside) = (format!("^{escaped}$"), format!("^[{escaped}]+$"), format!("[{escaped}]"));
        prop_assert!(matches(&whole, &text));
        prop_assert_eq!(matches(&whole, &other), text == other);
        prop_assert!(matches(&class, &text));
        let foreign = other.chars().find(|character| !text.contains(*character));
        if let Some(foreign) = foreign {
            prop_assert!(!matches(&inside, &foreign.to_string()));
        }
    }
}
