//! What gateways get to serve from.

use std::sync::Arc;
use std::time::Duration;

use bowline_registry::Snapshot;
use bowline_server::wire::{ActionRequest, KeyList, KeyRequest, RollbackRequest, SubjectResponse};
use bowline_server::{AdminToken, Client, ClientError, Control, ControlOptions};
use bowline_store::{KeyRecord, RolloutRecord, RolloutState, Write};
use bowline_testkit::ManualClock;
use bowline_types::{ApiKeyHash, Clock, Subject};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{HOST, TOKEN, routes};
use crate::world::{World, classify, content, open, prod, project, release_prompt, release_request};

#[tokio::test]
async fn leases_grow_and_epochs_only_with_content() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    world.release("v2", 0.9).await;
    let before = world.snapshot();
    let lease = |snapshot: &Snapshot| {
        let environment = &snapshot.projects[&project()].environments[&prod()];
        environment.prompts[&classify()].rollout.as_ref().unwrap().lease_until
    };
    assert_eq!(lease(&before), world.clock.now().after(Duration::from_secs(300)));
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(60));
        world.control.tick().await.unwrap();
        let lease = lease(&world.snapshot());
        assert!(lease.since(world.clock.now()) >= Duration::from_secs(200), "never near its end while control runs");
    }
    let after = world.snapshot();
    assert!(lease(&after) > lease(&before) && after.compiled_at > before.compiled_at);
    assert_eq!(after.epoch, before.epoch);
    assert_eq!(after.digest().unwrap(), before.digest().unwrap());

    world.try_release("v3").await.unwrap();
    assert_eq!(world.snapshot().epoch, after.epoch + 1);
    assert_ne!(world.snapshot().digest().unwrap(), after.digest().unwrap());
}

#[tokio::test]
async fn a_snapshot_holds_what_any_request_may_reach() {
    let mut world = World::new().await;
    let (v1, _) = world.release("v1", 0.9).await;
    let (v2, _) = world.release("v2", 0.9).await;
    let snapshot = world.snapshot();
    assert_eq!(snapshot.versions.keys().copied().collect::<Vec<_>>(), {
        let mut versions = vec![v1, v2];
        versions.sort_unstable();
        versions
    });
    assert_eq!(*snapshot.versions[&v1], content("v1").1);
    let served = &snapshot.projects[&project()];
    let endpoint = &served.environments[&prod()].providers.values().next().unwrap();
    assert_eq!(endpoint.base_url.as_deref().map(|url| url.trim_end_matches('/')), Some("http://127.0.0.1:9"));
    assert_eq!(endpoint.api_key.as_ref().map(ToString::to_string).as_deref(), Some("env:SIM_KEY"));
    let target = &served.models.values().next().unwrap()[0];
    assert_eq!((target.model.as_str(), target.timeout), ("small-1", Duration::from_secs(20)));
    let live = world.live(&classify());
    assert_eq!((live.version, live.rollout.unwrap().candidate), (v1, v2));

    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("snapshot.json");
    snapshot.write(&path).unwrap();
    assert_eq!(Snapshot::read(&path).unwrap().as_ref(), Some(snapshot.as_ref()));
}

#[tokio::test]
async fn pointers_reach_gateways_at_once() {
    let mut world = World::new().await;
    let (v1, _) = world.release("v1", 0.9).await;
    let mut snapshots = world.control.snapshots();
    snapshots.mark_unchanged();
    world.release("v2", 0.9).await;
    assert!(snapshots.has_changed().unwrap());
    snapshots.mark_unchanged();
    let request = RollbackRequest { prompt: classify(), to: None, actor: "grace".to_owned(), why: "slow".to_owned() };
    let response = world.control.rollback(&project(), &prod(), request).await.unwrap();
    assert!(snapshots.has_changed().unwrap());
    let live = world.live(&classify());
    assert_eq!((response.version, live.version, live.rollout), (v1, v1, None));
}

#[tokio::test]
async fn a_subject_has_one_key_and_no_secret() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let client = Client::in_process(routes(&world), HOST.to_owned(), project(), AdminToken::new(TOKEN));
    let app: Subject = "system:serviceaccount:shop:app".parse().unwrap();
    let request = |subject: &str| json!({ "name": "app", "environment": "prod", "subject": subject });
    let made: Value = client.post("/keys", &request(app.as_str())).await.unwrap();
    assert_eq!((made.get("key"), &made["record"]["subject"]), (None, &json!(app)));
    let record: KeyRecord = serde_json::from_value(made["record"].clone()).unwrap();
    assert_eq!(record.hash, ApiKeyHash::of_subject(record.id, &app));
    let snapshot = world.snapshot();
    assert_eq!(snapshot.keys[&record.hash].subject.as_ref(), Some(&app));
    // A gateway of before reads what it knows, and one of now what was written before.
    let written = serde_json::to_vec(snapshot.as_ref()).unwrap();
    assert_eq!(&bowline_registry::Snapshot::from_json(&written).unwrap(), snapshot.as_ref());
    let KeyList { keys } = client.get("/keys").await.unwrap();
    assert_eq!(keys, std::slice::from_ref(&record));

    let told = async |subject: &str| client.post::<Value>("/keys", &request(subject)).await.unwrap_err();
    let taken = told(app.as_str()).await;
    let ClientError::Refused { status: 409, message, .. } = &taken else { panic!("{taken}") };
    assert!(message.contains(&format!("has key {} of project `desk`\nhint: ", record.id)), "{message}");
    for wrong in ["system:admin", "system:serviceaccount:shop", "app", ""] {
        let refused = told(wrong).await;
        let ClientError::Refused { status: 400, message, .. } = &refused else { panic!("{refused}") };
        assert!(message.contains("`system:serviceaccount:NAMESPACE:NAME`"), "{message}");
    }
    // Another one takes its place in one snapshot: there is none without either.
    let mut replacing = request(app.as_str());
    (replacing["replaces"], replacing["environment"]) = (json!(record.id), json!("dev"));
    let mut snapshots = world.control.snapshots();
    snapshots.mark_unchanged();
    let other: SubjectResponse = client.post("/keys", &replacing).await.unwrap();
    let keys = snapshots.borrow_and_update().keys.clone();
    let served: Vec<_> = keys.values().map(|key| (key.id, key.environment.as_str())).collect();
    assert_eq!(served, [(other.record.id, "dev")]);
    let secret = json!({ "name": "app", "environment": "prod", "replaces": other.record.id });
    let refused = client.post::<Value>("/keys", &secret).await.unwrap_err();
    assert!(refused.to_string().contains("`replaces` is for the key of a subject"), "{refused}");
    // Only a key of that subject, and one that works, gives way.
    let taken = client.post::<Value>("/keys", &replacing).await.unwrap_err();
    assert!(taken.to_string().contains(&format!("has key {} of", other.record.id)), "{taken}");
    world.control.key_revoke(&project(), other.record.id).await.unwrap();
    assert!(world.snapshot().keys.is_empty());
    let again: Value = client.post("/keys", &request(app.as_str())).await.unwrap();
    assert_ne!(again["record"]["hash"], json!(record.hash));
}

#[tokio::test]
async fn keys_work_until_they_are_revoked() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let request = KeyRequest {
        name: "app".to_owned(),
        environment: prod(),
        environments: vec!["dev".parse().unwrap()],
        versions: true,
        subject: None,
        replaces: None,
    };
    let made = world.control.key_create(&project(), request.clone()).await.unwrap();
    assert!(!format!("{made:?}").contains(&made.key));
    let hash = made.key.parse::<bowline_types::ApiKey>().unwrap().hash();
    let snapshot = world.snapshot();
    let key = &snapshot.keys[&hash];
    assert_eq!((key.id, &key.environment, key.versions), (made.record.id, &prod(), true));
    assert!(!serde_json::to_string(snapshot.as_ref()).unwrap().contains(&made.key));

    world.control.key_revoke(&project(), made.record.id).await.unwrap();
    assert!(world.snapshot().keys.is_empty());
    assert!(world.control.key_list(&project()).await.unwrap()[0].revoked_at.is_some());
    let other = world.control.key_revoke(&"other".parse().unwrap(), made.record.id).await.unwrap_err();
    assert!(other.message().starts_with("there is no key"), "{}", other.message());
    let unknown = KeyRequest { environment: "prd".parse().unwrap(), ..request };
    let unknown = world.control.key_create(&project(), unknown).await.unwrap_err();
    assert!(unknown.message().contains("did you mean `prod`?"), "{}", unknown.message());
}

#[tokio::test]
async fn a_rollout_that_cannot_be_read_holds_up_nobody() {
    let mut world = World::new().await;
    let (v1, _) = world.release("v1", 0.9).await;
    world.release("v2", 0.9).await;
    let rollout = world.newest_rollout().await;
    let damaged = RolloutRecord { design: json!({}), revision: rollout.revision + 1, ..rollout.clone() };
    let put = Write::RolloutPut { rollout: Box::new(damaged), expected: Some(rollout.revision) };
    world.store.commit(vec![put]).await.unwrap();
    world.restart().await;
    let error = world.control.tick().await.unwrap_err().message();
    assert!(error.contains("a stored design cannot be read"), "{error}");
    let live = world.live(&classify());
    assert_eq!((live.version, live.rollout), (v1, None));

    let other = release_prompt(&"billing/summary".parse().unwrap(), "summary");
    world.control.release(&project(), release_request(vec![other])).await.unwrap();
    assert_eq!(world.snapshot().projects[&project()].environments[&prod()].prompts.len(), 2);
    let by = ActionRequest { actor: "grace".to_owned(), why: "damaged".to_owned(), off: false };
    let ended = world.control.rollout_end(&project(), 1, false, by).await.unwrap();
    assert_eq!(ended.state, RolloutState::Aborted);
    world.control.tick().await.unwrap();
}

#[tokio::test]
async fn a_running_role_drives_and_renews_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let options = ControlOptions { tick: Duration::from_millis(1), ..ControlOptions::default() };
    let control = Control::start(open(folder.path()), clock.clone(), options).await.unwrap();
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (role, stop) = (control.clone(), shutdown.clone());
    tasks.spawn(async move { role.run(stop).await });
    control.release(&project(), release_request(vec![release_prompt(&classify(), "v1")])).await.unwrap();
    control.release(&project(), release_request(vec![release_prompt(&classify(), "v2")])).await.unwrap();
    let mut snapshots = control.snapshots();
    let lease = |snapshot: &Snapshot| {
        let environment = &snapshot.projects[&project()].environments[&prod()];
        environment.prompts[&classify()].rollout.as_ref().unwrap().lease_until
    };
    let first = lease(&snapshots.borrow());
    // A tick may have looked at the clock just before it moved, so it moves on until the lease does.
    let renewed = async {
        while lease(&snapshots.borrow_and_update()) == first {
            clock.advance(Duration::from_secs(50));
            drop(tokio::time::timeout(Duration::from_millis(20), snapshots.changed()).await);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewed).await.unwrap();
    shutdown.cancel();
    tasks.close();
    tokio::time::timeout(Duration::from_secs(10), tasks.wait()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_and_verdicts_do_not_get_in_each_other_s_way() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let tasks = TaskTracker::new();
    let done = CancellationToken::new();
    for _ in 0..2 {
        let (control, done) = (world.control.clone(), done.clone());
        tasks.spawn(async move {
            while !done.is_cancelled() {
                control.tick().await.unwrap();
            }
        });
    }
    for number in 2..12 {
        world.release(&format!("v{number}"), 0.9).await;
        world.traffic(&classify(), 40).await;
    }
    done.cancel();
    tasks.close();
    tasks.wait().await;
    let rollouts = world.control.rollout_list(&project(), false).await.unwrap();
    assert_eq!(rollouts.iter().map(|rollout| rollout.number).collect::<Vec<_>>(), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(rollouts.iter().filter(|rollout| rollout.state.is_active()).count(), 1);
    for rollout in rollouts {
        assert!(world.control.rollout_replay(&project(), rollout.number).await.unwrap().equal);
    }
}
