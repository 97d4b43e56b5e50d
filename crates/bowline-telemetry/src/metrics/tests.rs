use bowline_store::RolloutState;
use bowline_testkit::ManualClock;
use bowline_types::ErrorKind;

use super::*;
use crate::testing::{record, record_of};

/// Sorts the series within each family, as their order is that of a hash map, and leaves out the finite buckets.
fn sorted(text: &str) -> String {
    let mut lines: Vec<(usize, &str)> = Vec::new();
    let mut family = 0;
    for line in text.lines().filter(|line| !line.contains("_bucket{") || line.contains("le=\"+Inf\"")) {
        family += usize::from(line.starts_with("# HELP") || line.starts_with("# EOF"));
        let rank = if line.starts_with('#') { 2 * family } else { 2 * family + 1 };
        lines.push((rank, line));
    }
    lines.sort_by(|a, b| {
        a.0.cmp(&b.0).then_with(|| if a.0 % 2 == 1 { a.1.cmp(b.1) } else { std::cmp::Ordering::Equal })
    });
    lines.into_iter().map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn the_page_after_fixed_records() {
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    metrics.record(&record());
    metrics.record(&record());
    let mut failed = record();
    failed.error = Some(ErrorKind::UpstreamTimeout);
    failed.usage = bowline_types::TokenUsage::default();
    failed.cost = None;
    failed.arm = Some(Arm::Candidate);
    metrics.record(&failed);

    metrics.record_queue_depth_set(7);
    metrics.record_lost(Some(Arm::Candidate));
    metrics.record_lost(None);
    metrics.check_unknown(UnknownReason::TooCostly);
    metrics.spool_set(3, 4_096, Some(Clock::now(clock.as_ref()).before(std::time::Duration::from_secs(2))));
    metrics.spool_delivered(7);
    metrics.snapshot_set(42, clock.now());
    clock.advance(std::time::Duration::from_millis(2_500));
    metrics.rollouts_set(vec![RolloutStatus {
        project: "demo".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        prompt: "support/answer".parse().unwrap(),
        number: 3,
        state: RolloutState::Running,
        stage: 1,
        units_stable: 120,
        units_candidate: 118,
        e_rollback: 12.5,
        e_promote: 0.25,
    }]);
    let request = metrics.request_started();
    let page = sorted(&metrics.encode());
    drop(request);
    for bound in crate::names::DURATION_BUCKETS {
        assert!(
            metrics.encode().contains(&format!("gen_ai_client_operation_duration_seconds_bucket{{le=\"{bound:?}\""))
        );
    }
    insta::assert_snapshot!(page.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    assert!(metrics.encode().contains("bowline_requests_in_flight 0\n"));
}

#[test]
fn series_are_bounded() {
    let metrics = Metrics::new(Arc::new(ManualClock::default()));
    let many = SERIES_MAX + 500;
    for index in 0..many {
        metrics.record(&record_of(&format!("prompt-{index}")));
    }
    let page = metrics.encode();
    let series = page.lines().filter(|line| line.starts_with("bowline_inferences_total")).count();
    assert_eq!(series, SERIES_MAX + 1);
    let other =
        page.lines().find(|line| line.starts_with("bowline_inferences_total") && line.contains("prompt=\"other\""));
    assert!(other.is_some_and(|line| line.ends_with(" 500")), "{other:?}");
    metrics.record(&record_of("prompt-3"));
    let known = metrics.encode();
    let known =
        known.lines().find(|line| line.starts_with("bowline_inferences_total") && line.contains("\"prompt-3\""));
    assert!(known.is_some_and(|line| line.ends_with(" 2")), "{known:?}");
}

#[test]
fn a_provider_is_shown_with_what_is_under_way_while_somebody_serves_it() {
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    let (project, provider) = ("desk".parse().unwrap(), "vllm".parse().unwrap());
    let meter = metrics.provider(&project, &provider);
    assert!(!metrics.encode().contains("bowline_backend_last_call_seconds{"), "nobody has called");
    let (call, place) = (meter.called(700), meter.hold(1));
    assert!(place.is_some() && metrics.provider(&project, &provider).hold(1).is_none(), "one place for all");
    clock.advance(std::time::Duration::from_millis(2_500));
    let labels = "{project=\"desk\",provider=\"vllm\"}";
    let page = metrics.encode();
    for (name, value) in [("held", "1"), ("tokens_in_flight", "700"), ("last_call_seconds", "2.5")] {
        assert!(page.contains(&format!("bowline_backend_{name}{labels} {value}\n")), "{name}: {page}");
    }
    drop((call, place));
    let load = metrics.provider_loads()[&project][&provider];
    assert_eq!((load.held, load.tokens_in_flight, load.last_call_seconds), (0, 0, Some(2.5)));
    drop(meter);
    assert!(metrics.provider_loads().is_empty() && !metrics.encode().contains("bowline_backend_"));
}
