//! A model server that the operator runs: no pod while nobody calls, calls that wait for the first one, and none again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::super::control_plane::{ControlPlane, until_within};
use super::forward::Forward;
use super::repository::{PROJECT, PROMPT};
use super::story::{act, get};
use super::{NAMESPACE, PATIENCE, SYSTEM, autoscale, desk};
use crate::workspace::Workspace;

/// The ModelBackend of the story.
pub(super) const BACKEND: &str = "modelbackend/openai";
/// How many calls a gateway lets wait for one provider, which is the default of `--hold-max`.
const HOLD_MAX: usize = 64;
/// How long an answer may be silent: longer than comments are apart.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long ago a call may be that still brings a pod, in seconds; the operator looks for half of `idleAfter`, at most for 6.
const FRESH_SECONDS: f64 = 6.0;
/// What keeps a stream alive.
const COMMENT: &str = ": waiting";

/// What came of a call.
pub(super) struct Answered {
    /// The line with the status, such as `HTTP/1.1 200 OK`.
    pub(super) status: String,
    /// When to come again, in seconds, as the answer says.
    retry_after: Option<String>,
    /// How many comments came before the answer.
    comments: usize,
    /// The rest of the lines.
    lines: Vec<String>,
}

/// What a call is made with.
#[derive(Clone)]
pub(super) struct Caller {
    address: String,
    key: String,
}

/// Serves the provider of the story by a pod that comes and goes. The application has stopped by then, as its calls would keep the pod.
pub(super) fn play(workspace: &Workspace, cluster: &ControlPlane) -> anyhow::Result<()> {
    desk(cluster, &["scale", "deployment/desk", "--replicas=0"])?;
    desk(cluster, &["wait", "pod", "--selector=app=desk", "--for=delete", "--timeout=60s"])?;
    until_within(PATIENCE, "no gateway has had a call for a while", || is_quiet(cluster))?;
    let node = cluster.kubectl(&["get", "nodes", "--output=jsonpath={.items[0].metadata.name}"])?;
    act("a model server without a pod", || {
        // Until the node takes pods again a start takes as long as it likes.
        cluster.kubectl(&["cordon", &node])?;
        cluster.example("backend-served.yaml")?;
        desk(cluster, &["wait", BACKEND, "--for=condition=Ready", "--timeout=60s"])?;
        is_at(cluster, "0")?;
        says(cluster, "AtZero")
    })?;
    let way = Forward::open(cluster, SYSTEM, "service/bowline-gateway", ":80")?;
    let template = r#"--output=go-template={{index .data "OPENAI_API_KEY" | base64decode}}"#;
    let name = "--output=jsonpath={.spec.keys[0].secretName}";
    let secret = desk(cluster, &["get", "promptbundle/desk", name])?;
    let key = desk(cluster, &["get", "secret", &secret, template])?.trim().to_owned();
    let caller = Caller { address: way.address.clone(), key };
    act("calls wait for the first pod", || waiting(cluster, &caller, &node))?;
    act("an autoscaler follows the tokens in flight", || autoscale::follow(workspace, cluster, &caller))?;
    act("nobody calls, and the last pod goes", || {
        is_at(cluster, "0")?;
        says(cluster, "AtZero")?;
        until_within(PATIENCE, "the pod is gone", || {
            let pods = desk(cluster, &["get", "pods", "--selector=bowline.dev/backend=openai", "--output=name"])?;
            Ok(pods.is_empty())
        })?;
        let selector = "--field-selector=reason=Scaled,involvedObject.name=openai";
        until_within(PATIENCE, "events tell of the first pod and of the last", || {
            let notes = desk(cluster, &["get", "events", selector, "--output=jsonpath={.items[*].message}"])?;
            Ok(["the first pod comes", "the last pod goes"].iter().all(|note| notes.contains(note)))
        })
    })
}

/// Calls while there is no pod: as many as may wait, and one more.
fn waiting(cluster: &ControlPlane, caller: &Caller, node: &str) -> anyhow::Result<()> {
    let (comment, commented) = mpsc::channel();
    let stream = spawn(caller, true, Some(comment));
    // The call that waits is why a pod is wanted.
    is_at(cluster, "1")?;
    let (done, answers) = mpsc::channel();
    for _ in 0..HOLD_MAX {
        let (caller, done) = (caller.clone(), done.clone());
        // Who listens no longer has failed already.
        thread::spawn(move || done.send(call(&caller, false, None)).ok());
    }
    let refused = answers.recv_timeout(SILENCE_MAX).context("nobody is sent away")??;
    ensure!(refused.status.contains("503"), "beyond {HOLD_MAX} calls, one is answered {}", refused.status);
    ensure!(refused.retry_after.as_deref() == Some("15"), "it may come again after {:?} s", refused.retry_after);
    let said = refused.lines.concat();
    ensure!(said.contains("backend_starting") && said.contains("wait for it already"), "it is told {said}");
    // A stream is told that it waits, and nothing but the pod is missing.
    commented.recv_timeout(SILENCE_MAX).context("the stream is silent")?;
    says(cluster, "Starting")?;
    cluster.kubectl(&["uncordon", node])?;
    for _ in 1..HOLD_MAX {
        let answer = answers.recv_timeout(PATIENCE).context("a call that waited has no answer")??;
        ensure!(answer.status.contains("200"), "a call that waited is answered {}: {:?}", answer.status, answer.lines);
    }
    let stream = stream.recv_timeout(PATIENCE).context("the stream that waited does not end")??;
    let pieces = stream.lines.iter().filter(|line| line.starts_with("data: {")).count();
    let ends = stream.lines.iter().any(|line| line == "data: [DONE]");
    ensure!(pieces > 1 && ends, "the stream that waited is no answer: {:?}", stream.lines);
    println!(
        "  {HOLD_MAX} calls waited and were answered, one of them a stream of {pieces} events after {} comments; one more was sent away",
        stream.comments
    );
    Ok(())
}

/// Makes a call beside, and returns where its answer comes.
fn spawn(caller: &Caller, stream: bool, comment: Option<mpsc::Sender<()>>) -> mpsc::Receiver<anyhow::Result<Answered>> {
    let (done, answer) = mpsc::channel();
    let caller = caller.clone();
    thread::spawn(move || done.send(call(&caller, stream, comment)).ok());
    answer
}

/// Calls the prompt of the story, and tells of the first comment as soon as it is there.
pub(super) fn call(caller: &Caller, stream: bool, mut comment: Option<mpsc::Sender<()>>) -> anyhow::Result<Answered> {
    let body = json!({
        "model": format!("prompt:{PROMPT}"),
        "messages": [],
        "variables": {"ticket": "I was charged twice"},
        "stream": stream,
    })
    .to_string();
    let mut connection = TcpStream::connect(&caller.address).context("connecting to the gateway")?;
    connection.set_read_timeout(Some(SILENCE_MAX)).context("bounding a read")?;
    let Caller { address, key } = caller;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(head.as_bytes()).context("calling")?;
    let mut answered = Answered { status: String::new(), retry_after: None, comments: 0, lines: Vec::new() };
    for line in BufReader::new(connection).lines() {
        let line = line.context("reading an answer")?;
        if answered.status.is_empty() {
            answered.status = line;
        } else if let Some(value) = line.strip_prefix("retry-after: ") {
            answered.retry_after = Some(value.to_owned());
        } else if line == COMMENT {
            answered.comments += 1;
            if let Some(comment) = comment.take() {
                // Who listens no longer has failed already.
                comment.send(()).ok();
            }
        } else {
            answered.lines.push(line);
        }
    }
    Ok(answered)
}

/// Looks whether the last call is long ago, as gateways tell the operator: one that is not would bring a pod.
fn is_quiet(cluster: &ControlPlane) -> anyhow::Result<bool> {
    let selector = "--selector=app.kubernetes.io/component=gateway";
    let names = "--output=jsonpath={.items[*].metadata.name}";
    let pods = cluster.kubectl(&["get", "pods", "--namespace", SYSTEM, selector, names])?;
    for pod in pods.split_whitespace() {
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/http:{pod}:7083/proxy/backends");
        let loads: Value = serde_json::from_str(&cluster.kubectl(&["get", "--raw", &path])?)?;
        let last = loads[PROJECT]["openai"]["last_call_seconds"].as_f64();
        if last.is_some_and(|seconds| seconds < FRESH_SECONDS) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until the operator asks for so many pods, of the ModelBackend and of its Deployment.
pub(super) fn is_at(cluster: &ControlPlane, replicas: &str) -> anyhow::Result<()> {
    until_within(PATIENCE, &format!("the model server is at {replicas}"), || {
        let asked = desk(cluster, &["get", "deployment", "openai", "--output=jsonpath={.spec.replicas}"]);
        Ok(asked.is_ok_and(|asked| asked == replicas))
    })
}

/// Waits until the ModelBackend says how its pods are.
fn says(cluster: &ControlPlane, reason: &str) -> anyhow::Result<()> {
    let mut last = String::new();
    let waited = until_within(PATIENCE, &format!("the model server is {reason}"), || {
        let backend = get(cluster, BACKEND)?;
        let conditions = backend["status"]["conditions"].as_array().cloned().unwrap_or_default();
        last = serde_json::to_string(&conditions)?;
        let serving = conditions.iter().find(|condition| condition["type"] == "Serving");
        Ok(serving.is_some_and(|serving| serving["reason"] == reason))
    });
    waited.with_context(|| format!("in {NAMESPACE}, it says {last}"))
}
