//! Environments that are there for a time only.

use std::time::Duration;

use bowline_server::wire::{ActionRequest, EnvironmentRequest, KeyRequest};
use bowline_store::LogAction;
use bowline_types::EnvironmentName;

use crate::world::{World, classify, prod, project, release_prompt, release_request};

const DAY: Duration = Duration::from_secs(86_400);

fn preview() -> EnvironmentName {
    "pr-123".parse().unwrap()
}

fn request(ttl: Duration) -> EnvironmentRequest {
    EnvironmentRequest { name: preview(), from: prod(), ttl, actor: "ci".to_owned() }
}

fn action() -> ActionRequest {
    ActionRequest { actor: "ada".to_owned(), why: "merged".to_owned(), off: false }
}

async fn world() -> World {
    let mut world = World::new().await;
    world.release("one", 0.9).await;
    world.control.environment_create(&project(), request(3 * DAY)).await.unwrap();
    world
}

fn serves(world: &World) -> bool {
    world.snapshot().projects[&project()].environments.contains_key(&preview())
}

#[tokio::test]
async fn it_is_served_released_to_and_removed_by_itself() {
    let world = world().await;
    let live = |world: &World, environment| {
        world.snapshot().projects[&project()].environments[&environment].prompts[&classify()].version
    };
    assert_eq!(live(&world, preview()), live(&world, prod()), "it begins with what is live");
    let mut release = release_request(vec![release_prompt(&classify(), "two")]);
    release.environment = preview();
    world.control.release(&project(), release).await.unwrap();
    let key = KeyRequest {
        name: "pr".to_owned(),
        environment: preview(),
        environments: vec![],
        versions: false,
        subject: None,
        replaces: None,
    };
    let key = world.control.key_create(&project(), key).await.unwrap().record;
    let opens = |world: &World| world.snapshot().keys.values().any(|open| open.id == key.id);
    assert!(opens(&world));
    let views = world.control.environment_list(&project()).await.unwrap();
    let view = views.iter().find(|view| view.environment == preview()).unwrap();
    let expires_at = view.state.as_ref().unwrap().temporary.as_ref().unwrap().expires_at;

    world.clock.advance(3 * DAY - Duration::from_secs(1));
    world.control.tick().await.unwrap();
    assert!(serves(&world));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.control.now(), expires_at);
    world.control.tick().await.unwrap();
    assert!(!serves(&world));
    assert!(world.snapshot().projects[&project()].environments.contains_key(&prod()));
    let rows = world.control.log_list(&project(), &preview(), None, None, 10).await.unwrap();
    assert_eq!((rows[0].action, rows[0].actor.as_str()), (LogAction::Removed, "bowline"));
    assert_eq!(rows.last().unwrap().action, LogAction::Created);
    // The name is free again.
    world.control.environment_create(&project(), request(DAY)).await.unwrap();
    assert!(serves(&world));
    assert!(!opens(&world), "and another one than that of the key");
}

#[tokio::test]
async fn a_restart_and_a_release_forget_nothing() {
    let mut world = world().await;
    world.restart().await;
    assert!(serves(&world));
    // A release brings a project file that does not know it.
    world.try_release("two").await.unwrap();
    assert!(serves(&world));
    world.control.freeze(&project(), &preview(), action()).await.unwrap();
    world.clock.advance(3 * DAY);
    world.control.tick().await.unwrap();
    assert!(!serves(&world), "a frozen one has its end too");
}

#[tokio::test]
async fn it_is_removed_before_its_time_and_others_are_not() {
    let world = world().await;
    let taken = world.control.environment_create(&project(), request(DAY)).await.unwrap_err();
    assert!(taken.message().contains("is there already"), "{}", taken.message());
    let declared = world.control.environment_remove(&project(), &prod(), action()).await.unwrap_err();
    assert!(declared.message().contains("declared in bowline.yaml"), "{}", declared.message());
    world.control.environment_remove(&project(), &preview(), action()).await.unwrap();
    assert!(!serves(&world));
    assert!(world.control.environment_remove(&project(), &preview(), action()).await.is_err());
    let unknown = EnvironmentRequest { from: "nowhere".parse().unwrap(), ..request(DAY) };
    assert!(world.control.environment_create(&project(), unknown).await.is_err());
}
