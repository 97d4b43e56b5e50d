use std::time::Duration;

use bowline_chat::openai_chat::Envelope;
use bowline_chat::{Choice, Dialect, Part, Request};
use bowline_providers::ProviderSpec;
use bowline_types::{Clock as _, SystemClock, TokenUsage, chain};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::Shared;
use super::body::{Body, Break, Framing, Stream};
use super::refusal::{Refusal, response};
use super::script;
use crate::model::{self, Answer};
use crate::scenario::{Course, FaultKind};

/// The longest request, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most answers to one request, as OpenAI has it.
const CHOICES_MAX: u32 = 128;

/// Answers one call.
pub(super) async fn answer(
    shared: &Shared,
    spec: &'static ProviderSpec,
    framing: Framing,
    request: http::Request<Incoming>,
) -> Response<Body> {
    let number = shared.number();
    let course = shared.scenario.course(number);
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let too_large = error.is::<LengthLimitError>();
            let status = if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            return Refusal::of_request(status, chain(error.as_ref())).into_response(spec);
        }
    };
    wait(course.first_byte).await;
    if let Some(refusal) = course.fault.and_then(|fault| Refusal::of_fault(&fault, spec.dialect)) {
        return refusal.into_response(spec);
    }
    let reply = match Reply::new(shared, spec, &body, head.uri.path(), number) {
        Ok(reply) => reply,
        Err(refusal) => return refusal.into_response(spec),
    };
    if reply.request.stream {
        let interval = shared.scenario.writing(1);
        reply.streamed(framing, &course, interval)
    } else {
        wait(shared.scenario.writing(reply.usage.output.unwrap_or(0))).await;
        reply.whole(&course).unwrap_or_else(|refusal| refusal.into_response(spec))
    }
}

/// What the provider says to one request.
struct Reply {
    spec: &'static ProviderSpec,
    request: Request,
    answers: Vec<Answer>,
    usage: TokenUsage,
    envelope: Envelope,
}

// === impl Reply ===

impl Reply {
    fn new(
        shared: &Shared,
        spec: &'static ProviderSpec,
        body: &[u8],
        path: &str,
        number: u64,
    ) -> Result<Self, Refusal> {
        let invalid = |message| Refusal::of_request(StatusCode::BAD_REQUEST, message);
        let request = (spec.server.decode_request)(body, path).map_err(|error| invalid(chain(&error)))?;
        let choices = request.parameters.choices.unwrap_or(1);
        if !(1..=CHOICES_MAX).contains(&choices) {
            return Err(invalid(format!("the number of answers must be 1 to {CHOICES_MAX}")));
        }
        let scenario = &shared.scenario;
        let seeds = (0..u64::from(choices)).map(|choice| scenario.seed.wrapping_add(choice));
        let answers: Vec<Answer> = seeds.map(|seed| model::answer(&request, scenario.noise, seed)).collect();
        let output = answers.iter().map(|answer| answer.tokens).sum();
        let usage =
            TokenUsage { input: Some(shared.counter.input(&request)), output: Some(output), ..TokenUsage::default() };
        let prefix = match spec.dialect {
            Dialect::OpenAiChat => "chatcmpl-sim",
            Dialect::AnthropicMessages => "msg_sim",
            Dialect::Gemini => "sim",
        };
        // Behaviour repeats with the seed, ids never do: feedback finds an answer by its id.
        let id = format!("{prefix}{:x}n{number}", shared.started.as_micros());
        let created = SystemClock.now().as_micros() / 1_000_000;
        let envelope = Envelope { id, model: request.model.clone(), created };
        Ok(Self { spec, request, answers, usage, envelope })
    }

    fn whole(self, course: &Course) -> Result<Response<Body>, Refusal> {
        let choice = |(index, answer): (u32, Answer)| {
            let content = vec![Part::text(answer.text)];
            Choice { index, content, finish: answer.finish, opaque: Vec::new() }
        };
        let answer = bowline_chat::Response {
            id: self.envelope.id.clone(),
            model: self.envelope.model.clone(),
            created: Some(self.envelope.created),
            choices: (0..).zip(self.answers).map(choice).collect(),
            usage: self.usage,
            opaque: Vec::new(),
        };
        let mut body = (self.spec.server.encode_response)(&answer, &self.envelope)
            .map_err(|error| Refusal::of_request(StatusCode::INTERNAL_SERVER_ERROR, chain(&error)))?;
        let body = if course.meets(FaultKind::StreamCut) {
            let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
            body.truncate(body.len() / 2);
            Body::Cut { part: Some(body.into()), length, end: Break::default() }
        } else {
            if course.meets(FaultKind::MalformedJson) {
                body.truncate(body.len() * 2 / 3);
            }
            Body::Whole(Some(body.into()))
        };
        Ok(response(StatusCode::OK, HeaderMap::new(), "application/json", body))
    }

    fn streamed(self, framing: Framing, course: &Course, interval: Duration) -> Response<Body> {
        let steps = script::steps(self.spec.dialect, &self.answers, self.usage, course);
        let encoder = (self.spec.server.stream_encoder)(self.envelope, self.request.include_usage);
        let body = Body::Stream(Box::new(Stream::new(steps, encoder, framing, interval)));
        response(StatusCode::OK, HeaderMap::new(), framing.content_type(), body)
    }
}

async fn wait(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}
