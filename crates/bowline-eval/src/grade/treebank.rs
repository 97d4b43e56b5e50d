//! Tokens of the Penn Treebank: punctuation and clitics stand by themselves ("it", "'s"; "do", "n't").
//!
//! Source: the rules of the Treebank's `tokenizer.sed`
//! (<https://www.nltk.org/_modules/nltk/tokenize/treebank.html>, read 2026-11-25), with the choices that promptfoo's library makes where
//! they leave one: quotes by their surroundings, separators within numbers and points within abbreviations kept.

use std::sync::LazyLock;

use fancy_regex::Regex;

/// A rule, which replaces what it matches.
type Rule = (&'static str, &'static str);

/// Punctuation. `$0` is what was matched.
const PUNCTUATION: &[Rule] = &[
    (r"\.{3}", " ... "),
    (r"[:,](?!\p{Nd})", " $0 "),
    (r"[;@#$%&]", " $0 "),
    (r"([^.])(?<!(?:\A|[^0-9A-Za-z_])[A-Za-z]\.[A-Za-z])(\.)([\])}>'\s]*)\z", "$1 $2$3 "),
    (r"[?!]", " $0 "),
    (r"[\]\[(){}<>]", " $0 "),
    ("--", " -- "),
];

/// Apostrophes and words run together, over a text with a space at both ends.
const CLITICS: &[Rule] = &[
    ("([^'])' ", "$1 ' "),
    ("'([sSmMdD]) ", " '$1 "),
    ("('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", " $1 "),
    (r"(?i)(?<!\w)(can)(not)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)(d)('ye)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)(gim)(me)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)(gon)(na)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)(got)(ta)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)(lem)(me)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)(more)('n)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)(wan)(na)(?= )(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)('t)(is)(?!\w)", " $1 $2 "),
    (r"(?i)(?<!\w)('t)(was)(?!\w)", " $1 $2 "),
];

type Compiled = Vec<(Regex, &'static str)>;

static PUNCTUATION_RULES: LazyLock<Compiled> = LazyLock::new(|| compile(PUNCTUATION));
static CLITIC_RULES: LazyLock<Compiled> = LazyLock::new(|| compile(CLITICS));

/// A rule that does not compile is left out; a test counts them.
fn compile(rules: &[Rule]) -> Compiled {
    rules.iter().filter_map(|(pattern, with)| Some((Regex::new(pattern).ok()?, *with))).collect()
}

/// Returns the tokens of a text.
///
/// # Errors
/// Says that a rule gave up on this text.
pub(super) fn tokens(text: &str) -> Result<Vec<String>, String> {
    let text = quotes(
        &text
            .split(|c: char| super::javascript::is_space(c) || c == '\u{85}')
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
    );
    let text = apply(&PUNCTUATION_RULES, text)?;
    let text = apply(&CLITIC_RULES, format!(" {text} "))?;
    Ok(text.split(' ').filter(|token| !token.is_empty()).map(str::to_owned).collect())
}

fn apply(rules: &Compiled, text: String) -> Result<String, String> {
    rules.iter().try_fold(text, |text, (rule, with)| {
        let replaced = rule.try_replacen(&text, 0, *with);
        replaced.map(std::borrow::Cow::into_owned).map_err(|_| "the text could not be split into tokens".to_owned())
    })
}

/// Makes double quotes into opening and closing ones, each a token.
fn quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut inside, mut before) = (text, false, None);
    while let Some(character) = rest.chars().next() {
        let pair = rest.starts_with("``") || rest.starts_with("''");
        if character != '"' && !pair {
            out.push(character);
            before = Some(character);
            rest = rest.get(character.len_utf8()..).unwrap_or("");
            continue;
        }
        let quote = if pair { 2 } else { 1 };
        let (this, after) = rest.split_at(quote);
        inside = this == "``" || opens(this, before, after, inside);
        out.push_str(if inside { " `` " } else { " '' " });
        before = this.chars().next_back();
        rest = after;
    }
    out
}

/// Returns whether a quote opens, by what stands around it.
fn opens(quote: &str, before: Option<char>, after: &str, inside: bool) -> bool {
    let is_bracket = |character: char| matches!(character, '(' | '[' | '{' | '<');
    let space_before = before.is_none_or(|before| before.is_whitespace() || is_bracket(before));
    let is_last = after.is_empty();
    let context = before.is_none_or(|before| before.is_whitespace() || is_punctuation(before));
    let ends_sentence = matches!(before, Some('.' | '!' | '?'));
    let starts_word = after
        .chars()
        .next()
        .is_some_and(|next| next.is_alphanumeric() || is_bracket(next) || matches!(next, '$' | '€' | '£' | '¥'));
    let next_quote = || {
        let at = ["``", "''", "\""].iter().filter_map(|quote| after.find(quote).map(|at| (at, *quote))).min();
        at.is_some_and(|(_, quote)| quote == "''")
    };
    let opening = quote == "\"" || before.is_some() && starts_word && next_quote();
    (!is_last || space_before) && context && !inside && !ends_sentence && opening
}

/// Returns whether a character is punctuation: of ASCII what is no symbol, beyond that the marks that texts use.
const fn is_punctuation(character: char) -> bool {
    match character {
        '$' | '+' | '=' | '^' | '`' | '|' | '~' | '>' => false,
        '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' => true,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{203e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' => true,
        other => other.is_ascii_punctuation(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_compiles() {
        assert_eq!(PUNCTUATION_RULES.len(), PUNCTUATION.len());
        assert_eq!(CLITIC_RULES.len(), CLITICS.len());
    }

    /// Golden: what js-rouge 3.2, promptfoo's library, prints.
    #[test]
    fn texts_split_as_in_the_treebank() {
        let check = |text: &str, expected: &str| assert_eq!(tokens(text).unwrap().join("|"), expected, "{text:?}");
        check("", "");
        check("the cat sat on the mat.", "the|cat|sat|on|the|mat|.");
        check("I can't do that, it's John's.", "I|ca|n't|do|that|,|it|'s|John|'s|.");
        check("He said \"no\" (twice)... $5,000 at 10:30!", "He|said|``|no|''|(|twice|)|...|$|5,000|at|10:30|!");
        check("gimme gonna wanna go, 'tis fine", "gim|me|gon|na|wan|na|go|,|'t|is|fine");
        check("the U.S. left. Dr. Smith", "the|U.S.|left.|Dr.|Smith");
        check("a--b 50% x@y.z #tag A&B", "a|--|b|50|%|x|@|y.z|#|tag|A|&|B");
        check("``opened'' and \"closed\"", "``|opened|''|and|``|closed|''");
        check("dogs' bowls", "dogs|'|bowls");
        check("\"both\" \"quoted\"", "``|both|''|``|quoted|''");
        check("end.)", "end|.|)");
        check("naïve — “q”", "naïve|—|“q”");
    }
}
