//! A control role for other machines: the command line over TLS, those who watch it, and tokens that are replaced while it runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use super::certificates;
use super::cluster::{PATIENCE, Role};
use crate::project::Project;

/// Runs a command as on another machine, with what is known there; returns whether it went well, and what it printed.
fn elsewhere(project: &Project, arguments: &[&str], address: &str, token: &str, authority: &Path) -> (bool, String) {
    let mut command = project.command(arguments);
    command.env("BOWLINE_CONTROL", format!("https://{address}")).env("BOWLINE_ADMIN_TOKEN", token);
    let output = command.env("BOWLINE_CONTROL_CA", authority).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

async fn get(uri: String) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.get(uri.parse().unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_machines_release_over_tls_with_tokens_that_are_replaced() {
    let (project, folder) = (Project::new(), tempfile::tempdir().unwrap());
    certificates::issue(folder.path(), &["control"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, token) in [("admin", "bwa_first"), ("gateway", "bwg_first")] {
        fs::write(path(name), format!("{token}\n")).unwrap();
    }
    let (cert, key) = (path("control.pem"), path("control.key"));
    let (admin, gateway) = (format!("file:{}", path("admin")), format!("file:{}", path("gateway")));
    let arguments = [
        ["--roles", "control"],
        ["--control-listen", "127.0.0.1:0"],
        ["--internal-listen", "127.0.0.1:0"],
        ["--api-listen", "127.0.0.1:0"],
        ["--admin-listen", "127.0.0.1:0"],
        ["--tls-cert", &cert],
        ["--tls-key", &key],
        ["--admin-token", &admin],
        ["--gateway-tokens", &gateway],
    ];
    let data = folder.path().join("data");
    let control = Role::start(&project, &data, arguments.as_flattened(), None).wait().await;
    let (api, authority) = (control.address("api"), folder.path().join("ca.pem"));
    let run = |arguments: &[&str], token: &str| elsewhere(&project, arguments, &api, token, &authority);
    let (is_released, told) = run(&["release", "--env", "dev"], "bwa_first");
    // `dev` is served from the working tree; what matters is who says so.
    assert!(!is_released && told.contains("takes its versions from `worktree`"), "{told}");
    let (is_released, told) = run(&["release", "--env", "prod"], "bwa_first");
    assert!(is_released && told.contains("live in prod"), "{told}");
    let (is_made, told) =
        run(&["key", "create", "app", "--env", "prod", "--subject", "system:serviceaccount:shop:app"], "bwa_first");
    assert!(is_made && told.starts_with("key_"), "{told}");
    let (_, told) = run(&["key", "list"], "bwa_first");
    assert!(told.contains("system:serviceaccount:shop:app"), "{told}");
    assert!(
        !data.join("admin.token").exists() && !data.join("gateway.token").exists(),
        "nobody asked for other tokens"
    );

    let others = tempfile::tempdir().unwrap();
    certificates::issue(others.path(), &[]);
    let (is_let, told) = elsewhere(&project, &["env", "list"], &api, "bwa_first", &others.path().join("ca.pem"));
    assert!(!is_let && told.contains("could not reach the control API"), "{told}");
    let (is_let, told) = run(&["env", "list"], "bwg_first");
    assert!(!is_let && told.contains("needs the admin token"), "{told}");

    let watched = control.address("admin");
    assert_eq!(get(format!("http://{watched}/healthz")).await, (200, "ok\n".to_owned()));
    assert_eq!(get(format!("http://{watched}/readyz")).await.0, 200);
    assert!(get(format!("http://{watched}/metrics")).await.1.contains("bowline_build"));
    assert_eq!(get(format!("http://{watched}/api/v1/projects")).await.0, 404);

    // What cannot be used is told, and those before stay in use.
    fs::write(path("admin"), "\n").unwrap();
    let until_told = Instant::now() + PATIENCE;
    while !control.log().contains("admin tokens could not be read again") {
        assert!(Instant::now() < until_told, "{}", control.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(run(&["env", "list"], "bwa_first").0);
    fs::write(path("admin"), "bwa_first\nbwa_second\n").unwrap();
    let until_known = Instant::now() + PATIENCE;
    while !run(&["env", "list"], "bwa_second").0 {
        assert!(Instant::now() < until_known, "{}", control.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(run(&["env", "list"], "bwa_first").0);
    assert!(control.stop().await);
}

#[test]
fn the_admin_token_does_not_leave_in_the_clear() {
    let project = Project::new();
    for address in ["control.internal:7081", "http://10.0.0.3:7081"] {
        let ran = project.bowline(&["--control", address, "env", "list"]);
        assert_eq!(ran.code, 1, "{}", ran.seen());
        for said in ["the admin token over plain HTTP beyond this machine", "hint: `https://`"] {
            assert!(ran.seen().contains(said), "{}", ran.seen());
        }
    }
}
