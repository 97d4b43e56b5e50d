use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_types::Arm;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Failure};
use super::outcome;
use super::report::{Totals, Whole};
use super::{Calls, Limit, PromptCalls};
use crate::case::Case;
use crate::random::Seed;

/// How long a caller waits after it reached nobody.
const BACK_OFF: Duration = Duration::from_millis(50);
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What all callers do together.
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) host: HeaderValue,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) calls: Calls,
    pub(super) rate: Option<f64>,
    pub(super) limit: Limit,
    pub(super) seed: u64,
    pub(super) timeout: Duration,
    pub(super) started: Instant,
    pub(super) next: AtomicU64,
}

/// Makes one call after the other.
pub(super) struct Caller {
    plan: Arc<Plan>,
    totals: Arc<Totals>,
    connection: Connection,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    first_byte: Duration,
    latency: Duration,
}

// === impl Caller ===

impl Caller {
    pub(super) fn new(plan: Arc<Plan>, totals: Arc<Totals>) -> Self {
        let connection = Connection::new(plan.address);
        Self { plan, totals, connection }
    }

    /// Makes calls until there are no more, or told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled()
            && let Some((number, due)) = self.plan.next()
        {
            let since = match due {
                // Late, as the calls before took too long: that wait counts.
                Some(due) if due <= Instant::now() => due,
                Some(due) => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep_until(due) => {}
                    }
                    // The timer, which counts in milliseconds, is no wait for the gateway.
                    Instant::now()
                }
                None => Instant::now(),
            };
            if self.call(number, since).await == Err(Failure::Connect) {
                sleep(BACK_OFF).await;
            }
        }
    }

    async fn call(&mut self, number: u64, since: Instant) -> Result<(), Failure> {
        let plan = Arc::clone(&self.plan);
        let seed = Seed::new(plan.seed);
        let mut case = None;
        let body = match &plan.calls {
            Calls::Body(body) => body.clone(),
            Calls::Prompt(calls) => {
                case = seed.text("case").number(number).pick(&calls.cases).map(|case| (calls, case));
                let text = case.map_or("", |(_, case)| &case.text);
                let variable = calls.variable.as_str();
                json!({"model": calls.model, "variables": {variable: text}, "stream": calls.stream}).to_string().into()
            }
        };
        let mut request = plan.request("/v1/chat/completions", body);
        let unit = format!("unit-{:016x}", seed.text("unit").number(number).bits());
        if let Ok(unit) = HeaderValue::from_str(&unit) {
            request.headers_mut().insert(HeaderName::from_static("x-bowline-unit"), unit);
        }
        let answer = match self.exchange(request, since).await {
            Ok(answer) => answer,
            Err(Lost { code, failure }) => {
                self.totals.failed(code.to_owned());
                return failure.map_or(Ok(()), Err);
            }
        };
        let text = match outcome::read(answer.status, &answer.headers, &answer.body, case.is_some()) {
            Ok(text) => text,
            Err(code) => {
                self.totals.failed(code);
                return Ok(());
            }
        };
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let correct = case.and_then(|(calls, case)| calls.is_right(case, &text));
        self.totals.whole(Whole {
            latency: answer.latency,
            first_byte: answer.first_byte,
            version: header("x-bowline-version").map(str::to_owned),
            arm: header("x-bowline-arm").and_then(|word| Arm::ALL.into_iter().find(|arm| arm.as_str() == word)),
            correct,
        });
        let feedback = case.and_then(|(calls, _)| calls.feedback.as_ref());
        if let (Some(feedback), Some(correct), Some(inference)) = (feedback, correct, header("x-bowline-inference")) {
            let body = json!({"inference": inference, "name": feedback.name, "value": correct});
            let kept = self.feedback(plan.request("/v1/feedback", body.to_string().into())).await;
            self.totals.feedback(kept);
        }
        Ok(())
    }

    async fn feedback(&mut self, request: Request<Full<Bytes>>) -> Result<(), String> {
        let answer = self.exchange(request, Instant::now()).await.map_err(|lost| lost.code.to_owned())?;
        outcome::read(answer.status, &answer.headers, &answer.body, false).map(|_| ())
    }

    /// Sends a request and reads the whole answer; waits count from `since`.
    async fn exchange(&mut self, request: Request<Full<Bytes>>, since: Instant) -> Result<Answer, Lost> {
        let answer = timeout(self.plan.timeout, read(&mut self.connection, request, since)).await;
        let answer = answer.unwrap_or(Err(Lost { code: "timeout", failure: None }));
        if answer.is_err() {
            self.connection.close().await;
        }
        answer
    }
}

/// A call without a whole answer.
struct Lost {
    code: &'static str,
    failure: Option<Failure>,
}

async fn read(connection: &mut Connection, request: Request<Full<Bytes>>, since: Instant) -> Result<Answer, Lost> {
    let lost = |failure: Failure| Lost { code: failure.code(), failure: Some(failure) };
    let (head, mut incoming) = connection.send(request).await.map_err(lost)?.into_parts();
    let mut first_byte = None;
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let cut = Lost { code: outcome::CUT_OFF, failure: None };
        let Ok(data) = frame.map_err(|_| cut)?.into_data() else { continue };
        first_byte.get_or_insert_with(|| since.elapsed());
        if body.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(Lost { code: "too_large", failure: None });
        }
        body.extend_from_slice(&data);
    }
    let latency = since.elapsed();
    let first_byte = first_byte.unwrap_or(latency);
    Ok(Answer { status: head.status, headers: head.headers, body: body.freeze(), first_byte, latency })
}

// === impl Plan ===

impl Plan {
    /// Returns the number of the next call and when it is due, `None` for at once, unless a limit is reached.
    fn next(&self) -> Option<(u64, Option<Instant>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = self.rate.map(|rate| self.started + seconds(number, rate));
        let end = self.limit.duration.map(|duration| self.started + duration);
        let late = end.is_some_and(|end| due.unwrap_or_else(Instant::now) >= end);
        let last = self.limit.calls.is_some_and(|calls| number >= calls);
        (!late && !last).then_some((number, due))
    }

    fn request(&self, path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }
}

/// Returns how long `count` calls take; a century at most.
fn seconds(count: u64, rate: f64) -> Duration {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let seconds = count as f64 / rate;
    Duration::try_from_secs_f64(seconds).map_or(CENTURY, |wait| wait.min(CENTURY))
}

// === impl PromptCalls ===

impl PromptCalls {
    /// Returns whether an answer has the right labels; `None` where the case has none.
    fn is_right(&self, case: &Case, answer: &str) -> Option<bool> {
        if self.fields.is_empty() {
            let labels = &case.labels;
            return (!labels.is_empty()).then(|| labels.keys().all(|field| case.is_right(field, answer)));
        }
        Some(self.fields.iter().all(|field| case.is_right(field, answer)))
    }
}
