//! Refusals by their first words.
//!
//! A model that declines nearly always says so at once: an apology perhaps, then that it cannot help. Only those openings count,
//! and only where they speak of helping or complying as such: "I can't find your order" is an answer, "I can't help with that" is
//! none. Signals: the beginning of the text, in eight languages. Known misses: refusals in other words or languages, or late in
//! the text. Where this matters, use a provider that reports refusals, or a judge.

/// How many characters of the text are looked at.
const OPENING_CHARS: usize = 240;

/// How many openers are skipped, as in "I'm sorry, but unfortunately …".
const OPENERS_MAX: usize = 4;

/// What may stand before a refusal, and says nothing by itself.
const OPENERS: &[&str] = &[
    // English
    "i'm really sorry",
    "i'm very sorry",
    "i'm so sorry",
    "i'm sorry",
    "i am sorry",
    "sorry",
    "i apologize",
    "i apologise",
    "my apologies",
    "apologies",
    "unfortunately",
    "i'm afraid",
    "i am afraid",
    "as an ai language model",
    "as an ai assistant",
    "as an ai",
    "but",
    "that",
    // German
    "es tut mir leid",
    "tut mir leid",
    "entschuldigung",
    "leider",
    "aber",
    "dass",
    // French
    "je suis vraiment désolé",
    "je suis désolée",
    "je suis désolé",
    "désolée",
    "désolé",
    "malheureusement",
    "mais",
    // Spanish
    "lo siento mucho",
    "lo siento",
    "lamentablemente",
    "desafortunadamente",
    "pero",
    // Italian
    "mi dispiace",
    "purtroppo",
    "ma",
    // Portuguese
    "sinto muito",
    "desculpe",
    "lamento",
    "infelizmente",
    "mas",
    // Chinese
    "很抱歉",
    "非常抱歉",
    "抱歉",
    "对不起",
    "但是",
    "但",
    // Japanese
    "申し訳ありませんが",
    "申し訳ございませんが",
    "申し訳ありません",
    "すみませんが",
];

/// The words that refuse.
const REFUSALS: &[&str] = &[
    // English
    "i can't help",
    "i cannot help",
    "i can not help",
    "i can't assist",
    "i cannot assist",
    "i can not assist",
    "i can't comply",
    "i cannot comply",
    "i can't fulfill",
    "i cannot fulfill",
    "i can't fulfil",
    "i cannot fulfil",
    "i can't engage",
    "i cannot engage",
    "i can't support that",
    "i can't do that",
    "i cannot do that",
    "i can't provide that",
    "i cannot provide that",
    "i can't provide assistance",
    "i cannot provide assistance",
    "i'm unable to help",
    "i am unable to help",
    "i'm unable to assist",
    "i am unable to assist",
    "i'm unable to comply",
    "i am unable to comply",
    "i'm unable to fulfill",
    "i am unable to fulfill",
    "i'm not able to help",
    "i am not able to help",
    "i'm not able to assist",
    "i am not able to assist",
    "i won't be able to help",
    "i won't be able to assist",
    "i won't help",
    "i will not help",
    "i won't assist",
    "i must decline",
    "i must refuse",
    // German
    "ich kann dir dabei nicht helfen",
    "ich kann ihnen dabei nicht helfen",
    "ich kann dabei nicht helfen",
    "dabei kann ich dir nicht helfen",
    "dabei kann ich ihnen nicht helfen",
    "dabei kann ich nicht helfen",
    "ich kann dir nicht helfen",
    "ich kann ihnen nicht helfen",
    "ich kann ihnen damit nicht helfen",
    "kann ich dir nicht helfen",
    "kann ich ihnen nicht helfen",
    "kann ich dabei nicht helfen",
    "ich kann diese anfrage nicht",
    "ich kann dieser bitte nicht",
    "diese anfrage kann ich nicht",
    // French
    "je ne peux pas vous aider",
    "je ne peux pas t'aider",
    "je ne peux pas aider",
    "je ne peux pas répondre à cette demande",
    "je ne suis pas en mesure de vous aider",
    "je ne suis pas en mesure de répondre à cette demande",
    // Spanish
    "no puedo ayudar",
    "no puedo asistir",
    "no puedo cumplir con",
    "no puedo proporcionar esa",
    "no me es posible ayudar",
    // Italian
    "non posso aiutar",
    "non posso assister",
    "non posso soddisfare questa richiesta",
    "non sono in grado di aiutar",
    // Portuguese
    "não posso ajudar",
    "não posso te ajudar",
    "não posso ajudá",
    "não consigo ajudar",
    "não posso atender a ess",
    // Chinese
    "我无法帮助",
    "我不能帮助",
    "我无法协助",
    "我不能协助",
    "我无法满足",
    "我无法提供帮助",
    "我不能提供帮助",
    "我无法提供相关帮助",
    "我无法回答这个问题",
    "我无法满足您的请求",
    // Japanese
    "お手伝いできません",
    "お手伝いすることはできません",
    "そのご要望にはお応えできません",
    "そのリクエストにはお応えできません",
    "ご要望にはお応えできません",
    "その質問にはお答えできません",
    "お答えできません",
];

/// Returns whether a text begins by refusing.
pub(super) fn is_refusal(text: &str) -> bool {
    let opening = normalise(text);
    let mut rest = trim(&opening);
    for _ in 0..=OPENERS_MAX {
        if REFUSALS.iter().any(|refusal| rest.starts_with(refusal)) {
            return true;
        }
        let Some(after) = OPENERS.iter().filter_map(|opener| after_words(rest, opener)).min_by_key(|rest| rest.len())
        else {
            return false;
        };
        rest = trim(after);
    }
    false
}

/// Returns what follows an opener, where its last word ends there: "but" does not open "butter". Chinese and Japanese, whose words
/// are not set apart, need no such end.
fn after_words<'a>(text: &'a str, opener: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(opener)?;
    let spaced = opener.starts_with(|first: char| first.is_ascii_alphabetic());
    let goes_on = spaced && rest.starts_with(char::is_alphanumeric);
    (!goes_on).then_some(rest)
}

/// Lower-cases the beginning, makes quotes straight and white space single.
fn normalise(text: &str) -> String {
    let mut opening = String::new();
    for character in text.trim_start().chars().take(OPENING_CHARS) {
        match character {
            '’' | '‘' | '`' => opening.push('\''),
            space if space.is_whitespace() => {
                if !opening.ends_with(' ') {
                    opening.push(' ');
                }
            }
            other => opening.extend(other.to_lowercase()),
        }
    }
    opening
}

/// Drops punctuation and Markdown before the next word.
fn trim(text: &str) -> &str {
    text.trim_start_matches(|character: char| !character.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: bool) {
        assert_eq!(is_refusal(text), expected, "{text}");
    }

    #[test]
    fn refusals_are_found() {
        for text in [
            "I'm sorry, but I can't help with that.",
            "I’m sorry, but I can’t assist with that request.",
            "Sorry, I cannot help with this.",
            "  **I cannot fulfill** that request, as it would be harmful.",
            "Unfortunately, I am unable to assist with creating malware.",
            "As an AI language model, I cannot comply.",
            "I must decline to answer.",
            "I apologize, but I'm not able to help with that.",
            "Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.",
            "Leider kann ich dir nicht helfen.",
            "Je suis désolé, mais je ne peux pas vous aider avec cette demande.",
            "Lo siento, pero no puedo ayudarte con eso.",
            "Mi dispiace, ma non posso aiutarti con questa richiesta.",
            "Desculpe, mas não posso ajudar com isso.",
            "很抱歉，我无法协助您完成这个请求。",
            "对不起，我不能帮助你。",
            "申し訳ありませんが、そのリクエストにはお応えできません。",
            "申し訳ありませんが、お手伝いできません。",
        ] {
            check(text, true);
        }
    }

    #[test]
    fn answers_are_not_refusals() {
        for text in [
            "",
            "billing",
            "{\"category\": \"refusal\", \"reason\": \"I can't help with that\"}",
            "I'm sorry to hear that your parcel is late. It left the depot today.",
            "Sorry for the trouble! Please restart the router.",
            "I can't find an order with that number. Could you check it?",
            "I cannot provide an exact date, but deliveries usually take three days.",
            "Unfortunately, the item is out of stock.",
            "I'm afraid the train was cancelled.",
            "The customer wrote: I can't help with that.",
            "You can't help but smile.",
            "Butter, flour and sugar.",
            "But of course!",
            "I have to decline the refund, as the return window is over.",
            "I can help with that.",
            "Leider ist der Artikel ausverkauft.",
            "Lo siento por la espera. Su pedido salió hoy.",
            "Mamma mia, che bella domanda!",
            "申し訳ありませんが、在庫がございません。",
            "抱歉让您久等了，您的订单已发货。",
        ] {
            check(text, false);
        }
    }
}
