//! How roles start: cold, with certificates, and not at all.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::cluster::{Caller, Cluster, GatewayOptions, PATIENCE, Role};
use super::{certificates, served};
use crate::project::Project;

/// Units that call.
const UNITS: usize = 24;

/// Calls for some units; returns the arms that they got, and that every answer was whole.
async fn arms(cluster: &Cluster, key: &str, round: &str) -> BTreeSet<String> {
    let caller = Caller {
        name: String::new(),
        pool: cluster.pool.clone(),
        gateway: cluster.gateway(0),
        key: key.to_owned(),
        counted: std::sync::Arc::default(),
        pace: Duration::ZERO,
    };
    let mut arms = BTreeSet::new();
    for unit in 0..UNITS {
        let body = json!({"model": "prompt:hello"});
        let answer = caller.post("/v1/chat/completions", &format!("{round}-{unit}"), &body).await.unwrap();
        assert_eq!(answer.status, 200);
        arms.insert(answer.headers.get("x-bowline-arm").map_or("", |arm| arm.to_str().unwrap()).to_owned());
    }
    arms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_cold_and_serves_stable_until_its_leases_are_renewed() {
    let mut cluster = Cluster::start(&[GatewayOptions::default()]).await;
    let key = cluster.key("prod").await;
    let deadline = Instant::now() + PATIENCE;
    while served(&cluster, 0, &key, "prompt:hello").await.is_none() {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(arms(&cluster, &key, "before").await.len(), 2);
    cluster.control_kill();
    cluster.gateways[0].take().unwrap().kill();
    cluster.gateway_start(0).await;
    // Nobody is there to judge, and nobody knows for how long that has been so.
    assert_eq!(arms(&cluster, &key, "cold").await, BTreeSet::from([String::new()]));
    assert!(cluster.metric(0, "bowline_snapshot_age_seconds").await < 60.0);
    cluster.control_start().await;
    let deadline = Instant::now() + PATIENCE;
    while arms(&cluster, &key, "after").await.len() < 2 {
        assert!(Instant::now() < deadline, "the lease is not renewed");
    }

    // A snapshot that is damaged is not served from; the gateway waits.
    cluster.control_kill();
    cluster.gateways[0].take().unwrap().kill();
    let data = cluster.folder.path().join("gateway-0");
    fs::write(data.join("snapshot.json"), "{\"schema_version\":1").unwrap();
    let listen = fs::read_to_string(data.join("address.txt")).unwrap();
    let control = format!("http://{}", cluster.control_addresses.1);
    let token = format!("file:{}", cluster.folder.path().join("control/gateway.token").display());
    let arguments = ["--roles", "gateway", "--control", &control, "--token", &token, "--listen", &listen];
    let arguments = [&arguments[..], &["--admin-listen", "127.0.0.1:0"]].concat();
    let role = Role::start(&cluster.project, &data, &arguments, None).wait().await;
    let ready = cluster.get(&format!("http://{}/readyz", role.address("admin"))).await.unwrap();
    assert_eq!(ready.status, 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("no snapshot has come yet"));
    cluster.control_start().await;
    cluster.ready(&role).await;
    cluster.gateways[0] = Some(role);
    assert_eq!(arms(&cluster, &key, "whole").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_with_a_certificate_are_let_in_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    certificates::issue(folder.path(), &["control", "gateway"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tls = |name: &str| [path(&format!("{name}.pem")), path(&format!("{name}.key")), path("ca.pem")];
    let [cert, tls_key, ca] = tls("control");
    let cluster = Cluster::start_with(&[], &["--tls-cert", &cert, "--tls-key", &tls_key, "--tls-ca", &ca]).await;
    let control = format!("https://{}", cluster.control_addresses.1);
    let [cert, tls_key, ca] = tls("gateway");
    let start = |data: &str, more: &[&str]| {
        let arguments = ["--roles", "gateway", "--control", &control, "--listen", "127.0.0.1:0"];
        let arguments = [&arguments[..], &["--admin-listen", "127.0.0.1:0"], more].concat();
        Role::start(&cluster.project, &cluster.folder.path().join(data), &arguments, None)
    };
    let ours = start("ours", &["--tls-cert", &cert, "--tls-key", &tls_key, "--tls-ca", &ca]).wait().await;
    cluster.ready(&ours).await;

    // Of another authority; and with a token alone, where a certificate is asked for.
    let others = tempfile::tempdir().unwrap();
    certificates::issue(others.path(), &["gateway"]);
    let other = |name: &str| others.path().join(name).display().to_string();
    let theirs =
        start("theirs", &["--tls-cert", &other("gateway.pem"), "--tls-key", &other("gateway.key"), "--tls-ca", &ca]);
    let token = format!("file:{}", path("ca.pem"));
    let none = start("none", &["--token", &token, "--tls-ca", &ca]);
    for role in [theirs.wait().await, none.wait().await] {
        let deadline = Instant::now() + PATIENCE;
        while !role.log().contains("no news from the control role") {
            assert!(Instant::now() < deadline, "{}", role.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ready = cluster.get(&format!("http://{}/readyz", role.address("admin"))).await.unwrap();
        assert_eq!(ready.status, 503);
    }
    assert!(ours.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_roles_fit_into_one_process() {
    let both = ["--roles", "gateway", "--listen", "127.0.0.1:0"];
    let mut cluster = Cluster::start_with(&[], &both).await;
    let key = cluster.key("prod").await;
    let control = cluster.control.take().unwrap();
    let caller = Caller {
        name: "unit".to_owned(),
        pool: cluster.pool.clone(),
        gateway: control.address("gateway"),
        key,
        counted: std::sync::Arc::default(),
        pace: Duration::from_millis(1),
    };
    let (stop, counted) = (tokio_util::sync::CancellationToken::new(), std::sync::Arc::clone(&caller.counted));
    let deadline = Instant::now() + PATIENCE;
    // A new key reaches the gateway as any change does: a moment later. What is no feedback leaves no record.
    while caller.post("/v1/feedback", "-", &json!({})).await.is_none_or(|answer| answer.status == 401) {
        assert!(Instant::now() < deadline, "the gateway does not learn of a key");
    }
    let enough = async {
        while counted.lock().unwrap().judgements.len() < 20 {
            assert!(Instant::now() < deadline, "{counted:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    tokio::join!(caller.run(stop.clone()), enough);
    assert!(control.stop().await);
    let counted = std::mem::take(&mut *counted.lock().unwrap());
    assert_eq!(counted.failed, [""; 0]);
    assert_eq!(counted.broken, 0);
    let database = rusqlite::Connection::open(cluster.folder.path().join("control/store/bowline.db")).unwrap();
    let records: usize = database.query_one("SELECT count(*) FROM inference", [], |row| row.get(0)).unwrap();
    assert_eq!(records, counted.answers.len());
}

#[test]
fn what_does_not_fit_is_refused_before_anything_serves() {
    let project = Project::new();
    let check = |arguments: &str, expected: &str| {
        let arguments = format!("serve --data {} {arguments}", project.path().join("data").display());
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let ran = project.bowline(&arguments);
        assert!(ran.code != 0 && ran.stderr.contains(expected), "{arguments:?}\n{}", ran.stderr);
    };
    let hint = "hint: `--control http://HOST:7082`";
    check("--roles gateway", hint);
    check("--roles gateway --control http://127.0.0.1:9", "hint: `--token file:PATH`");
    check("--roles gateway --control http://control.internal:7082 --token env:T", "plain HTTP beyond this machine");
    check("--roles gateway --control 127.0.0.1:9 --token env:T", "is no address of a control role");
    check("--roles gateway --control https://127.0.0.1:9 --token sk-raw", "not a reference to a secret");
    let ran = project.bowline(&[
        "serve",
        "--data",
        "d",
        "--roles",
        "gateway",
        "--control",
        "https://a:1",
        "--token",
        "sk-raw",
    ]);
    assert!(ran.code == 1 && !ran.stderr.contains("sk-raw"), "{}", ran.stderr);
    check("--roles gateway --control https://127.0.0.1:9 --tls-cert a --tls-key b", "could not read a");
    check("--roles control --control-listen 127.0.0.1:0 --internal-listen 0.0.0.0:0", "plain HTTP beyond this machine");
    check("--roles control --control-listen 127.0.0.1:0 --internal-listen 127.0.0.1:0 --tls-ca a", "a server needs");
    let control = "--roles control --control-listen 127.0.0.1:0 --internal-listen 127.0.0.1:0";
    check(&format!("{control} --api-listen 0.0.0.0:0"), "`--api-listen 0.0.0.0:");
    check(&format!("{control} --admin-token bwa_raw"), "`--admin-token` must say where the token is");
    check(&format!("{control} --admin-token file:/not/there"), "`file:/not/there` is not there, or cannot be read");
    check(&format!("{control} --gateway-tokens file:/dev/null"), "`file:/dev/null` cannot be used");
    check(
        "--roles gateway --control http://127.0.0.1:9 --token env:T --kubernetes-audience=",
        "`--kubernetes-audience` is empty",
    );
    check("--roles queen", "invalid value 'queen'");
    check("--roles gateway --spool-bytes-max 0MiB", "is no size");
    check("", "--roles <ROLES>");
}
