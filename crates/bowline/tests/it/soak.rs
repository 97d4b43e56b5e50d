//! `bowline up` under steady traffic while the provider fails in every way it can and prompts change under it: every call is
//! answered and recorded, memory stays bounded, and every rollout can be replayed. `cargo xtask chaos` runs it;
//! `BOWLINE_SOAK_SECONDS` says for how long.

use std::num::NonZeroUsize;
use std::time::Duration;

use bowline_server::Client;
use bowline_server::wire::ReplayView;
use bowline_sim::{Calls, Case, Feedback, Limit, Load, PromptCalls, Report, Scenario};
use bowline_store::{RolloutRecord, SummaryRow};
use bowline_types::Secret;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::project::Project;
use crate::up::{self, Up};

/// How long it goes on.
const SECONDS: u64 = 60;
/// Calls per second, of those that stream and of those that do not.
const RATE: f64 = 50.0;
/// How often the prompt changes in that time.
const CHANGES: u32 = 5;
/// How much memory may grow once caches and pools are warm, which is after a third of the time. What leaks with each call or each
/// record grows beyond that within minutes.
const GROWTH_MAX_KIB: u64 = 24 * 1024;
/// How long records may take to the store.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sixth of the calls fail or stumble upstream.
const SCENARIO: &str = "
seed: 7
latency: { first_byte: { lognormal: { median: 20ms, sigma: 0.7 } } }
faults:
  - { kind: rate_limited, rate: 0.04, wait: 50ms }
  - { kind: server_error, rate: 0.02 }
  - { kind: unavailable, rate: 0.02 }
  - { kind: overloaded, rate: 0.02 }
  - { kind: slow_first_byte, rate: 0.01, wait: 400ms }
  - { kind: stream_error, rate: 0.02 }
  - { kind: stream_cut, rate: 0.02 }
  - { kind: malformed_json, rate: 0.02 }
";

const PROJECT: &str = r#"
project: desk
providers:
  local: { kind: openai, base_url: "UPSTREAM/v1", identity: test/llm }
models:
  fast: { provider: local, model: tiny, timeout: 5s }
environments:
  dev: {}
  prod:
    rollout: { stages: ["10%", "50%"], stage_units: 20, min_units: 50, min_duration: 0s, maturity: 1s }
"#;
const PROMPT: &str = include_str!("../../../../examples/support-desk/prompts/support/classify.prompt");
const TONE: &str = include_str!("../../../../examples/support-desk/prompts/_tone.prompt");
const TICKETS: &str = include_str!("../../../../examples/support-desk/data/tickets.jsonl");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and more; `cargo xtask chaos` runs it"]
async fn it_goes_on_for_long_while_the_provider_fails() {
    let time = Duration::from_secs(seconds());
    let project = project().await;
    let up = Up::start(&project);
    let key = up::key(&up.client).await.unwrap().key;
    let mut loads = JoinSet::new();
    for stream in [false, true] {
        let load = load(&up, &key, stream, time);
        loads.spawn(async move { load.run(CancellationToken::new(), |_| {}).await.unwrap() });
    }
    let mut memory = Vec::new();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (started, mut changes) = (Instant::now(), 0);
    while started.elapsed() < time {
        seconds.tick().await;
        memory.push(up.process.resident_kib());
        if started.elapsed() > time * changes / CHANGES {
            changes += 1;
            project.write("prompts/support/classify.prompt", format!("{PROMPT}This is change {changes}.\n"));
            project.commit("change");
            assert_eq!(project.bowline(&["release", "--env", "prod"]).code, 0);
        }
    }
    let reports = loads.join_all().await;
    let sent: u64 = reports.iter().map(|report| report.sent).sum();
    let ok: u64 = reports.iter().map(|report| report.ok).sum();
    reports.iter().for_each(check_report);
    assert!(ok < sent, "the provider did not fail");
    check_records(&up, sent).await;
    let rollouts = check_rollouts(&up.client).await;
    let (warm, rest) = memory.split_at(memory.len() / 3);
    let (warm, most) = (warm.last().unwrap(), rest.iter().max().unwrap());
    println!(
        "{} s: {sent} calls, {} of them failed by the provider, each recorded; {rollouts} rollouts replayed; memory {} MiB warm, \
         {} MiB at most",
        time.as_secs(),
        sent - ok,
        warm / 1024,
        most / 1024
    );
    assert!(most.saturating_sub(*warm) <= GROWTH_MAX_KIB, "memory grows, in KiB second by second: {memory:?}");
}

#[expect(clippy::disallowed_methods, reason = "a test has no config module")]
fn seconds() -> u64 {
    std::env::var("BOWLINE_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

async fn project() -> Project {
    let upstream = up::simulator(Scenario::parse(SCENARIO).unwrap()).await;
    let project = Project::with_upstream("127.0.0.1:9");
    project.write("bowline.yaml", PROJECT.replace("UPSTREAM", &upstream));
    project.write("prompts/_tone.prompt", TONE);
    project.write("prompts/support/classify.prompt", PROMPT);
    project.commit("support desk");
    assert_eq!(project.bowline(&["release", "--env", "prod"]).code, 0);
    project
}

fn load(up: &Up, key: &str, stream: bool, time: Duration) -> Load {
    let calls = PromptCalls {
        model: "prompt:support/classify".to_owned(),
        variable: "ticket".to_owned(),
        cases: Case::read_all(TICKETS).unwrap().into(),
        stream,
        fields: vec!["category".to_owned()],
        feedback: Some(Feedback { name: "correct".to_owned() }),
    };
    Load {
        gateway: format!("http://{}", up.gateway),
        key: Some(Secret::new(key.to_owned())),
        calls: Calls::Prompt(calls),
        concurrency: NonZeroUsize::new(16).unwrap(),
        rate: Some(RATE),
        limit: Limit { calls: None, duration: Some(time) },
        seed: u64::from(stream),
        timeout: Duration::from_secs(20),
    }
}

/// Whatever the provider does, the gateway answers, and says that it was the provider. An error that comes within a stream passes as
/// the provider writes it.
fn check_report(report: &Report) {
    let own = report.errors.keys().find(|code| !code.starts_with("upstream_") && *code != "server_error");
    assert_eq!(own, None, "{:?}", report.errors);
    assert_eq!((report.feedback_kept, report.feedback_errors.len()), (report.judged, 0));
}

/// Waits until the store has a record of every call; none more, and none counted as lost.
async fn check_records(up: &Up, sent: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows: Vec<SummaryRow> = up.client.get("/environments/prod/summary").await.unwrap();
        let records: u64 = rows.iter().map(|row| row.inferences).sum();
        if records == sent {
            break;
        }
        assert!(Instant::now() < deadline && records < sent, "{sent} calls were answered, {records} are recorded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let metrics = pool.get(format!("http://{}/metrics", up.control).parse().unwrap()).await.unwrap();
    let metrics = metrics.into_body().collect().await.unwrap().to_bytes();
    let metrics = std::str::from_utf8(&metrics).unwrap();
    let mut counters = metrics.lines().filter(|line| line.starts_with("bowline_records_lost_total"));
    assert_eq!(counters.find(|line| !line.ends_with(" 0")), None);
}

/// Computes every decision of every rollout anew; returns how many rollouts there were.
async fn check_rollouts(client: &Client) -> usize {
    let rollouts: Vec<RolloutRecord> = client.get("/rollouts").await.unwrap();
    assert!(!rollouts.is_empty());
    for RolloutRecord { number, state, .. } in &rollouts {
        let replay: ReplayView = client.get(&format!("/rollouts/{number}/replay")).await.unwrap();
        assert!(replay.equal, "rollout {number}, {state:?}, is not what its log says");
    }
    rollouts.len()
}
