use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::go::Package;
use crate::helm::{NAMESPACE, ROLES};
use crate::workspace::Workspace;

/// The engine of Prometheus.
const PROMQL: Package<'static> = Package { folder: "tests/go/promql", path: ".", program: "promql", values: &[] };
/// Samples of a series, one a minute.
const MINUTES: u32 = 11;

/// What a metric shows over some minutes.
enum Shows {
    /// The same all the while.
    Stays(f64),
    /// More every minute.
    Grows(f64),
    /// One more in the last minute.
    Jumps,
}

use Shows::{Grows, Jumps, Stays};

/// A metric, its labels beside the namespace, and what it shows.
type Series = (&'static str, &'static [(&'static str, &'static str)], Shows);

/// What metrics show at a time.
type Scene = &'static [Series];

/// An alert, when it fires, and when it does not though it is near.
type Alert = (&'static str, &'static [Scene], &'static [Scene]);

const ALERTS: [Alert; 10] = [
    (
        "BowlineSnapshotStale",
        &[&[("bowline_snapshot_age_seconds", &[("pod", "bowline-gateway-a")], Stays(61.0))]],
        &[&[("bowline_snapshot_age_seconds", &[("pod", "bowline-gateway-a")], Stays(59.0))], &[]],
    ),
    (
        "BowlineNoGateway",
        &[&[], &[("bowline_requests_in_flight", &[("pod", "bowline-control-0")], Stays(0.0))]],
        &[&[("bowline_requests_in_flight", &[("pod", "bowline-gateway-a")], Stays(0.0))]],
    ),
    (
        "BowlineSpoolFilling",
        &[&[("bowline_spool_oldest_seconds", &[("pod", "bowline-gateway-a")], Stays(301.0))]],
        &[&[("bowline_spool_oldest_seconds", &[("pod", "bowline-gateway-a")], Stays(299.0))], &[]],
    ),
    (
        "BowlineRecordsLost",
        &[&[("bowline_records_lost_total", &[("pod", "bowline-gateway-a"), ("arm", "stable")], Jumps)]],
        &[&[("bowline_records_lost_total", &[("pod", "bowline-gateway-a"), ("arm", "stable")], Stays(7.0))], &[]],
    ),
    (
        "BowlineTokensUnreviewed",
        &[&[("bowline_token_reviews_total", &[("pod", "bowline-gateway-a"), ("result", "failed")], Jumps)]],
        &[
            &[("bowline_token_reviews_total", &[("pod", "bowline-gateway-a"), ("result", "failed")], Stays(3.0))],
            &[("bowline_token_reviews_total", &[("pod", "bowline-gateway-a"), ("result", "refused")], Grows(9.0))],
        ],
    ),
    (
        "BowlineRolloutHeld",
        &[&[("bowline_rollout_state", &[("rollout", "3"), ("state", "held")], Stays(1.0))]],
        &[
            &[("bowline_rollout_state", &[("rollout", "3"), ("state", "held")], Stays(0.0))],
            &[("bowline_rollout_state", &[("rollout", "3"), ("state", "running")], Stays(1.0))],
        ],
    ),
    (
        "BowlineRolledBack",
        &[&[("bowline_rollout_state", &[("rollout", "3"), ("state", "rolled_back")], Stays(1.0))]],
        &[&[("bowline_rollout_state", &[("rollout", "3"), ("state", "promoted")], Stays(1.0))]],
    ),
    (
        "BowlineControlDown",
        &[&[], &[("bowline_gateways_waiting", &[("pod", "bowline-gateway-a")], Stays(0.0))]],
        &[&[("bowline_gateways_waiting", &[("pod", "bowline-control-0")], Stays(0.0))]],
    ),
    (
        "BowlineOperatorNotLeading",
        &[&[], &[("bowline_operator_leader", &[("pod", "bowline-operator-a")], Stays(0.0))]],
        &[&[
            ("bowline_operator_leader", &[("pod", "bowline-operator-a")], Stays(0.0)),
            ("bowline_operator_leader", &[("pod", "bowline-operator-b")], Stays(1.0)),
        ]],
    ),
    (
        "BowlineOperatorFailing",
        &[&[("bowline_operator_errors_total", &[("kind", "PromptBundle")], Grows(0.5))]],
        &[&[("bowline_operator_errors_total", &[("kind", "PromptBundle")], Grows(0.2))], &[]],
    ),
];

/// Has Prometheus' own engine evaluate every alert, where it must fire and where it must not, and read every query of the dashboard.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let alerts = alerts(workspace)?;
    let tested: BTreeSet<&str> = ALERTS.iter().map(|(name, ..)| *name).collect();
    let written: BTreeSet<&str> = alerts.iter().map(|(name, _)| name.as_str()).collect();
    anyhow::ensure!(tested == written, "alerts.yaml has {written:?}, of which {tested:?} are tried");
    let (mut expected, mut queries) = (Vec::new(), Vec::new());
    for (name, fires, silent) in ALERTS {
        let expr = alerts.iter().find(|(written, _)| written == name).map(|(_, expr)| expr.as_str());
        let scenes = fires.iter().map(|scene| (scene, true)).chain(silent.iter().map(|scene| (scene, false)));
        for (scene, is_firing) in scenes {
            expected.push((name, is_firing));
            queries.push(json!({"expr": expr, "series": scene.iter().map(series).collect::<Value>()}));
        }
    }
    for (query, (answer, (name, is_firing))) in
        queries.iter().zip(PROMQL.ask(workspace, queries.clone())?.iter().zip(&expected))
    {
        anyhow::ensure!(answer["error"].is_null(), "{name}: {}", answer["error"]);
        let fired = answer["found"].as_array().is_some_and(|found| !found.is_empty());
        anyhow::ensure!(fired == *is_firing, "{name} {}: {query}", if fired { "fires" } else { "does not fire" });
    }
    let dashboard = dashboard(workspace)?;
    anyhow::ensure!(dashboard.len() > 10, "the dashboard has {} queries", dashboard.len());
    let queries = dashboard.iter().map(|expr| json!({"expr": expr})).collect();
    for (expr, answer) in dashboard.iter().zip(PROMQL.ask(workspace, queries)?) {
        anyhow::ensure!(answer["error"].is_null(), "{expr}: {}", answer["error"]);
    }
    println!("{} times an alert had to fire or not, {} queries of the dashboard", expected.len(), dashboard.len());
    Ok(())
}

/// Returns the alerts, each with its expression.
fn alerts(workspace: &Workspace) -> anyhow::Result<Vec<(String, String)>> {
    let text = workspace.text(&Path::new(ROLES).join("files/alerts.yaml"))?;
    let rules: Value = serde_saphyr::from_str(&text).context("reading the alerts")?;
    let groups = rules["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    rules.map(|rule| text(&rule["alert"]).zip(text(&rule["expr"])).context("a rule is an alert")).collect()
}

/// Returns the queries of the dashboard, with the step that Grafana would fill in.
fn dashboard(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(&workspace.text(&Path::new(ROLES).join("files/dashboard.json"))?)?;
    let (mut queries, mut open) = (Vec::new(), vec![&dashboard]);
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                queries
                    .extend(fields.get("expr").and_then(Value::as_str).map(|it| it.replace("$__rate_interval", "5m")));
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    Ok(queries)
}

fn series((name, labels, shows): &Series) -> Value {
    let always = [("__name__", *name), ("namespace", NAMESPACE)];
    let labels: Map<String, Value> =
        labels.iter().chain(&always).map(|(label, value)| ((*label).to_owned(), json!(value))).collect();
    let value = |minute: u32| match shows {
        Stays(value) => *value,
        Grows(by) => by * f64::from(minute),
        Jumps => f64::from(u8::from(minute + 1 == MINUTES)),
    };
    json!({"labels": labels, "values": (0..MINUTES).map(value).collect::<Vec<_>>()})
}
