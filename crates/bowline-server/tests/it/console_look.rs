//! Serves the console over a seeded store, for looking at it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bowline_server::{HostRule, router};
use bowline_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::api::options;
use crate::world::{World, classify, project, release_prompt, release_request};

/// `cargo test -p bowline-server console_look -- --ignored --nocapture`, then open the address it prints.
#[tokio::test]
#[ignore = "serves until it is stopped; for looking at the console"]
async fn console_look() {
    let empty = World::new().await;
    let mut world = World::new().await;
    world.release("v1", 0.91).await;
    let other = release_prompt(&"billing/summary".parse().unwrap(), "summary");
    world.control.release(&project(), release_request(vec![other])).await.unwrap();
    world.traffic(&classify(), 240).await;
    world.release("v2", 0.70).await;
    world.until_verdict(3_000).await;
    world.release("v2", 0.70).await;
    world.release("v3", 0.97).await;
    world.until_verdict(3_000).await;
    world.release("v4", 0.95).await;
    for _ in 0..9 {
        world.traffic(&classify(), 10).await;
        world.control.tick().await.unwrap();
    }
    let (first, second) = (serve(&world).await, serve(&empty).await);
    println!("seeded http://{first} empty http://{second}");
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.traffic(&classify(), 2).await;
        world.control.tick().await.unwrap();
    }
}

pub(crate) async fn serve(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new(world.clock.clone()));
    let router = router(world.control.clone(), metrics, options(HostRule::new(address, [])));
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}
