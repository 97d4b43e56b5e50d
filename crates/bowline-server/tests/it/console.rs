//! The console: what its pages say, and what they never say.

use std::time::Duration;

use bowline_server::wire::ActionRequest;
use bowline_store::{Content, RolloutState};
use http::{StatusCode, header};

use crate::api::{get, routes};
use crate::world::{Call, World, classify, content, prod, project};

const PAGES: [&str; 3] = ["/", "/environments/desk/prod", "/rollouts/desk/1"];

async fn page(world: &World, path: &str) -> String {
    let answer = get(&routes(world), path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    answer.text
}

#[tokio::test]
async fn pages_say_what_is_live_and_how_it_does() {
    let mut world = World::new().await;
    let (v1, _) = world.release("v1", 1.0).await;
    world.traffic(&classify(), 40).await;
    let (v2, _) = world.release("v2", 1.0).await;
    for path in ["/", "/environments/desk/prod"] {
        let page = page(&world, path).await;
        for said in [
            "support/classify",
            &v1.short(),
            "8c1f2e0",
            "<strong>100.0 %</strong>",
            "n 40, coverage 100 %",
            "$0.0039",
            "/rollouts/desk/1",
            &v2.short(),
            "every change is a guarded rollout",
        ] {
            assert!(page.contains(said), "{path} does not say {said}: {page}");
        }
    }
    let page = page(&world, "/environments/desk/prod").await;
    assert!(page.contains("rollout started") && page.contains("direct, commit 8c1f2e0"), "{page}");
}

#[tokio::test]
async fn a_rollout_is_shown_from_its_start_to_its_end() {
    let mut world = World::new().await;
    world.release("v1", 0.95).await;
    world.release("v2", 0.20).await;
    let first = page(&world, "/rollouts/desk/1").await;
    for said in ["no known value", "evidence for promotion is 1.00 of 20", "bowline rollout abort 1", "20% of units"] {
        assert!(first.contains(said), "no {said}: {first}");
    }
    world.traffic(&classify(), 60).await;
    world.control.tick().await.unwrap();
    let running = page(&world, "/rollouts/desk/1/live").await;
    for said in ["data-source=\"/rollouts/desk/1/live\"", "data-every=\"1000\"", "verdict at 20", "e-value (log scale)"]
    {
        assert!(running.contains(said), "no {said}: {running}");
    }
    assert!(!running.contains("<html"), "only the middle part");

    assert_eq!(world.until_verdict(3_000).await.state, RolloutState::RolledBack);
    let ended = page(&world, "/rollouts/desk/1").await;
    for said in
        ["rolled back", "The candidate is worse: e-value", "bowline release --env prod --retry", "If it were not worse"]
    {
        assert!(ended.contains(said), "no {said}: {ended}");
    }
    assert!(!ended.contains("data-source"), "an ended rollout does not change any more");
}

#[tokio::test]
async fn empty_pages_say_what_to_type() {
    let mut world = World::new().await;
    assert!(page(&world, "/").await.contains("<code>bowline up .</code>"));
    let config = crate::world::config(&crate::world::plan());
    world.control.project_put(&project(), config).await.unwrap();
    assert!(page(&world, "/").await.contains("<code>bowline release --env prod</code>"));
    assert!(page(&world, "/environments/desk/prod").await.contains("<code>bowline release --env prod</code>"));
    assert!(page(&world, "/environments/desk/dev").await.contains("<code>bowline up .</code>"));
    world.release("v1", 0.9).await;
    assert!(page(&world, "/").await.contains("no call yet"));
}

#[tokio::test]
async fn what_is_not_there_is_a_page_too() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let router = routes(&world);
    for (path, status, said) in [
        ("/rollouts/desk/9", 404, "there is no rollout <code>9</code>"),
        ("/environments/desk/nowhere", 404, "there is no environment"),
        ("/environments/other/prod", 404, "there is no project"),
    ] {
        let answer = get(&router, path).await;
        assert!(answer.status.as_u16() == status && answer.text.contains(said), "{path}: {}", answer.text);
        assert!(answer.text.contains("<a href=\"/\">"), "{path}");
    }
}

#[tokio::test]
async fn no_content_and_no_foreign_markup_reach_a_page() {
    let mut world = World::new().await;
    let secret = "the wording of the prompt";
    world.release("v1", 0.9).await;
    world.release(secret, 0.9).await;
    assert_ne!(content(secret).0, content("v1").0);
    let mut records = Vec::new();
    for number in 0..50 {
        world.clock.advance(Duration::from_secs(1));
        let mut record = world.serve(Call { prompt: classify(), unit: format!("the-user-{number}") });
        record.content = Some(Content { input: "the question".to_owned(), output: "the answer".to_owned() });
        records.push(record);
    }
    world.control.records_append(records, Vec::new(), Vec::new()).await.unwrap();
    world.control.tick().await.unwrap();
    let markup = "<img src=x onerror=alert(1)>\"'&";
    let by = ActionRequest { actor: markup.to_owned(), why: markup.to_owned(), off: false };
    world.control.freeze(&project(), &prod(), by.clone()).await.unwrap();
    world.control.rollout_end(&project(), 1, false, by).await.unwrap();
    for path in PAGES {
        let page = page(&world, path).await;
        for hidden in [secret, "the question", "the answer", "the-user", "SIM_KEY", "<img", "onerror=alert(1)>\"'&"] {
            assert!(!page.contains(hidden), "{path} shows {hidden}: {page}");
        }
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{path}: {page}");
    }
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_run_nothing_inline() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    world.release("v2", 0.9).await;
    world.traffic(&classify(), 60).await;
    world.control.tick().await.unwrap();
    let router = routes(&world);
    for path in PAGES {
        let answer = get(&router, path).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let page = answer.text;
        for tag in page.split('<').filter(|tag| tag.starts_with("script")) {
            assert!(tag.starts_with("script src=\"/assets/console.js\" defer>"), "{tag}");
        }
        for inline in [" style=", "<style", " onclick", " onload", "javascript:", "http://", "https://"] {
            assert!(!page.contains(inline), "{path} holds {inline}");
        }
    }
    for (path, kind) in [("console.css", "text/css"), ("console.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let answer = get(&router, &format!("/assets/{path}")).await;
        assert!(answer.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with(kind), "{path}");
        assert!(!answer.text.contains("@import") && !answer.text.contains("url("), "{path}");
    }
}
