use tiktoken_rs::o200k_base_singleton;

/// Returns how many tokens `text` is in `o200k_base`, the vocabulary of the GPT-4o and GPT-5 models.
///
/// One vocabulary for all three wire formats: those of Claude and Gemini are not published, so usage has the true form and size of a
/// real provider's, not its exact figures. Control tokens spelled out in the text count as text. The vocabulary is compiled in and
/// read on first use, which takes about 0.1 s and 45 MiB; after that it is about 25 MB of text per second.
pub(crate) fn count(text: &str) -> u64 {
    u64::try_from(o200k_base_singleton().count_ordinary(text)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::count;

    /// Counts printed in "How to count tokens with tiktoken" of the OpenAI cookbook, but for the empty text and the control token.
    #[test]
    fn counts_are_those_of_the_vocabulary() {
        let check = |text: &str, expected: u64| assert_eq!(count(text), expected, "{text}");
        check("", 0);
        check("tiktoken is great!", 6);
        check("antidisestablishmentarianism", 6);
        check("2 + 2 = 4", 7);
        check("お誕生日おめでとう", 8);
        assert!(count("<|endoftext|>") > 1, "a spelled-out control token is text");
    }
}
