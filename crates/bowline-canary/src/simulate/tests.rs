use super::*;
use crate::design::BaselineRate;
use crate::plan::Plan;

/// Plays one-stage rollouts, watched at every observation up to 4,000 pairs (or 1,500 larger blocks, which are 15,000 units at
/// 10 %), with a design made for `history`.
fn play(share: &str, history: f64, stable: f64, candidate: f64, watch: Watch, runs: u32) -> Summary {
    let plan = Plan { stages: vec![share.parse().unwrap()], ..Plan::default() };
    let pass = [(0.9, 900_000), (0.6, 600_000)].into_iter().find(|(rate, _)| *rate == history).unwrap().1;
    let design = Design::new(plan, Some(BaselineRate { pass, total: 1_000_000 })).unwrap();
    let rates = Arms { stable, candidate };
    let blocks_max = if share == "50%" { 4_000 } else { 1_500 };
    simulate(&Scenario { design, rates, runs, units_max: u64::MAX, blocks_max, watch, seed: 20_261_124 })
}

fn part(count: u32, summary: &Summary) -> f64 {
    f64::from(count) / f64::from(summary.runs)
}

#[test]
fn a_candidate_as_good_as_stable_is_rarely_rolled_back() {
    let check = |share, rate| {
        let found = play(share, 0.9, rate, rate, Watch::Rollback, 2_000);
        let errors = part(found.rolled_back, &found);
        println!("A/A at {rate}, {share}: false rollback {errors:.4} of {} runs", found.runs);
        assert!(errors <= 0.05, "{share} {rate}: {errors}");
    };
    check("50%", 0.9);
    check("10%", 0.9);
    // A design made for another rate is slower, never wrong more often.
    check("50%", 0.5);
}

#[test]
fn a_candidate_worse_by_the_margin_is_rarely_promoted() {
    let check = |share| {
        let found = play(share, 0.9, 0.9, 0.85, Watch::Promotion, 2_000);
        let errors = part(found.promoted, &found);
        println!("boundary .90/.85, {share}: false promotion {errors:.4} of {} runs", found.runs);
        assert!(errors <= 0.05, "{share}: {errors}");
    };
    check("50%");
    check("10%");
}

#[test]
fn a_bad_candidate_is_rolled_back_soon() {
    let found = play("50%", 0.9, 0.9, 0.85, Watch::Rollback, 2_000);
    println!(
        ".90 -> .85 at 1:1: mean {:.0}, q80 {:.0} pairs, from {:.0} units",
        found.blocks.mean, found.blocks.q80, found.units.mean
    );
    let hard = play("50%", 0.6, 0.6, 0.55, Watch::Rollback, 500);
    println!(".60 -> .55 at 1:1: mean {:.0}, q80 {:.0} pairs (cut at 4,000)", hard.blocks.mean, hard.blocks.q80);
    assert!(found.blocks.mean <= 620.0 && found.blocks.q80 <= 920.0, "{found:?}");

    let tenth = play("10%", 0.9, 0.9, 0.85, Watch::Rollback, 2_000);
    println!(
        ".90 -> .85 at 10%: mean {:.0} canary units in {:.0} blocks, q80 {:.0}",
        tenth.candidate_units.mean, tenth.blocks.mean, tenth.candidate_units.q80
    );
    assert!(tenth.candidate_units.mean <= 350.0, "{tenth:?}");
}

#[test]
fn a_candidate_as_good_as_stable_is_promoted_soon() {
    let found = play("50%", 0.9, 0.9, 0.9, Watch::Promotion, 2_000);
    println!("promotion at .90/.90, 1:1: mean {:.0}, q80 {:.0} pairs", found.blocks.mean, found.blocks.q80);
    assert!(found.blocks.mean <= 530.0, "{found:?}");
    let better = play("50%", 0.9, 0.9, 0.95, Watch::Promotion, 500);
    println!("promotion at .90/.95, 1:1: mean {:.0}, q80 {:.0} pairs", better.blocks.mean, better.blocks.q80);
    assert!(better.blocks.mean < found.blocks.mean / 2.0, "{better:?}");
}

#[test]
fn stages_are_passed_and_runs_are_repeatable() {
    let plan = Plan { stages: vec!["10%".parse().unwrap(), "50%".parse().unwrap()], ..Plan::default() };
    let design = Design::new(plan, Some(BaselineRate { pass: 900, total: 1_000 })).unwrap();
    let scenario = Scenario {
        design,
        rates: Arms { stable: 0.9, candidate: 0.9 },
        runs: 500,
        units_max: 20_000,
        blocks_max: u64::MAX,
        watch: Watch::Both,
        seed: 7,
    };
    let found = simulate(&scenario);
    assert_eq!(found, simulate(&scenario));
    assert_ne!(found, simulate(&Scenario { seed: 8, ..scenario.clone() }));
    assert!(part(found.promoted, &found) >= 0.9 && part(found.rolled_back, &found) <= 0.05, "{found:?}");
    // A tenth of the first thousand units and half of the others are on the candidate.
    let share = found.candidate_units.mean / found.units.mean;
    assert!((0.15..0.45).contains(&share), "{found:?}");
}

/// A provider's outage meets both arms; units of a block are of about the same time, so it is not blamed on the candidate.
#[test]
fn an_outage_of_both_arms_is_no_bad_candidate() {
    let check = |share: &str, every: u64| {
        let plan = Plan { stages: vec![share.parse().unwrap()], ..Plan::default() };
        let engine = Engine::new(Design::new(plan.clone(), Some(BaselineRate { pass: 900, total: 1_000 })).unwrap());
        let rolled_back = |seed: u64| {
            let (mut engine, mut random) = (engine.clone(), Xoshiro256PlusPlus::seed_from_u64(seed));
            for sequence in 1..=4_000 {
                let arm = if plan.stages[0].contains(random.next_u64()) { Arm::Candidate } else { Arm::Stable };
                let out = sequence % every >= every - 100;
                let value = if !out && random.next_u64() % 10 < 9 { Value::PASS } else { Value::FAIL };
                engine.judge(sequence, 0, arm, value).unwrap();
            }
            engine.evidence().rollback.reached_at.is_some()
        };
        let count = (0..600).filter(|seed| rolled_back(*seed)).count();
        println!("outage of 100 units in every {every}, {share}: false rollback {count} of 600 runs");
        assert!(count <= 30, "{share} {every}: {count}");
    };
    for share in ["50%", "10%"] {
        check(share, 3_000);
        check(share, 1_000);
    }
}
