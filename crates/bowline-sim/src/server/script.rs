use bowline_chat::{Dialect, Finish, StreamEvent, UpstreamError};
use bowline_types::{ErrorKind, TokenUsage};

use super::body::Step;
use crate::model::{self, Answer};
use crate::scenario::{Course, FaultKind};

/// Returns the steps of a streamed answer, with the fault that the call meets in it.
pub(super) fn steps(dialect: Dialect, answers: &[Answer], usage: TokenUsage, course: &Course) -> Vec<Step> {
    let mut steps = opening(dialect, usage);
    let opened = steps.len();
    for (choice, answer) in (0..).zip(answers) {
        let deltas = model::pieces(&answer.text).into_iter();
        steps.extend(deltas.map(|text| Step::Event(StreamEvent::TextDelta { choice, text: text.to_owned() })));
    }
    let place = place(opened, steps.len(), course.at);
    let finishes = (0..).zip(answers).map(|(choice, answer)| finish(choice, answer.finish.clone()));
    steps.extend(finishes);
    steps.push(Step::Event(StreamEvent::Usage(usage)));
    steps.push(Step::Event(StreamEvent::End));
    if course.meets(FaultKind::StreamCut) {
        steps.truncate(place);
        steps.push(Step::Cut);
    } else if course.meets(FaultKind::StreamError) {
        steps.truncate(place);
        steps.push(Step::Event(StreamEvent::Error(error(dialect))));
    } else if course.meets(FaultKind::MalformedJson)
        && let Some(step) = steps.get_mut(place)
        && let Step::Event(event) = step
    {
        *step = Step::Garbled(event.clone());
    }
    steps
}

/// Anthropic and Gemini say at once how long the prompt is.
fn opening(dialect: Dialect, usage: TokenUsage) -> Vec<Step> {
    let start = Step::Event(StreamEvent::Start { id: String::new(), model: String::new() });
    match dialect {
        Dialect::AnthropicMessages | Dialect::Gemini => {
            let prompt = TokenUsage { input: usage.input, ..TokenUsage::default() };
            vec![Step::Event(StreamEvent::Usage(prompt)), start]
        }
        Dialect::OpenAiChat => vec![start],
    }
}

fn finish(choice: u32, finish: Finish) -> Step {
    Step::Event(StreamEvent::Finish { choice, finish })
}

/// Returns a place among the texts from `first` to `end`, after the first of them.
fn place(first: usize, end: usize, draw: u64) -> usize {
    let after_first = (first + 1).min(end);
    let texts = u64::try_from(end - after_first).unwrap_or(u64::MAX).max(1);
    after_first + usize::try_from(draw % texts).unwrap_or(0)
}

fn error(dialect: Dialect) -> UpstreamError {
    let (status, code) = match dialect {
        Dialect::AnthropicMessages => (Some(529), None),
        Dialect::OpenAiChat => (None, Some("server_error".to_owned())),
        Dialect::Gemini => (Some(503), None),
    };
    let message = "simulated: the provider failed in the middle of the answer".to_owned();
    UpstreamError { kind: ErrorKind::UpstreamUnavailable, status, code, message, retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_after_the_first_text() {
        for (first, end, draw, expected) in [(1, 1, 7, 1), (1, 2, 7, 2), (1, 11, 0, 2), (1, 11, 8, 10), (1, 11, 9, 2)] {
            assert_eq!(place(first, end, draw), expected, "{first} {end} {draw}");
        }
    }
}
