//! The operator is killed between any two writes, and what comes of it is the same.

use serde_json::json;

use crate::server::Server;
use crate::world::{DESK, World, condition};

/// The writes that one whole run may take at most; a crash after each of them is tried.
const WRITES_MAX: usize = 40;

fn is_done(server: &Server) -> Option<()> {
    let bundle = server.get("promptbundles", DESK, "main")?;
    let ready = condition(&bundle, "Ready")?["status"] == "True";
    let secret = server.get("secrets", DESK, "app-key").is_some();
    let versions = server.all("promptversions");
    let prompts = server.all("prompts");
    let whole = versions.len() == 2 && prompts.len() == 2;
    let told = versions.iter().chain(&prompts).all(|object| condition(object, "Ready").is_some());
    let keys = bundle["status"]["keys"].as_array().is_some_and(|keys| keys.len() == 1);
    (ready && secret && whole && told && keys).then_some(())
}

/// Whatever write the process ends after, and whether or not that write was done: everything is there once, and nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_writes_loses_and_doubles_nothing() {
    let world = World::new().await;
    world.push("Answer.");
    world.apply("main", &json!({ "spec": { "keys": [{ "secretName": "app-key", "environment": "prod" }] } }));
    let mut crashes = 0;
    for (number, done) in (0..WRITES_MAX).map(|number| (number, number % 2 == 0)) {
        if is_done(&world.server).is_some() {
            break;
        }
        // With two writes from each start there is progress, and every boundary between two writes is met.
        world.server.cut_after(2, done);
        let operator = world.operator(&format!("crash-{number}"));
        world
            .until("the crash, or the end", |server| (server.is_down() || is_done(server).is_some()).then_some(()))
            .await;
        operator.kill().await;
        world.server.heal();
        // Whoever comes next does not wait for the lease of the dead one here.
        world.server.delete("leases", "bowline-system", "bowline-operator");
        crashes += 1;
    }
    assert!(crashes > 5, "{crashes} crashes are too few to say anything");
    let operator = world.operator("last");
    world.until("the end", is_done).await;
    operator.stop().await;
    assert_eq!(world.moves("prod").await, ["moved brief", "moved support/answer"], "no release was doubled");
    assert_eq!(world.moves("staging").await, ["moved brief", "moved support/answer"]);
    let keys: serde_json::Value = world.client.get("/keys").await.unwrap();
    let working = keys["keys"].as_array().unwrap().iter().filter(|key| key["revoked_at"].is_null()).count();
    assert_eq!(working, 1, "no key is left that nobody has");
}
