//! Measures how many inferences per second the store takes, and how long summaries and commits take.
//!
//! `cargo run --release -p bowline-store-sqlite --example throughput [FOLDER]`; the folder must be new or empty.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, and has no config module")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_store::{InferenceRecord, SCHEMA_VERSION, Store as _, SummaryFilter, Write};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_types::{
    Arm, CheckResult, Digest, InferenceId, KeyId, RolloutId, Scope, Timestamp, TokenUsage, Unit, UnitKind,
};
use tokio::task::JoinSet;

const BATCHES: u32 = 200;
const BATCH: u32 = 500;
const SINGLE_COMMITS: u32 = 2_000;
const SINGLE_COMMITS_AT_A_TIME: u32 = 64;
const START_US: i64 = 1_790_000_000_000_000;

/// What the samples have in common.
struct Sampler {
    scope: Scope,
    key: KeyId,
    rollout: RolloutId,
    template: InferenceRecord,
}

impl Sampler {
    fn new() -> Result<Self, Box<dyn Error>> {
        let start = Timestamp::from_micros(START_US);
        let scope = Scope { project: "shop".parse()?, environment: "prod".parse()? };
        let (key, rollout) = (KeyId::generate(start), RolloutId::generate(start));
        let template = InferenceRecord {
            schema_version: SCHEMA_VERSION,
            id: InferenceId::generate(start),
            project: scope.project.clone(),
            environment: scope.environment.clone(),
            key,
            prompt: Some("support/answer".parse()?),
            version: Some(Digest::of(b"one")),
            rollout: Some(rollout),
            arm: Some(Arm::Stable),
            stage: Some(0),
            unit: Unit { kind: UnitKind::Header, value: String::new() },
            dialect: "openai-chat".to_owned(),
            provider: Some("anthropic".parse()?),
            provider_kind: Some("anthropic".to_owned()),
            model: "fast".parse()?,
            upstream_model: Some("claude-haiku-4-5".to_owned()),
            response_model: Some("claude-haiku-4-5-20251001".to_owned()),
            answer_id: None,
            started_at: start,
            first_byte_us: Some(180_000),
            duration_us: 900_000,
            stream: true,
            status: 200,
            error: None,
            finish: Some("stop".to_owned()),
            usage: TokenUsage { input: Some(812), output: Some(96), ..TokenUsage::default() },
            cost: Some("0.00129".parse()?),
            checks: BTreeMap::from([
                ("complete".to_owned(), CheckResult::Pass),
                ("feedback:correct".to_owned(), CheckResult::Unknown),
            ]),
            attempts: 1,
            fallback: false,
            simulated: false,
            content: None,
        };
        Ok(Self { scope, key, rollout, template })
    }

    /// Returns the write of one inference of one of ten thousand units, ten milliseconds after the one before.
    fn write(&self, number: u32) -> Write {
        let started_at = Timestamp::from_micros(START_US + i64::from(number) * 10_000);
        Write::InferencePut(Box::new(InferenceRecord {
            id: InferenceId::generate(started_at),
            unit: Unit { kind: UnitKind::Header, value: format!("user-{}", number % 10_000) },
            answer_id: Some(format!("msg_{number}")),
            started_at,
            ..self.template.clone()
        }))
    }
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder =
        std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("bowline-throughput"), PathBuf::from);
    let store = Arc::new(SqliteStore::open(&folder, Options::default())?);
    let sampler = Sampler::new()?;

    let start = Instant::now();
    for batch in 0..BATCHES {
        store.commit((0..BATCH).map(|row| sampler.write(batch * BATCH + row)).collect()).await?;
    }
    let rows = BATCHES * BATCH;
    println!("{rows} inferences in commits of {BATCH}: {:.0} rows/s", rate(rows, start.elapsed()));

    let start = Instant::now();
    let mut commits = JoinSet::new();
    for number in rows..rows + SINGLE_COMMITS {
        while commits.len() >= usize::try_from(SINGLE_COMMITS_AT_A_TIME)? {
            commits.join_next().await.transpose()?.transpose()?;
        }
        let (store, write) = (Arc::clone(&store), sampler.write(number));
        commits.spawn(async move { store.commit(vec![write]).await });
    }
    while let Some(commit) = commits.join_next().await {
        commit??;
    }
    let rate = rate(SINGLE_COMMITS, start.elapsed());
    println!("{SINGLE_COMMITS} commits of one inference, {SINGLE_COMMITS_AT_A_TIME} at a time: {rate:.0} commits/s");

    let start = Instant::now();
    let filter = SummaryFilter { scope: sampler.scope.clone(), prompt: None, rollout: None, since: None };
    let sums = store.summary_list(filter).await?;
    let inferences: u64 = sums.iter().map(|row| row.inferences).sum();
    println!("summary of {inferences} inferences: {:?}", start.elapsed());

    let start = Instant::now();
    let maturing = store.maturing_list(sampler.rollout, Timestamp::from_micros(i64::MAX)).await?;
    println!("{} maturing units: {:?}", maturing.len(), start.elapsed());

    let start = Instant::now();
    let found = store.inference_by_answer(sampler.key, "msg_77".to_owned()).await?;
    println!("inference by the id of its answer ({}): {:?}", found.is_some(), start.elapsed());

    let start = Instant::now();
    store.backup(folder.join("copy.db")).await?;
    println!("backup: {:?}; {:?}", start.elapsed(), store.stats().await?);
    store.close().await;
    Ok(())
}

fn rate(count: u32, time: Duration) -> f64 {
    f64::from(count) / time.as_secs_f64()
}
