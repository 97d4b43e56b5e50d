//! A change from its release to its verdict.

use std::ops::Range;
use std::time::Duration;

use bowline_registry::ReleaseStatus;
use bowline_server::wire::ActionRequest;
use bowline_store::{
    LIST_ROWS_MAX, LogAction, LossRecord, OutcomeRecord, OutcomeTarget, OutcomeValue, RolloutRecord, RolloutState,
    SCHEMA_VERSION, Write,
};
use bowline_types::{Arm, CheckResult, Clock, InstanceId, OutcomeId, ProjectName, PromptName, RolloutId, Scope};
use serde_json::json;

use crate::world::{
    Call, World, classify, config, content, judged, key, plan, prod, project, release_prompt, release_request,
};

fn by(actor: &str, why: &str) -> ActionRequest {
    ActionRequest { actor: actor.to_owned(), why: why.to_owned(), off: false }
}

async fn actions(world: &World) -> Vec<LogAction> {
    world.log().await.iter().map(|row| row.action).filter(|action| *action != LogAction::StageAdvanced).collect()
}

#[tokio::test]
async fn a_bad_change_is_rolled_back_and_a_good_one_promoted() {
    let mut world = World::new().await;
    let (v1, status) = world.release("v1", 0.90).await;
    assert_eq!(status, ReleaseStatus::Moved { from: None });
    world.traffic(&classify(), 100).await;

    let (v2, status) = world.release("v2", 0.40).await;
    assert_eq!(status, ReleaseStatus::Started { number: 1, stable: v1, superseded: None });
    let ended = world.until_verdict(3_000).await;
    assert_eq!(ended.state, RolloutState::RolledBack, "{}", ended.why);
    assert_eq!((world.pointer().await.version, world.live(&classify()).rollout), (v1, None));
    let quarantine = world.store.quarantine_list(project()).await.unwrap();
    assert_eq!(quarantine.iter().map(|record| record.version).collect::<Vec<_>>(), [v2]);

    // The same version stays out, another one is tried.
    let (_, status) = world.release("v2", 0.40).await;
    assert!(matches!(status, ReleaseStatus::Held { .. }), "{status:?}");
    let (v3, status) = world.release("v3", 0.98).await;
    assert_eq!(status, ReleaseStatus::Started { number: 2, stable: v1, superseded: None });
    let ended = world.until_verdict(3_000).await;
    assert_eq!(ended.state, RolloutState::Promoted, "{}", ended.why);
    assert_eq!(world.live(&classify()).version, v3);

    assert_eq!(
        actions(&world).await,
        [
            LogAction::Moved,
            LogAction::RolloutStarted,
            LogAction::RolledBack,
            LogAction::Refused,
            LogAction::RolloutStarted,
            LogAction::Promoted
        ]
    );
    for number in [1, 2] {
        let replay = world.control.rollout_replay(&project(), number).await.unwrap();
        assert!(replay.equal && replay.observations > 30 && !replay.rulings.is_empty(), "{replay:#?}");
    }
    let view = world.control.rollout_view(&project(), 2).await.unwrap();
    assert_eq!(view.decision, None);
    assert_eq!(view.series.last().unwrap().sequence + 1, view.evidence.observations);
}

#[tokio::test]
async fn a_replay_tells_what_was_tampered_with() {
    let mut world = World::new().await;
    world.release("v1", 0.95).await;
    world.release("v2", 0.30).await;
    let ended = world.until_verdict(3_000).await;
    let mut tampered = ended.clone();
    tampered.evidence.as_mut().unwrap()["arms"]["candidate"]["pass"] = json!(9_999);
    tampered.revision += 1;
    let put = bowline_store::Write::RolloutPut { rollout: Box::new(tampered), expected: Some(ended.revision) };
    world.store.commit(vec![put]).await.unwrap();
    let replay = world.control.rollout_replay(&project(), ended.number).await.unwrap();
    assert!(!replay.equal && replay.rulings.iter().all(|ruling| ruling.equal), "{replay:#?}");
}

#[tokio::test]
async fn a_candidate_grows_by_stages() {
    let mut world = World::new().await;
    world.release("v1", 1.0).await;
    world.release("v2", 1.0).await;
    assert_eq!(world.live(&classify()).rollout.unwrap().share.to_string(), "20%");
    let mut shares = Vec::new();
    for _ in 0..60 {
        world.traffic(&classify(), 5).await;
        world.control.tick().await.unwrap();
        shares.extend(world.live(&classify()).rollout.map(|rollout| (rollout.stage, rollout.share.to_string())));
    }
    shares.dedup();
    assert_eq!(shares, [(0, "20%".to_owned()), (1, "50%".to_owned())]);
}

#[tokio::test]
async fn each_prompt_of_a_release_has_its_own_rollout() {
    let mut world = World::new().await;
    let other: PromptName = "billing/summary".parse().unwrap();
    let release = |version: &str| {
        let prompts = [classify(), other.clone()].map(|name| release_prompt(&name, &format!("{name} {version}")));
        release_request(prompts.into())
    };
    world.control.release(&project(), release("v1")).await.unwrap();
    let started = world.control.release(&project(), release("v2")).await.unwrap();
    let numbers: Vec<_> = started.results.iter().map(|result| result.status.clone()).collect();
    assert!(
        matches!(numbers[..], [ReleaseStatus::Started { number: 1, .. }, ReleaseStatus::Started { number: 2, .. }]),
        "{numbers:?}"
    );
    // The first gets calls that fail on the candidate, the second none.
    let bad = world.live(&classify()).rollout.unwrap().candidate;
    world.rate(bad, 0.1);
    for _ in 0..60 {
        world.traffic(&classify(), 10).await;
        world.control.tick().await.unwrap();
    }
    let states: Vec<_> = world.control.rollout_list(&project(), false).await.unwrap();
    let states: Vec<_> = states.iter().map(|rollout| (rollout.prompt.clone(), rollout.state)).collect();
    assert!(states.contains(&(classify(), RolloutState::RolledBack)), "{states:?}");
    assert!(states.contains(&(other, RolloutState::Running)), "{states:?}");
}

#[tokio::test]
async fn a_newer_candidate_takes_the_place_of_a_running_one() {
    let mut world = World::new().await;
    let (v1, _) = world.release("v1", 1.0).await;
    world.release("v2", 1.0).await;
    world.traffic(&classify(), 40).await;
    world.control.tick().await.unwrap();
    let (v3, status) = world.release("v3", 0.95).await;
    assert_eq!(status, ReleaseStatus::Started { number: 2, stable: v1, superseded: Some(1) });
    let live = world.live(&classify());
    assert_eq!((live.version, live.rollout.map(|rollout| rollout.candidate)), (v1, Some(v3)));
    // Records of the first rollout that come now end up nowhere, and harm nobody.
    world.clock.advance(Duration::from_secs(60));
    world.control.tick().await.unwrap();
    assert!(world.store.quarantine_list(project()).await.unwrap().is_empty());
    let (_, status) = world.release("v1", 1.0).await;
    assert_eq!(status, ReleaseStatus::Withdrawn { number: 2 });
}

#[tokio::test]
async fn a_freeze_stops_promotion_and_stages_but_no_rollback() {
    let mut world = World::new().await;
    world.release("v1", 0.85).await;
    world.release("v2", 1.0).await;
    world.control.freeze(&project(), &prod(), by("grace", "holiday")).await.unwrap();
    for _ in 0..80 {
        world.traffic(&classify(), 10).await;
        world.control.tick().await.unwrap();
    }
    let rollout = world.newest_rollout().await;
    let view = world.control.rollout_view(&project(), 1).await.unwrap();
    assert_eq!((rollout.state, rollout.stage), (RolloutState::Running, 0));
    assert!(view.evidence.promotion.e_value.reaches(20.0), "{:#?}", view.evidence);
    let refused = world.try_release("v3").await.unwrap_err().message();
    assert!(refused.contains("frozen by grace (holiday)"), "{refused}");
    let refused = world.control.rollout_end(&project(), 1, true, by("ada", "now")).await.unwrap_err().message();
    assert!(refused.contains("frozen by grace"), "{refused}");

    let lift = ActionRequest { off: true, ..by("grace", "back") };
    world.control.freeze(&project(), &prod(), lift).await.unwrap();
    world.control.tick().await.unwrap();
    assert_eq!(world.newest_rollout().await.state, RolloutState::Promoted);

    world.release("v4", 0.20).await;
    world.control.freeze(&project(), &prod(), by("grace", "again")).await.unwrap();
    assert_eq!(world.until_verdict(3_000).await.state, RolloutState::RolledBack);
}

#[tokio::test]
async fn a_person_ends_a_rollout() {
    let mut world = World::new().await;
    let (v1, _) = world.release("v1", 0.95).await;
    let (v2, _) = world.release("v2", 0.95).await;
    let ended = world.control.rollout_end(&project(), 1, false, by("ada", "changed my mind")).await.unwrap();
    assert_eq!((ended.state, world.live(&classify()).version), (RolloutState::Aborted, v1));
    let again = world.control.rollout_end(&project(), 1, true, by("ada", "no")).await.unwrap_err().message();
    assert!(again.starts_with("rollout 1 has ended: aborted"), "{again}");
    let mut retry = release_request(vec![release_prompt(&classify(), "v2")]);
    retry.retry = true;
    world.control.release(&project(), retry).await.unwrap();
    let ended = world.control.rollout_end(&project(), 2, true, by("ada", "I know better")).await.unwrap();
    assert_eq!((ended.state, world.live(&classify()).version), (RolloutState::Promoted, v2));
    assert_eq!(world.log().await.last().unwrap().why, "promoted by ada: I know better");
}

#[tokio::test]
async fn late_records_count_as_unknown() {
    let mut world = World::new().await;
    world.release("v1", 1.0).await;
    world.release("v2", 1.0).await;
    world.clock.advance(Duration::from_secs(1));
    let late = world.serve(Call { prompt: classify(), unit: "late".to_owned() });
    let late = judged(late, CheckResult::Pass);
    world.traffic(&classify(), 40).await;
    world.control.tick().await.unwrap();
    world.control.records_append(vec![late.clone()], Vec::new(), Vec::new()).await.unwrap();
    world.control.tick().await.unwrap();
    let log = world.control.observation_list(&project(), 1, 0).await.unwrap();
    let found = log.iter().find(|observation| observation.unit.value == "late").unwrap();
    assert_eq!((found.value, found.inference), (None, late.id));
    assert!(log.iter().filter(|observation| observation.unit.value != "late").all(|each| each.value.is_some()));
}

#[tokio::test]
async fn a_unit_counts_once_by_its_first_call() {
    let mut world = World::new().await;
    world.release("v1", 1.0).await;
    world.release("v2", 1.0).await;
    let mut records = Vec::new();
    for result in [CheckResult::Fail, CheckResult::Pass, CheckResult::Pass] {
        world.clock.advance(Duration::from_secs(1));
        records.push(judged(world.serve(Call { prompt: classify(), unit: "same".to_owned() }), result));
    }
    let first = records[0].id;
    // Delivered in any order, and twice.
    records.reverse();
    world.control.records_append(records.clone(), Vec::new(), Vec::new()).await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    world.control.tick().await.unwrap();
    world.control.records_append(records, Vec::new(), Vec::new()).await.unwrap();
    world.traffic(&classify(), 40).await;
    world.control.tick().await.unwrap();
    let log = world.control.observation_list(&project(), 1, 0).await.unwrap();
    let same: Vec<_> = log.iter().filter(|observation| observation.unit.value == "same").collect();
    assert_eq!(same.iter().map(|each| (each.value, each.inference)).collect::<Vec<_>>(), [(Some(0.0), first)]);
}

#[tokio::test]
async fn late_outcomes_change_reports_and_no_verdict() {
    let mut world = World::new().await;
    world.release("v1", 0.95).await;
    world.release("v2", 0.95).await;
    let mut records = Vec::new();
    for number in 0..60 {
        world.clock.advance(Duration::from_secs(1));
        let mut record = world.serve(Call { prompt: classify(), unit: format!("unit-{number}") });
        record.checks.insert("feedback:correct".to_owned(), CheckResult::Unknown);
        records.push(judged(record, CheckResult::Unknown));
    }
    for record in &mut records {
        record.checks.insert("complete".to_owned(), CheckResult::Pass);
    }
    world.control.records_append(records.clone(), Vec::new(), Vec::new()).await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    world.control.tick().await.unwrap();
    let before = world.control.rollout_view(&project(), 1).await.unwrap();
    assert_eq!(before.evidence.arms.stable.known() + before.evidence.arms.candidate.known(), 0);

    for record in &records {
        let outcome = OutcomeRecord {
            schema_version: SCHEMA_VERSION,
            id: OutcomeId::generate(world.clock.now()),
            key: key(),
            target: OutcomeTarget::Inference(record.id),
            name: "correct".to_owned(),
            value: OutcomeValue::Flag(record.arm == Some(Arm::Stable)),
            at: world.clock.now(),
        };
        world.control.records_append(Vec::new(), vec![outcome], Vec::new()).await.unwrap();
    }
    world.control.tick().await.unwrap();
    let after = world.control.rollout_view(&project(), 1).await.unwrap();
    assert_eq!(after.evidence, before.evidence);
    let known: u64 = after.summary.iter().map(|row| row.pass + row.fail).sum();
    assert_eq!(known, 60);
    assert!(world.control.rollout_replay(&project(), 1).await.unwrap().equal);
}

#[tokio::test]
async fn outcomes_in_time_are_judged() {
    let mut world = World::new().await;
    world.release("v1", 0.95).await;
    world.release("v2", 0.95).await;
    world.clock.advance(Duration::from_secs(1));
    let mut record = judged(world.serve(Call { prompt: classify(), unit: "unit".to_owned() }), CheckResult::Pass);
    record.checks.insert("feedback:correct".to_owned(), CheckResult::Unknown);
    let outcome = OutcomeRecord {
        schema_version: SCHEMA_VERSION,
        id: OutcomeId::generate(world.clock.now()),
        key: key(),
        target: OutcomeTarget::Answer(record.answer_id.clone().unwrap()),
        name: "correct".to_owned(),
        value: OutcomeValue::Score(0.2),
        at: world.clock.now(),
    };
    // An outcome may come before its inference.
    world.control.records_append(Vec::new(), vec![outcome], Vec::new()).await.unwrap();
    world.control.records_append(vec![record], Vec::new(), Vec::new()).await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    world.control.tick().await.unwrap();
    let log = world.control.observation_list(&project(), 1, 0).await.unwrap();
    assert_eq!(log.iter().map(|each| each.value).collect::<Vec<_>>(), [Some(0.0)]);
}

#[tokio::test]
async fn lost_records_withhold_promotion() {
    let mut world = World::new().await;
    world.release("v1", 0.85).await;
    world.release("v2", 1.0).await;
    let id = world.newest_rollout().await.id;
    let instance = InstanceId::generate(world.clock.now());
    let loss = |total| LossRecord { instance, rollout: id, arm: Arm::Candidate, total };
    // A total that is told twice is not lost twice.
    world.control.records_append(Vec::new(), Vec::new(), vec![loss(40), loss(40)]).await.unwrap();
    for _ in 0..80 {
        world.traffic(&classify(), 10).await;
        world.control.tick().await.unwrap();
    }
    let view = world.control.rollout_view(&project(), 1).await.unwrap();
    assert!(view.evidence.promotion.e_value.reaches(20.0), "{:#?}", view.evidence);
    assert_eq!((view.rollout.state, view.rollout.stage, view.lost.candidate), (RolloutState::Running, 0, 40));
    let reasons: Vec<_> = view.decision.unwrap().reasons.iter().map(ToString::to_string).collect();
    assert!(reasons.iter().any(|reason| reason.starts_with("40 records of candidate were lost")), "{reasons:?}");
}

#[tokio::test]
async fn data_that_cannot_be_trusted_is_held_and_still_watched() {
    let mut world = World::new().await;
    world.release("v1", 1.0).await;
    world.release("v2", 1.0).await;
    // Most records of the candidate get lost on the way, and nobody tells.
    for number in 0..40 {
        let mut records = Vec::new();
        for unit in 0..20 {
            world.clock.advance(Duration::from_secs(1));
            let record = world.serve(Call { prompt: classify(), unit: format!("{number}-{unit}") });
            if record.arm == Some(Arm::Stable) || unit % 5 == 0 {
                records.push(record);
            }
        }
        world.control.records_append(records, Vec::new(), Vec::new()).await.unwrap();
        world.control.tick().await.unwrap();
    }
    let held = world.newest_rollout().await;
    assert_eq!(held.state, RolloutState::Held, "{}", held.why);
    assert!(held.why.contains("sample ratio mismatch"), "{}", held.why);
    let holds = actions(&world).await.into_iter().filter(|action| *action == LogAction::Held);
    assert_eq!(holds.count(), 1, "it is said once");
    assert!(world.live(&classify()).rollout.is_some(), "the candidate keeps its share");

    // Nothing is promoted, but a candidate that becomes bad is taken back.
    world.rate(held.candidate, 0.05);
    let ended = world.until_verdict(3_000).await;
    assert_eq!(ended.state, RolloutState::RolledBack, "{}", ended.why);
    assert!(world.control.rollout_replay(&project(), 1).await.unwrap().equal);
}

#[tokio::test]
async fn time_runs_out() {
    for (then, state, why) in [
        ("hold", RolloutState::Held, "no data: no known observation of the candidate in 6h"),
        ("rollback", RolloutState::RolledBack, "no data: no known observation of the candidate in 6h"),
    ] {
        let mut world = World::new().await;
        world.release("v1", 0.9).await;
        let mut plan = plan();
        plan["when_undecided"] = json!(then);
        let request = bowline_server::wire::ReleaseRequest {
            config: config(&plan),
            ..release_request(vec![release_prompt(&classify(), "v2")])
        };
        world.control.release(&project(), request).await.unwrap();
        world.clock.advance(Duration::from_secs(3_600));
        world.control.tick().await.unwrap();
        assert_eq!(world.newest_rollout().await.state, RolloutState::Running);
        world.clock.advance(Duration::from_secs(5 * 3_600));
        for _ in 0..3 {
            world.control.tick().await.unwrap();
        }
        let ended = world.newest_rollout().await;
        assert!(ended.state == state && ended.why.starts_with(why), "{ended:#?}");
        let rows = world.log().await;
        assert_eq!(rows.iter().filter(|row| row.actor == "verdict").count(), 1, "{rows:#?}");
    }
}

#[tokio::test]
async fn what_is_held_is_promoted_by_a_person_only() {
    let mut world = World::new().await;
    world.release("v1", 0.85).await;
    world.release("v2", 1.0).await;
    world.traffic(&classify(), 60).await;
    world.clock.advance(Duration::from_secs(6 * 3_600));
    world.control.tick().await.unwrap();
    let held = world.newest_rollout().await;
    assert!(
        held.state == RolloutState::Held && held.why.starts_with("inconclusive: the time of 6h is over"),
        "{held:#?}"
    );
    for _ in 0..100 {
        world.traffic(&classify(), 10).await;
        world.control.tick().await.unwrap();
    }
    let view = world.control.rollout_view(&project(), 1).await.unwrap();
    assert!(view.evidence.promotion.e_value.reaches(20.0), "{:#?}", view.evidence);
    assert_eq!(view.rollout.state, RolloutState::Held);
    assert_eq!(actions(&world).await.last(), Some(&LogAction::Held));
    world.control.rollout_end(&project(), 1, true, by("ada", "it is good")).await.unwrap();
    assert_eq!(world.live(&classify()).version, held.candidate);
    assert!(world.control.rollout_replay(&project(), 1).await.unwrap().equal);
}

#[tokio::test]
async fn a_backlog_is_read_in_order_before_anything_is_promoted() {
    let mut world = World::new().await;
    world.release("v1", 0.95).await;
    world.release("v2", 0.97).await;
    world.pace = Duration::from_millis(100);
    // Control was busy for long: more units are mature than one step reads, and the last ones are bad.
    world.traffic(&classify(), 1_200).await;
    let bad = world.live(&classify()).rollout.unwrap().candidate;
    world.rate(bad, 0.0);
    world.traffic(&classify(), 900).await;
    world.clock.advance(Duration::from_secs(60));
    world.control.tick().await.unwrap();
    let ended = world.newest_rollout().await;
    assert_eq!(ended.state, RolloutState::RolledBack, "{}", ended.why);
    let mut log = world.control.observation_list(&project(), 1, 0).await.unwrap();
    log.extend(world.control.observation_list(&project(), 1, log.len().try_into().unwrap()).await.unwrap());
    assert!(log.len() > 1_000, "{}", log.len());
    assert!(log.iter().all(|observation| observation.value.is_some()), "what waited its turn is not late");
    assert!(log.is_sorted_by_key(|observation| observation.assigned_at));
}

#[tokio::test]
async fn a_plan_that_cannot_decide_is_told() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    world.clock.advance(Duration::from_secs(3_600 * 24));
    world.traffic(&classify(), 3).await;
    let response = world.try_release("v2").await.unwrap();
    assert!(response.notes.iter().any(|note| note.contains("This plan cannot decide")), "{:?}", response.notes);
}

#[tokio::test]
async fn a_rollout_is_driven_however_many_run_elsewhere() {
    let mut world = World::new().await;
    world.release("v1", 0.90).await;
    world.release("v2", 0.40).await;
    let ours = world.newest_rollout().await;
    world.clock.advance(Duration::from_secs(1));
    crowd(&world, "crowd".parse().unwrap(), 0..LIST_ROWS_MAX).await;
    let mut state = ours.state;
    for _ in 0..300 {
        world.traffic(&classify(), 10).await;
        world.control.tick().await.unwrap();
        state = world.store.rollout_fetch(ours.id).await.unwrap().unwrap().state;
        if !state.is_active() {
            break;
        }
    }
    assert_eq!(state, RolloutState::RolledBack);
}

#[tokio::test]
async fn no_more_rollouts_begin_in_a_project_than_are_judged() {
    let mut world = World::new().await;
    let other: PromptName = "support/other".parse().unwrap();
    let release = async |world: &World, body: &str| {
        let request = release_request(vec![release_prompt(&other, body)]);
        world.control.release(&project(), request).await
    };
    release(&world, "v1").await.unwrap();
    world.release("v1", 0.90).await;
    world.release("v2", 0.90).await;
    crowd(&world, project(), 1..LIST_ROWS_MAX).await;
    // It takes the place of the one before.
    world.release("v3", 0.90).await;
    assert_eq!(world.live(&classify()).rollout.unwrap().candidate, content("v3").0);
    let error = release(&world, "v2").await.unwrap_err().message();
    assert!(error.contains("would have 1001 rollouts at a time, and at most 1000 are judged"), "{error}");
    assert!(world.live(&other).rollout.is_none());
}

/// Starts rollouts of other prompts, like the newest of ours.
async fn crowd(world: &World, project: ProjectName, numbers: Range<u32>) {
    let (ours, now) = (world.newest_rollout().await, world.clock.now());
    let rollouts = numbers.map(|number| {
        let scope = Scope { project: project.clone(), environment: prod() };
        let prompt: PromptName = format!("crowd/p{number}").parse().unwrap();
        let other = RolloutRecord { id: RolloutId::generate(now), scope, prompt, started_at: now, ..ours.clone() };
        Write::RolloutPut {
            rollout: Box::new(RolloutRecord { number: 10 + u64::from(number), ..other }),
            expected: None,
        }
    });
    world.store.commit(rollouts.collect()).await.unwrap();
}
