use std::sync::atomic::{AtomicUsize, Ordering};

use bowline_testkit::ManualClock;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

const APP: &str = "system:serviceaccount:shop:app";

/// Answers from a script, once it is let.
struct Script {
    answer: Mutex<Result<Review, ReviewError>>,
    asked: AtomicUsize,
    /// Whoever asks waits until this is told.
    gate: Option<Notify>,
}

struct World {
    script: Arc<Script>,
    reviews: Arc<Reviews>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
}

impl TokenReviewer for Script {
    fn review(&self, token: Secret) -> ReviewFuture<'_> {
        assert!(claims(token.expose()).is_some(), "only what may be a token is sent anywhere");
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            self.answer.lock().unwrap().clone()
        })
    }
}

impl World {
    fn new(answer: Result<Review, ReviewError>) -> Self {
        Self::with(answer, ReviewOptions::default(), false)
    }

    fn with(answer: Result<Review, ReviewError>, options: ReviewOptions, gated: bool) -> Self {
        let gate = gated.then(Notify::new);
        let script = Arc::new(Script { answer: Mutex::new(answer), asked: AtomicUsize::new(0), gate });
        let clock = Arc::new(ManualClock::default());
        let metrics = Arc::new(Metrics::new(Arc::clone(&clock) as _));
        let reviews = Reviews::new(Arc::clone(&script) as _, options, Arc::clone(&clock) as _, Arc::clone(&metrics));
        Self { script, reviews: Arc::new(reviews), clock, metrics }
    }

    async fn of(&self, token: &str) -> Verdict {
        self.reviews.of(token, |subject| subject.as_str() == APP).await
    }

    fn asked(&self) -> usize {
        self.script.asked.load(Ordering::Relaxed)
    }

    fn answers(&self, answer: Result<Review, ReviewError>) {
        *self.script.answer.lock().unwrap() = answer;
    }

    fn counted(&self, result: &str) -> String {
        let line = format!("bowline_token_reviews_total{{result=\"{result}\"}} ");
        self.metrics.encode().lines().find_map(|found| found.strip_prefix(&line)).unwrap_or("0").to_owned()
    }
}

fn is(user: &str) -> Result<Review, ReviewError> {
    Ok(Review::Authenticated(user.to_owned()))
}

fn failed() -> Result<Review, ReviewError> {
    Err(ReviewError("the API server is down".to_owned()))
}

fn verdict() -> Verdict {
    Verdict::Is(APP.parse().unwrap())
}

/// A token with these claims; the signature is somebody else's matter.
fn token(claims: &Value, signature: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(&claims.to_string()), part(signature))
}

fn good() -> String {
    token(&json!({ "sub": APP }), "s")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn what_was_said_is_remembered_for_a_while() {
    let world = World::new(is(APP));
    assert_eq!((world.of(&good()).await, world.asked()), (verdict(), 1));
    world.answers(Ok(Review::Refused));
    tokio::time::advance(seconds(59)).await;
    assert_eq!((world.of(&good()).await, world.asked()), (verdict(), 1));
    // Another token of the same account is another one.
    assert_eq!((world.of(&token(&json!({ "sub": APP }), "other")).await, world.asked()), (Verdict::Refused, 2));
    tokio::time::advance(seconds(1)).await;
    assert_eq!((world.of(&good()).await, world.asked()), (Verdict::Refused, 3));
    world.answers(is(APP));
    tokio::time::advance(seconds(9)).await;
    assert_eq!((world.of(&good()).await, world.asked()), (Verdict::Refused, 3));
    tokio::time::advance(seconds(1)).await;
    assert_eq!((world.of(&good()).await, world.asked()), (verdict(), 4));
    assert_eq!((world.counted("authenticated"), world.counted("refused")), ("2".to_owned(), "2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_remembered_beyond_its_end() {
    let world = World::new(is(APP));
    let now = world.clock.now().as_micros() / 1_000_000;
    let short = token(&json!({ "sub": APP, "exp": now + 20 }), "s");
    assert_eq!(world.of(&short).await, verdict());
    world.answers(Ok(Review::Refused));
    tokio::time::advance(seconds(19)).await;
    assert_eq!((world.of(&short).await, world.asked()), (verdict(), 1));
    tokio::time::advance(seconds(1)).await;
    assert_eq!((world.of(&short).await, world.asked()), (Verdict::Refused, 2));
    // By our clock it is over, by that of who was asked it is not: they decide, and are asked each time.
    let over = token(&json!({ "sub": APP, "exp": now - 1 }), "s");
    world.answers(is(APP));
    assert_eq!((world.of(&over).await, world.of(&over).await, world.asked()), (verdict(), verdict(), 4));
    // An end that is no time changes nothing of what was said.
    for (odd, asked) in [(json!(1e300), 5), (json!(-5.5), 6)] {
        let odd = token(&json!({ "sub": APP, "exp": odd }), "s");
        assert_eq!((world.of(&odd).await, world.asked()), (verdict(), asked));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_strangers() {
    let world = World::new(is(APP));
    let huge = token(&json!({ "sub": APP, "more": "x".repeat(16 * 1024) }), "s");
    let padded = format!("{}=", good());
    for stranger in [
        "",
        "sk-0123456789",
        "a.b.c",
        "..",
        &good().replacen('.', "", 1),
        &format!("{}.more", good()),
        &token(&json!({ "sub": "system:serviceaccount:shop:other" }), "s"),
        &token(&json!({ "sub": "system:admin" }), "s"),
        &token(&json!({ "sub": 1 }), "s"),
        &token(&json!({}), "s"),
        &token(&json!([APP]), "s"),
        &huge,
    ] {
        assert_eq!(world.of(stranger).await, Verdict::Refused, "{stranger}");
    }
    assert_eq!(world.asked(), 0);
    // What only the signature is odd of is for who verifies it.
    world.answers(Ok(Review::Refused));
    assert_eq!((world.of(&padded).await, world.asked()), (Verdict::Refused, 1));
}

#[tokio::test(start_paused = true)]
async fn the_user_is_who_was_asked_says_and_not_what_the_token_says() {
    for (user, expected) in [
        ("system:serviceaccount:shop:other", Verdict::Is("system:serviceaccount:shop:other".parse().unwrap())),
        ("system:admin", Verdict::Refused),
        ("", Verdict::Refused),
    ] {
        assert_eq!(World::new(is(user)).of(&good()).await, expected, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_never_passes() {
    let world = World::new(failed());
    assert_eq!(
        (world.of(&good()).await, world.of(&good()).await, world.asked()),
        (Verdict::Failed, Verdict::Failed, 1)
    );
    tokio::time::advance(seconds(1)).await;
    world.answers(is(APP));
    assert_eq!(world.of(&good()).await, verdict());
    // An answer that does not come is none.
    let silent = World::with(is(APP), ReviewOptions::default(), true);
    let started = Instant::now();
    assert_eq!(silent.of(&good()).await, Verdict::Failed);
    assert_eq!(started.elapsed(), seconds(5));
    assert_eq!(silent.counted("failed"), "1");
}

#[tokio::test(start_paused = true)]
async fn who_passed_lately_passes_on_while_nobody_can_say() {
    let world = World::new(is(APP));
    let now = world.clock.now().as_micros() / 1_000_000;
    let short = token(&json!({ "sub": APP, "exp": now + 90 }), "s");
    assert_eq!((world.of(&good()).await, world.of(&short).await), (verdict(), verdict()));
    world.answers(failed());
    tokio::time::advance(seconds(60)).await;
    assert_eq!((world.of(&good()).await, world.of(&short).await, world.asked()), (verdict(), verdict(), 4));
    tokio::time::advance(seconds(9)).await;
    assert_eq!((world.of(&good()).await, world.asked()), (verdict(), 4), "nobody is asked all the time");
    tokio::time::advance(seconds(1)).await;
    assert_eq!((world.of(&good()).await, world.asked()), (verdict(), 5));
    // Not beyond its end, and not for ever.
    tokio::time::advance(seconds(20)).await;
    assert_eq!((world.of(&short).await, world.of(&good()).await), (Verdict::Failed, verdict()));
    tokio::time::advance(seconds(60 + 600 - 90 - 1)).await;
    assert_eq!(world.of(&good()).await, verdict());
    tokio::time::advance(seconds(1)).await;
    assert_eq!(world.of(&good()).await, Verdict::Failed);
    // Whoever says that it is not good is believed at once, and that it was is forgotten.
    world.answers(is(APP));
    tokio::time::advance(seconds(1)).await;
    assert_eq!(world.of(&good()).await, verdict());
    world.answers(Ok(Review::Refused));
    tokio::time::advance(seconds(60)).await;
    assert_eq!(world.of(&good()).await, Verdict::Refused);
    world.answers(failed());
    tokio::time::advance(seconds(10)).await;
    assert_eq!(world.of(&good()).await, Verdict::Failed);
}

#[tokio::test(start_paused = true)]
async fn who_passed_lately_does_not_wait_long() {
    let world = World::with(is(APP), ReviewOptions::default(), true);
    let gate = world.script.gate.as_ref().unwrap();
    gate.notify_one();
    assert_eq!(world.of(&good()).await, verdict());
    tokio::time::advance(seconds(60)).await;
    let started = Instant::now();
    assert_eq!((world.of(&good()).await, world.of(&good()).await), (verdict(), verdict()));
    assert_eq!((started.elapsed(), world.asked()), (seconds(1), 2));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_the_same_token_ask_once() {
    let world = World::with(is(APP), ReviewOptions::default(), true);
    let mut waiting = JoinSet::new();
    let wait = |waiting: &mut JoinSet<Verdict>| {
        let reviews = Arc::clone(&world.reviews);
        waiting.spawn(async move { reviews.of(&good(), |_| true).await })
    };
    // The one who asks goes away before the answer is there: the next one asks in its place.
    let first = wait(&mut waiting);
    while world.asked() < 1 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        wait(&mut waiting);
    }
    tokio::task::yield_now().await;
    first.abort();
    while world.asked() < 2 {
        tokio::task::yield_now().await;
    }
    world.script.gate.as_ref().unwrap().notify_one();
    let mut verdicts = Vec::new();
    while let Some(found) = waiting.join_next().await {
        verdicts.extend(found.ok());
    }
    assert_eq!((verdicts, world.asked()), (vec![verdict(); 50], 2));
}

#[tokio::test(start_paused = true)]
async fn every_bound_holds() {
    let options = ReviewOptions { asked_max: 2, pending_max: 3, entries_max: 4, ..ReviewOptions::default() };
    let world = World::with(is(APP), options, true);
    let numbered = |number: usize| token(&json!({ "sub": APP }), &number.to_string());
    let mut waiting = JoinSet::new();
    for number in 0..3 {
        let (reviews, token) = (Arc::clone(&world.reviews), numbered(number));
        waiting.spawn(async move { reviews.of(&token, |_| true).await });
    }
    while world.asked() < 2 {
        tokio::task::yield_now().await;
    }
    // Two are asked about, one waits, and there is no room for a fourth.
    assert_eq!((world.of(&numbered(3)).await, world.asked()), (Verdict::Failed, 2));
    waiting.abort_all();
    while waiting.join_next().await.is_some() {}
    // Nobody waits for those any more, and they take no room.
    let gate = world.script.gate.as_ref().unwrap();
    for number in 3..9 {
        world.answers(if number % 2 == 0 { is(APP) } else { Ok(Review::Refused) });
        gate.notify_one();
        world.of(&numbered(number)).await;
    }
    assert!(world.reviews.lock().len() <= 4);
    // Refused ones are forgotten first, so that nobody's token is pushed out by those of others that are bad.
    let asked = world.asked();
    for number in [4, 6, 8] {
        assert_eq!(world.of(&numbered(number)).await, verdict(), "{number}");
    }
    assert_eq!(world.asked(), asked);
}
