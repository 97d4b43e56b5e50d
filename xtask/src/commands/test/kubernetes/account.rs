//! An application without a Secret: tokens of its service account are its key, those for Bowline and no others.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::control_plane::{ControlPlane, until_within};
use super::forward::Forward;
use super::story::{self, act};
use super::{PATIENCE, SYSTEM, desk};

/// What `gateway.audience` of the chart is, and so that of `install.yaml`.
const AUDIENCE: &str = "--audience=bowline";
/// The calls of the application that must be answered.
const CALLS: u64 = 20;
/// How long a gateway may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) fn play(cluster: &ControlPlane) -> anyhow::Result<()> {
    act("an application without a Secret", || {
        cluster.example("app-token.yaml")?;
        desk(cluster, &["rollout", "status", "deployment/desk-token", "--timeout=120s"])?;
        let live = story::live(cluster)?;
        until_within(PATIENCE, "the application without a Secret is served", || {
            let counts = story::counts(cluster, "desk-token")?;
            ensure!(counts.failed == 0, "calls failed: {:?}", counts.errors);
            Ok(counts.versions.get(&live).is_some_and(|tally| tally.calls >= CALLS))
        })
    })?;
    let gateway = Forward::open(cluster, SYSTEM, "service/bowline-gateway", ":80")?;
    act("tokens for somebody else, and of somebody else", || {
        check(cluster, &gateway, &["desk", AUDIENCE], 200)?;
        check(cluster, &gateway, &["desk", "--audience=other"], 401)?;
        // One for the API server itself, as every pod has it.
        check(cluster, &gateway, &["desk"], 401)?;
        check(cluster, &gateway, &["default", AUDIENCE], 401)
    })?;
    act("the account is taken out of the PromptBundle", || {
        desk(cluster, &["delete", "deployment/desk-token"])?;
        let token = token(cluster, &["desk", AUDIENCE])?;
        ensure!(answer(&gateway, &token)? == 200, "the token is refused before the account is taken out");
        let patch = r#"[{"op":"remove","path":"/spec/serviceAccounts"}]"#;
        desk(cluster, &["patch", "promptbundle/desk", "--type=json", "--patch", patch])?;
        until_within(PATIENCE, "the token is refused", || Ok(answer(&gateway, &token)? == 401))?;
        let bundle = story::get(cluster, "promptbundle/desk")?;
        let left = bundle["status"]["serviceAccounts"].as_array().map_or(0, Vec::len);
        ensure!(left == 0, "the status names a key that is gone: {}", bundle["status"]["serviceAccounts"]);
        ready(&bundle)
    })
}

/// Asks a gateway with a token that is made for it.
fn check(cluster: &ControlPlane, gateway: &Forward, of: &[&str], expected: u16) -> anyhow::Result<()> {
    let answered = answer(gateway, &token(cluster, of)?)?;
    ensure!(answered == expected, "a token of {of:?} is answered with {answered}, not {expected}");
    println!("  kubectl create token {}: {answered}", of.join(" "));
    Ok(())
}

fn token(cluster: &ControlPlane, of: &[&str]) -> anyhow::Result<String> {
    Ok(desk(cluster, &[&["create", "token"], of].concat())?.trim().to_owned())
}

/// Returns the status of `GET /v1/models`.
fn answer(gateway: &Forward, token: &str) -> anyhow::Result<u16> {
    let address = &gateway.address;
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close");
    write!(stream, "GET /v1/models HTTP/1.1\r\n{head}\r\n\r\n").context("asking a gateway")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("reading what a gateway answers")?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.with_context(|| format!("a gateway answers {line:?}"))
}

fn ready(bundle: &Value) -> anyhow::Result<()> {
    let conditions = bundle["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ready = conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ensure!(is_ready, "the PromptBundle is not ready: {conditions:?}");
    Ok(())
}
