//! Levers: what a person asks for with an annotation.

use serde_json::{Value, json};

use crate::world::{DESK, Running, World, condition, events};

/// A world in which a rollout runs in `prod`.
async fn in_rollout() -> (World, Running) {
    let world = World::new().await;
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", first).await;
    let second = world.push("Answer at once.");
    world.until_released("main", second).await;
    world.until_rollout("running").await;
    (world, operator)
}

fn annotate(world: &World, kind: &str, name: &str, annotations: &Value) {
    world.server.merge(kind, DESK, name, &json!({ "metadata": { "annotations": annotations } }));
}

/// Waits for the answer to a lever, and returns it with the object.
async fn answer(world: &World, kind: &str, name: &str) -> (Value, Value) {
    world
        .until("an answer to the lever", |server| {
            let object = server.get(kind, DESK, name)?;
            let annotations = object["metadata"]["annotations"].as_object()?;
            let pulled = annotations.keys().any(|key| {
                ["abort", "promote", "rollback", "actor", "rollback-from"]
                    .iter()
                    .any(|end| *key == format!("bowline.dev/{end}"))
            });
            let handled = condition(&object, "LeverHandled").cloned()?;
            (!pulled).then_some((handled, object))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_aborted_and_says_by_whom_and_why() {
    let (world, operator) = in_rollout().await;
    let name = "support.answer-prod-1";
    annotate(
        &world,
        "promptrollouts",
        name,
        &json!({ "bowline.dev/abort": "angry customers", "bowline.dev/actor": "ada" }),
    );
    let (handled, object) = answer(&world, "promptrollouts", name).await;
    assert_eq!((&handled["status"], &handled["reason"]), (&json!("True"), &json!("Aborted")));
    assert!(handled["message"].as_str().unwrap().contains("by ada (angry customers)"), "{handled}");
    assert_eq!(object["status"]["lever"]["actor"], "ada");
    let rollout = world.until_rollout("aborted").await;
    assert!(condition(&rollout, "LeverHandled").is_some(), "the answer stays when the state changes");
    assert_eq!(condition(&rollout, "Ready").unwrap()["reason"], "Aborted");
    let told = events(&world.server, "PromptRollout");
    assert!(told.iter().any(|(reason, note)| reason == "LeverHandled" && note.contains("ada")), "{told:?}");
    // The loser is held, which the bundle says.
    let log: Value = world.client.get("/environments/prod/log").await.unwrap();
    assert_eq!((&log["rows"][0]["action"], &log["rows"][0]["actor"]), (&json!("aborted"), &json!("ada")));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lever_that_comes_too_late_is_refused_with_a_reason() {
    let (world, operator) = in_rollout().await;
    let name = "support.answer-prod-1";
    annotate(&world, "promptrollouts", name, &json!({ "bowline.dev/promote": "", "bowline.dev/actor": "ada" }));
    answer(&world, "promptrollouts", name).await;
    world.until_rollout("promoted").await;
    annotate(&world, "promptrollouts", name, &json!({ "bowline.dev/abort": "too late", "bowline.dev/actor": "bob" }));
    let told = |server: &crate::server::Server| {
        events(server, "PromptRollout").iter().any(|(reason, _)| reason == "LeverRefused")
    };
    let refused = world.until("a refusal", |server| {
        told(server).then_some(())?;
        let object = server.get("promptrollouts", DESK, name)?;
        condition(&object, "LeverHandled").filter(|handled| handled["reason"] == "Refused").cloned()
    });
    assert!(refused.await["message"].as_str().unwrap().contains("by bob"));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_rolled_back_once_however_often_it_is_tried() {
    let (world, operator) = in_rollout().await;
    annotate(&world, "promptrollouts", "support.answer-prod-1", &json!({ "bowline.dev/promote": "sure" }));
    world.until_rollout("promoted").await;
    operator.stop().await;
    let before = world.moves("prod").await.len();
    annotate(
        &world,
        "prompts",
        "support.answer",
        &json!({ "bowline.dev/rollback": "prod angry customers", "bowline.dev/actor": "ada" }),
    );
    // Each attempt ends one write later, with and without that write being done.
    for (identity, cut) in (1..=4).flat_map(|writes| [(writes, false), (writes, true)]).enumerate() {
        world.server.cut_after(cut.0, cut.1);
        let operator = world.operator(&format!("crash-{identity}"));
        let down = world.until("the crash, or the end", |server| {
            let prompt = server.get("prompts", DESK, "support.answer").unwrap();
            let done = prompt["metadata"]["annotations"].get("bowline.dev/rollback").is_none();
            (server.is_down() || done).then_some(())
        });
        down.await;
        operator.kill().await;
        world.server.heal();
        world.server.delete("leases", "bowline-system", "bowline-operator");
    }
    let operator = world.operator("last");
    let (handled, _) = answer(&world, "prompts", "support.answer").await;
    assert_eq!((&handled["status"], &handled["reason"]), (&json!("True"), &json!("RolledBack")), "{handled}");
    let moves = world.moves("prod").await;
    assert_eq!(moves[before..], ["moved support/answer"], "one lever, one move");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_frozen_while_the_annotation_is_there() {
    let world = World::new().await;
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    let operator = world.operator("a");
    world.until_released("main", first).await;
    annotate(
        &world,
        "promptbundles",
        "main",
        &json!({ "bowline.dev/freeze": "prod holidays", "bowline.dev/actor": "ada" }),
    );
    world.until_condition("main", "LeverHandled", "True", "Frozen").await;
    let second = world.push("Answer at once.");
    let message = world.until_condition("main", "Reconciling", "True", "Frozen").await;
    assert!(message.contains("`prod` is frozen by ada: holidays"), "{message}");
    let bundle = world.server.get("promptbundles", DESK, "main").unwrap();
    let digests: Vec<_> =
        bundle["status"]["environments"].as_array().unwrap().iter().map(|found| found["digest"].clone()).collect();
    assert_eq!(digests, [json!(second.to_string()), json!(first.to_string())], "staging went on");
    annotate(&world, "promptbundles", "main", &json!({ "bowline.dev/freeze": null, "bowline.dev/actor": null }));
    world.until_released("main", second).await;
    operator.stop().await;
}
