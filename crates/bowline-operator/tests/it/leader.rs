//! Two operators, and the Secrets that they make at their first start.

use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_leads_and_the_other_follows_when_it_stops() {
    let world = World::new().await;
    let first = world.push("Answer.");
    world.apply("main", &json!({}));
    let (a, b) = (world.operator("a"), world.operator("b"));
    world.until_released("main", first).await;
    assert!(a.leads() != b.leads(), "exactly one leads");
    let (leader, other) = if a.leads() { (a, b) } else { (b, a) };
    leader.stop().await;
    let second = world.push("Answer at once.");
    world.until_released("main", second).await;
    assert!(other.leads());
    other.stop().await;
    let lease = world.server.get("leases", "bowline-system", "bowline-operator").unwrap();
    assert!(lease["spec"].get("holderIdentity").is_none(), "it was given back: {lease}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_made_once_by_whoever_is_first() {
    let world = World::new().await;
    let (a, b) = (world.operator("a"), world.operator("b"));
    let secret = |name: &'static str| world.until(name, move |server| server.get("secrets", "bowline-system", name));
    let (tokens, authority, certificate) =
        (secret("bowline-tokens").await, secret("bowline-ca").await, secret("bowline-tls").await);
    assert_eq!(certificate["data"]["ca.crt"], authority["data"]["ca.crt"]);
    assert!(certificate["data"].get("ca.key").is_none(), "only the operator has the key of the authority");
    a.stop().await;
    b.stop().await;
    let again = world.operator("c");
    world.until("a leader", |_| again.leads().then_some(())).await;
    again.stop().await;
    assert_eq!(world.server.get("secrets", "bowline-system", "bowline-tokens"), Some(tokens));
    assert_eq!(world.server.get("secrets", "bowline-system", "bowline-tls"), Some(certificate));
}
