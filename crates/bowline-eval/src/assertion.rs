mod expected;
mod known;
mod packed;
mod read;

use std::sync::Arc;

use bowline_prompt::Span;
use serde_json::{Map, Value};

pub(crate) use expected::{CellError, read_expected};
pub(crate) use packed::{pack, unpack};
pub(crate) use read::{read_assertions, read_file_value, read_text_or_file};

/// An entry of `assert`: one assertion, or a set of them; cases share those that are equal.
#[derive(Clone, Debug, PartialEq)]
pub enum AssertionNode {
    /// One assertion.
    One(Arc<Assertion>),
    /// `assert-set`.
    Set(Arc<AssertionSet>),
}

/// An `assert-set`: passes where the weighted mean of its members reaches the threshold, or all pass where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct AssertionSet {
    /// The members.
    pub members: Vec<Arc<Assertion>>,
    /// The least weighted mean, 0 to 1.
    pub threshold: Option<f64>,
    /// Its weight among the assertions of the case.
    pub weight: f64,
    /// The metric that its score counts for.
    pub metric: Option<Arc<str>>,
}

/// One assertion as the file has it; texts in `value` are templates over the variables of the case.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    /// What is asserted.
    pub kind: Kind,
    /// Whether it stands as `not-KIND`.
    pub negated: bool,
    /// The expected value; null where there is none.
    pub value: Value,
    /// What the score is held against; its meaning depends on the kind.
    pub threshold: Option<f64>,
    /// Its weight in the score of the case. 0 takes it out of score and verdict. Default: 1.
    pub weight: f64,
    /// The metric that its score counts for.
    pub metric: Option<Arc<str>>,
    /// The judge: an alias of the project or an id in promptfoo's words. Default: that of the suite.
    pub provider: Option<Arc<str>>,
    /// A prompt of the judge, in place of the default.
    pub rubric_prompt: Option<Arc<Value>>,
    /// Other options of this kind of assertion.
    pub config: Arc<Map<String, Value>>,
    /// The file that it stands in.
    pub file: Arc<str>,
    /// Where in that file; `None` in a dataset, whose rows share equal assertions.
    pub span: Option<Span>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What an assertion asserts, in promptfoo's words.
        ///
        /// Source: <https://www.promptfoo.dev/docs/configuration/expected-outputs>.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the word used in files.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// The output is this text, or this JSON value.
    Equals = "equals",
    /// The output contains the text.
    Contains = "contains",
    /// As `contains`, whatever the case of letters.
    IContains = "icontains",
    /// The output contains every text of a list.
    ContainsAll = "contains-all",
    /// The output contains one text of a list.
    ContainsAny = "contains-any",
    /// As `contains-all`, whatever the case of letters.
    IContainsAll = "icontains-all",
    /// As `contains-any`, whatever the case of letters.
    IContainsAny = "icontains-any",
    /// The output starts with the text.
    StartsWith = "starts-with",
    /// The output matches the regular expression.
    Regex = "regex",
    /// The output is JSON, and fits the schema where there is one.
    IsJson = "is-json",
    /// The output contains JSON that fits the schema where there is one.
    ContainsJson = "contains-json",
    /// The output is XML, with the elements asked for.
    IsXml = "is-xml",
    /// The output contains XML, with the elements asked for.
    ContainsXml = "contains-xml",
    /// The output is SQL, of the dialect and with the tables and columns allowed.
    IsSql = "is-sql",
    /// The output contains SQL.
    ContainsSql = "contains-sql",
    /// The edit distance to the text is at most the threshold (default 5).
    Levenshtein = "levenshtein",
    /// ROUGE-1 against the text is at least the threshold (default 0.75).
    RougeN = "rouge-n",
    /// BLEU against the texts is at least the threshold (default 0.5).
    Bleu = "bleu",
    /// The call cost at most the threshold, in USD.
    Cost = "cost",
    /// The call took at most the threshold, in milliseconds.
    Latency = "latency",
    /// The output is a refusal.
    IsRefusal = "is-refusal",
    /// The answer calls tools that were offered, with arguments that fit.
    IsValidOpenAiToolsCall = "is-valid-openai-tools-call",
    /// The model stopped for this reason.
    FinishReason = "finish-reason",
    /// The number of words is this, or within `min` and `max`.
    WordCount = "word-count",
    /// The perplexity of the answer is at most the threshold.
    Perplexity = "perplexity",
    /// 1 / (1 + perplexity) is at least the threshold.
    PerplexityScore = "perplexity-score",
    /// A CEL expression holds.
    Cel = "cel",
    /// A judge finds that the output satisfies the rubric.
    LlmRubric = "llm-rubric",
    /// A judge finds that the output agrees with the facts.
    Factuality = "factuality",
    /// The embeddings of output and text are at least this similar (cosine, default 0.75).
    Similar = "similar",
}
