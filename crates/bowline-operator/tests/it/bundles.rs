//! From a tag to what is live, and what is told where that does not go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Server;
use crate::world::{DESK, PATIENCE, World, condition, events};

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_bundle_is_released_and_projected() {
    let world = World::new().await;
    let digest = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", digest).await;
    world.until_condition("main", "Ready", "True", "Released").await;
    assert_eq!(world.moves("prod").await, ["moved brief", "moved support/answer"]);

    let prompt = world.until("the prompt", |server| server.get("prompts", DESK, "support.answer")).await;
    assert_eq!(prompt["spec"]["prompt"], "support/answer");
    assert_eq!(prompt["metadata"]["ownerReferences"][0]["kind"], "PromptBundle");
    let version = world.until("the version", |server| {
        let all = server.all("promptversions").into_iter();
        all.filter(|version| version["spec"]["prompt"] == "support/answer")
            .find(|version| condition(version, "Released").is_some())
    });
    let version = version.await;
    assert_eq!(version["spec"]["bundle"], digest.to_string());
    assert_eq!(version["spec"]["author"], "Ada <ada@example.com>");
    assert_eq!(condition(&version, "Verified").unwrap()["message"], "signed by ci");
    assert_eq!(condition(&version, "Evaluated").unwrap()["status"], "Unknown", "no suite was asked for");
    assert_eq!(condition(&version, "Released").unwrap()["message"], "live in prod, staging");
    let live = world.until("what is live", |server| {
        let prompt = server.get("prompts", DESK, "support.answer")?;
        Some(prompt["status"]["environments"].clone()).filter(|live| live[0]["version"].is_string())
    });
    assert_eq!(live.await[0]["version"], version["spec"]["digest"], "one digest everywhere");
    let bundle = world.server.get("promptbundles", DESK, "main").unwrap();
    assert_eq!(bundle["status"]["commit"], version["spec"]["commit"]);
    let told: Vec<_> = events(&world.server, "PromptBundle").into_iter().map(|(reason, _)| reason).collect();
    assert!(told.contains(&"Verified".to_owned()) && told.contains(&"Released".to_owned()), "{told:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_starts_a_rollout_and_one_that_moves_again_supersedes_it() {
    let world = World::new().await;
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", first).await;

    let second = world.push("Answer at once.");
    world.until_released("main", second).await;
    let rollout = world.until_rollout("running").await;
    assert_eq!(rollout["metadata"]["name"], "support.answer-prod-1");
    assert_eq!(rollout["status"]["share"], "10%");
    assert_eq!(condition(&rollout, "Reconciling").unwrap()["reason"], "Running");
    let message = world.until_condition("main", "Reconciling", "True", "RollingOut").await;
    assert!(message.contains("1 in prod"), "{message}");

    let third = world.push("Answer at once, please.");
    world.until_released("main", third).await;
    world
        .until("both rollouts", |server| {
            let states: Vec<_> =
                server.all("promptrollouts").into_iter().map(|rollout| rollout["status"]["state"].clone()).collect();
            (states == [Value::from("superseded"), Value::from("running")]).then_some(())
        })
        .await;
    let bundle = world.server.get("promptbundles", DESK, "main").unwrap();
    assert_eq!(bundle["status"]["revision"], 3);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_it_should_be_is_not_written_again() {
    let world = World::new().await;
    let digest = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", digest).await;
    world.until_condition("main", "Ready", "True", "Released").await;
    world
        .until("versions", |server| {
            let all = server.all("promptversions");
            (all.len() == 2 && all.iter().all(|version| condition(version, "Ready").is_some())).then_some(())
        })
        .await;
    operator.stop().await;
    // Another one finds everything done: the source is read again, for what it remembers, and nothing is written.
    let (writes, fetched) = (world.server.writes(), world.registry.fetched());
    let before = world.server.get("promptbundles", DESK, "main");
    let operator = world.operator("b");
    world.until("another look", |_| (world.registry.fetched() > fetched).then_some(())).await;
    world
        .until("a projection", |_| {
            operator.metrics.encode().contains("reconciles_total{kind=\"Projection\"}").then_some(())
        })
        .await;
    let now = world.server.writes();
    assert_eq!(
        now[writes.len()..],
        [] as [String; 0],
        "{before:#?} {:#?}",
        world.server.get("promptbundles", DESK, "main")
    );
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_bundle_stalls_until_somebody_signs_it() {
    let world = World::new().await;
    world.registry.push("main", "Answer.", None);
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    let message = world.until_condition("main", "Stalled", "True", "VerificationFailed").await;
    assert!(message.contains("signed by ci: no signature by it"), "{message}");
    let bundle = world.server.get("promptbundles", DESK, "main").unwrap();
    assert_eq!(condition(&bundle, "Verified").unwrap()["status"], "False");
    assert_eq!(world.server.all("prompts"), [] as [Value; 0]);
    assert!(events(&world.server, "PromptBundle").iter().any(|(reason, _)| reason == "VerificationFailed"));
    world.registry.sign("main", "Answer.", &world.signing);
    world.until_condition("main", "Ready", "True", "Released").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_another_project_stalls() {
    let world = World::new().await;
    world.registry.push_of("other", "main", "Answer.", Some(&world.signing));
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    let message = world.until_condition("main", "Stalled", "True", "ProjectMismatch").await;
    assert!(message.contains("project `other`") && message.contains("project `desk`"), "{message}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_of_two_bundles_keeps_an_environment() {
    let world = World::new().await;
    let digest = world.push("Answer.");
    world.apply("main", &json!({ "metadata": { "creationTimestamp": "2026-11-25T07:00:00Z" } }));
    world.apply("other", &json!({ "spec": { "environments": ["prod"] } }));
    let operator = world.operator("a");
    world.until_released("main", digest).await;
    let message = world.until_condition("other", "Stalled", "True", "EnvironmentTaken").await;
    assert!(message.contains("`prod` is fed by PromptBundle `main`"), "{message}");
    // The older one goes, and the younger one has what it had.
    world.server.delete("promptbundles", DESK, "main");
    world.until_released("other", digest).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_stays_while_the_registry_is_down() {
    let world = World::new().await;
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", first).await;
    world.registry.down(true);
    world.until_condition("main", "Reconciling", "True", "RegistryUnavailable").await;
    let bundle = world.server.get("promptbundles", DESK, "main").unwrap();
    assert_eq!(condition(&bundle, "Ready").unwrap()["status"], "True", "what was released is there");
    world.registry.down(false);
    world.until_condition("main", "Ready", "True", "Released").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_are_made_again_when_their_kind_was_gone() {
    let world = World::new().await;
    let digest = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", digest).await;
    world.until("versions", |server| (server.all("promptversions").len() == 2).then_some(())).await;
    world.server.kind_delete("promptversions");
    world.server.kind_apply("promptversions");
    world.until("versions again", |server| (server.all("promptversions").len() == 2).then_some(())).await;
    world.server.delete("prompts", DESK, "brief");
    world.until("the prompt again", |server| server.get("prompts", DESK, "brief")).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_is_left_alone() {
    let world = World::new().await;
    let digest = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", digest).await;
    world.server.merge(
        "namespaces",
        "",
        DESK,
        &json!({ "metadata": { "deletionTimestamp": "2026-11-25T09:00:00Z", "finalizers": ["kubernetes"] } }),
    );
    world.server.delete("promptbundles", DESK, "main");
    for prompt in ["brief", "support.answer"] {
        world.server.delete("prompts", DESK, prompt);
    }
    world.push("Answer at once.");
    operator.stop().await;
    assert_eq!(world.server.all("prompts"), [] as [Value; 0], "nothing is written into a namespace that goes");
    assert_eq!(world.moves("prod").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_role_that_is_away_is_waited_for() {
    let world = World::new().await;
    let digest = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator_with("a", None);
    world.until_condition("main", "Reconciling", "True", "ControlUnavailable").await;
    operator.kill().await;
    let operator = world.operator("a");
    world.until_released("main", digest).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_failed_often_is_looked_at_once_the_control_role_answers() {
    let world = World::new().await;
    let is_there = Arc::new(AtomicBool::new(true));
    let (client, seen) = (world.client.clone(), Arc::clone(&is_there));
    let operator = world.operator_by("a", move || seen.load(Ordering::Relaxed).then(|| client.clone()));
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    world.until_released("main", first).await;
    let prompt = |server: &Server| Some(server.all("prompts").first()?["metadata"]["name"].as_str()?.to_owned());
    world.until("a projection", prompt).await;

    is_there.store(false, Ordering::Relaxed);
    let second = world.push("Answer at once.");
    // Each change is one failure more, after which the next look is minutes away.
    for seconds in 10..18 {
        world.apply("main", &json!({ "spec": { "source": { "pollInterval": format!("{seconds}s") } } }));
        let failed = |server: &Server| {
            let bundle = server.get("promptbundles", DESK, "main")?;
            let found = condition(&bundle, "Reconciling")?;
            let is_of = found["observedGeneration"] == bundle["metadata"]["generation"];
            (is_of && found["reason"] == "ControlUnavailable").then_some(())
        };
        world.until(&format!("failure {seconds}"), failed).await;
    }
    // Projections are looked at meanwhile, in vain; one that is being written just now is written once more.
    let noticed = tokio::time::timeout(PATIENCE, async {
        while !operator.metrics.encode().contains("errors_total{kind=\"Projection\"}") {
            if let Some(prompt) = prompt(&world.server) {
                world.server.delete("prompts", DESK, &prompt);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    noticed.await.unwrap();
    is_there.store(true, Ordering::Relaxed);
    world.until_released("main", second).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_at_the_control_role_is_shown_at_once() {
    let world = World::new().await;
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", first).await;
    let second = world.push("Answer at once.");
    world.until_released("main", second).await;
    world.until_rollout("running").await;
    let began = tokio::time::Instant::now();
    let request = json!({ "actor": "ada", "why": "sure" });
    let promoted: Value = world.client.post("/rollouts/1/promote", &request).await.unwrap();
    assert_eq!(promoted["state"], "promoted");
    let rollout = world.until_rollout("promoted").await;
    assert_eq!(rollout["status"]["share"], "100%");
    assert!(began.elapsed().as_secs() < 10, "not by the timer");
    world.until_condition("main", "Ready", "True", "Released").await;
    operator.stop().await;
}

/// As an object that was restored from a backup has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_control_role_has_seen_is_passed_and_not_repeated() {
    let world = World::new().await;
    world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    for text in ["Answer.", "Answer at once.", "Answer at once, please."] {
        let digest = world.push(text);
        world.until_released("main", digest).await;
    }
    operator.stop().await;
    world.server.merge("promptbundles", DESK, "main", &json!({ "status": null }));
    let digest = world.push("Answer at once, if you please.");
    let operator = world.operator("b");
    world.until_released("main", digest).await;
    let bundle = world.server.get("promptbundles", DESK, "main").unwrap();
    assert!(bundle["status"]["revision"].as_i64().unwrap() > 3, "{bundle}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_role_that_was_restored_from_a_backup_is_told_again() {
    let mut world = World::new().await;
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", first).await;
    world.backup().await;
    let second = world.push("Answer at once.");
    world.until_released("main", second).await;
    let lost = world.until_rollout("running").await;
    operator.stop().await;

    world.restore().await;
    assert_eq!(world.moves("prod").await.len(), 2);
    let operator = world.operator("b");
    world.until_released("main", second).await;
    // The object is there all along, so it is the control role that is asked.
    let again = tokio::time::timeout(PATIENCE, async {
        let mut at = Value::from(0);
        loop {
            let running: Value = world.client.get("/rollouts?active=true").await.unwrap();
            if let Some(rollout) = running.as_array().unwrap().first() {
                return rollout.clone();
            }
            let changed: Value = world.client.get(&format!("/changes?after={at}&wait=5")).await.unwrap();
            at = changed["at"].clone();
        }
    });
    let again = again.await.expect("the release is made again");
    assert_eq!(again["candidate"], lost["spec"]["candidate"]);
    assert_eq!(world.moves("prod").await.len(), 3, "once");
    operator.stop().await;

    // Another bundle meanwhile: the number of the rollout that was lost comes again, and is another rollout.
    world.restore().await;
    let third = world.push("Answer at once, please.");
    let operator = world.operator("c");
    world.until_released("main", third).await;
    let candidate = |server: &Server| {
        let rollouts = server.all("promptrollouts");
        let [rollout] = &rollouts[..] else { return None };
        (rollout["metadata"]["name"] == lost["metadata"]["name"]
            && rollout["spec"]["candidate"] != lost["spec"]["candidate"])
            .then_some(())
    };
    world.until("the rollout that has the number now", candidate).await;
    operator.stop().await;
}
