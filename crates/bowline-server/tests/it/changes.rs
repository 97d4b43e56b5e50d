//! Waiting for changes of a project, and releases that keep their order.

use std::time::Duration;

use bowline_server::wire::{ActionRequest, ChangesView, KeyRequest, ReleaseRequest};
use bowline_server::{Client, ClientError, Error};
use bowline_store::Fence;
use bowline_types::ErrorKind;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::{TOKEN, routes};
use crate::world::{World, classify, prod, project, release_prompt, release_request};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(30);

async fn now(world: &World) -> u64 {
    world.control.changes(&project(), None, LONG).await.unwrap()
}

/// Waits beside a change; returns the number before and after it.
async fn beside(world: &mut World, change: impl AsyncFnOnce(&mut World)) -> (u64, u64) {
    let (before, control) = (now(world).await, world.control.clone());
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { control.changes(&project(), Some(before), LONG).await.unwrap() });
    change(world).await;
    (before, waiting.join_next().await.unwrap().unwrap())
}

#[tokio::test]
async fn whoever_waits_learns_of_every_kind_of_change() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let freeze = |off| ActionRequest { actor: "ada".to_owned(), why: "holiday".to_owned(), off };
    let started = Instant::now();
    let mut seen = vec![now(&world).await];
    let mut note = |(before, after): (u64, u64)| {
        assert_eq!(seen.last(), Some(&before));
        assert!(!seen.contains(&after), "{after} came twice");
        seen.push(after);
    };
    note(beside(&mut world, async |world| drop(world.release("v2", 0.9).await)).await);
    // Observations, which move no pointer.
    world.traffic(&classify(), 60).await;
    note(beside(&mut world, async |world| world.control.tick().await.unwrap()).await);
    note(
        beside(&mut world, async |world| world.control.freeze(&project(), &prod(), freeze(false)).await.unwrap()).await,
    );
    note(
        beside(&mut world, async |world| world.control.freeze(&project(), &prod(), freeze(true)).await.unwrap()).await,
    );
    let request = || KeyRequest {
        name: "app".to_owned(),
        environment: prod(),
        environments: vec![],
        versions: false,
        subject: None,
        replaces: None,
    };
    let (before, control) = (now(&world).await, world.control.clone());
    let made = control.key_create(&project(), request()).await.unwrap();
    note((before, now(&world).await));
    let id = made.record.id;
    note(beside(&mut world, async |world| world.control.key_revoke(&project(), id).await.unwrap()).await);
    assert!(started.elapsed() < LONG / 2, "somebody waited in vain");
}

#[tokio::test]
async fn nothing_new_is_told_when_the_wait_is_over() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let at = now(&world).await;
    // Records of calls are no change, and neither is a tick that finds nothing.
    world.traffic(&classify(), 20).await;
    world.control.tick().await.unwrap();
    assert_eq!(world.control.changes(&project(), Some(at), Duration::from_millis(20)).await.unwrap(), at);
    assert_eq!(world.control.changes(&project(), Some(at), Duration::ZERO).await.unwrap(), at);
    // Any other number is answered at once: it is of an earlier process.
    for other in [0, at - 1, at + 1, u64::MAX] {
        assert_eq!(world.control.changes(&project(), Some(other), LONG).await.unwrap(), at);
    }
    world.clock.advance(Duration::from_millis(1));
    world.restart().await;
    assert_ne!(now(&world).await, at);
    let unknown = world.control.changes(&"other".parse().unwrap(), None, LONG).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn waiters_have_a_bound_and_end_with_the_process() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let at = now(&world).await;
    let mut waiting = JoinSet::new();
    for _ in 0..256 {
        let control = world.control.clone();
        waiting.spawn(async move {
            loop {
                match control.changes(&project(), Some(at), LONG).await {
                    Ok(number) => break number,
                    // The look below has the last place just now.
                    Err(Error::TooManyWait(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let refused = loop {
        match world.control.changes(&project(), Some(at), Duration::from_millis(5)).await {
            Err(error) => break error,
            // Not all of them wait yet.
            Ok(number) => assert_eq!(number, at),
        }
    };
    assert!(matches!(refused, Error::TooManyWait(256)), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    world.release("v2", 0.9).await;
    while let Some(told) = waiting.join_next().await {
        assert_ne!(told.unwrap(), at);
    }
    // Over HTTP, with the number as the client knows it.
    let client = Client::in_process(routes(&world), crate::api::HOST.to_owned(), project(), admin());
    let ChangesView { at } = client.get("/changes").await.unwrap();
    assert_eq!(client.get::<ChangesView>(&format!("/changes?after={}&wait=30", at - 1)).await.unwrap().at, at);
}

fn admin() -> bowline_server::AdminToken {
    bowline_server::AdminToken::new(TOKEN)
}

#[tokio::test]
async fn a_release_that_was_overtaken_is_a_conflict() {
    let world = World::new().await;
    let client = Client::in_process(routes(&world), crate::api::HOST.to_owned(), project(), admin());
    let release = async |version: &str, holder: &str, revision: u64| {
        let fence = Some(Fence { holder: holder.to_owned(), revision });
        let request = ReleaseRequest { fence, ..release_request(vec![release_prompt(&classify(), version)]) };
        client.post::<serde_json::Value>("/releases", &request).await
    };
    release("v1", "uid-1", 4).await.unwrap();
    release("v2", "uid-1", 5).await.unwrap();
    let late = release("v1", "uid-1", 4).await.unwrap_err();
    let ClientError::Refused { status: 409, code, message } = &late else { panic!("{late}") };
    assert_eq!(code, "conflict");
    assert!(
        message.starts_with("revision 4 of uid-1 came too late for `prod`, which has revision 5\nhint: "),
        "{message}"
    );
    // Nothing of it happened: the rollout of v2 goes on.
    assert!(world.newest_rollout().await.state.is_active());
    let again = release("v2", "uid-1", 5).await.unwrap();
    assert_eq!(again["results"][0]["status"]["kind"], "in_rollout");
    release("v3", "uid-2", 1).await.unwrap();
    release("v3", "uid-2", 0).await.unwrap_err();
    for holder in ["", &"u".repeat(257)] {
        let refused = release("v3", holder, 9).await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused { status: 400, .. }), "{refused}");
    }
}
