use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::*;
use crate::subject::{Grade, MetricScore, Subject};

/// Adds repeats of a case, written as `P` (pass), `F` (fail) and `E` (errored).
fn add(tally: &mut Tally<String>, id: &str, repeats: &str) {
    for repeat in repeats.chars() {
        let grade = if repeat == 'E' { Grade::failed_to("x") } else { Grade::new(repeat == 'P', "x") };
        tally.push(id.to_owned(), id.starts_with("must"), &Subject::default(), &grade);
    }
}

/// Makes a tally of `count` cases that pass, and then of what is given.
fn tally(count: usize, more: &[(&str, &str)]) -> Tally<String> {
    let mut tally = Tally::new();
    (0..count).for_each(|index| add(&mut tally, &format!("case-{index:05}"), "P"));
    more.iter().for_each(|(id, repeats)| add(&mut tally, id, repeats));
    tally
}

fn judge(candidate: &Tally<String>, stable: Option<&Tally<String>>) -> GateReport {
    gate(candidate.clone(), stable.cloned(), &Thresholds::default(), &BTreeMap::new(), &Policy::default()).unwrap()
}

fn reasons(report: &GateReport) -> Vec<String> {
    match &report.verdict {
        Verdict::Failed { reasons } => reasons.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn thirty_cases_give_a_useful_answer() {
    let stable = tally(30, &[]);
    let equal = judge(&tally(30, &[]), Some(&stable));
    assert_eq!(equal.verdict, Verdict::Inconclusive { cases_needed: Some(84) });
    assert_eq!(exit_code([&equal.verdict], OnInconclusive::Warn), 0);
    assert_eq!(exit_code([&equal.verdict], OnInconclusive::Fail), 101);

    let worse = judge(&tally(29, &[("case-00029", "F")]), Some(&stable));
    assert_eq!(reasons(&worse), ["1 case that stable passes failed, unexplained"]);
    assert_eq!(worse.flips.to_fail.ids, ["case-00029"]);
    assert_eq!(exit_code([&worse.verdict], OnInconclusive::Warn), 100);

    let better = judge(&stable, Some(&tally(29, &[("case-00029", "F")])));
    assert_eq!((better.flips.to_pass.count, better.flips.to_fail.count), (1, 0));
    assert!(
        matches!(better.verdict, Verdict::Inconclusive { cases_needed: Some(needed) } if needed < 84),
        "{better:?}"
    );
}

#[test]
fn what_stable_cannot_be_graded_on_must_pass() {
    // The change renames an input of the prompt, so no call to stable can be made.
    let mut stable = Tally::new();
    (0..3).for_each(|index| add(&mut stable, &format!("case-{index:05}"), "E"));
    let broken = judge(&tally(1, &[("case-00001", "F"), ("case-00002", "F")]), Some(&stable));
    let said = "2 cases failed that stable could not be graded on, and the suite has no `pass_rate`";
    assert_eq!(reasons(&broken), [said]);
    assert_eq!(broken.uncompared_failed.ids, ["case-00001", "case-00002"]);
    assert!(matches!(judge(&tally(3, &[]), Some(&stable)).verdict, Verdict::Inconclusive { .. }));
    // A suite that says how many may fail is held against that.
    let thresholds = Thresholds { pass_rate: Some(0.3), ..Thresholds::default() };
    let candidate = tally(1, &[("case-00001", "F"), ("case-00002", "F")]);
    let said = gate(candidate, Some(stable), &thresholds, &BTreeMap::new(), &Policy::default()).unwrap();
    assert!(reasons(&said).is_empty(), "{said:?}");
}

#[test]
fn suites_that_are_large_enough_decide() {
    let equal = judge(&tally(84, &[]), Some(&tally(84, &[])));
    assert_eq!(equal.verdict, Verdict::Pass);
    assert_eq!(equal.comparison.unwrap().finding, Finding::NotWorse);
    assert_eq!(judge(&tally(83, &[]), Some(&tally(83, &[]))).verdict, Verdict::Inconclusive { cases_needed: Some(84) });

    // A policy with a wider margin needs fewer.
    let policy = Policy { margin: 0.1, ..Policy::default() };
    let wide = |count| {
        gate(tally(count, &[]), Some(tally(count, &[])), &Thresholds::default(), &BTreeMap::new(), &policy)
            .unwrap()
            .verdict
    };
    assert_eq!(wide(38), Verdict::Pass);
    assert_eq!(wide(37), Verdict::Inconclusive { cases_needed: Some(38) });
}

/// Flips that are explained do not hide that there are too many of them.
#[test]
fn a_worse_candidate_is_called_worse_even_where_flips_are_explained() {
    let failing: Vec<String> = (0..12).map(|index| format!("case-{index:05}")).collect();
    let explained: BTreeMap<String, String> = failing.iter().map(|id| (id.clone(), "new policy".to_owned())).collect();
    let mut candidate = tally(0, &[]);
    (0..60).for_each(|index| add(&mut candidate, &format!("case-{index:05}"), if index < 12 { "F" } else { "P" }));
    let report = gate(candidate, Some(tally(60, &[])), &Thresholds::default(), &explained, &Policy::default()).unwrap();
    assert_eq!(report.flips.explained.len(), 12);
    assert_eq!(reasons(&report), ["worse than stable by 20.0 points on 60 cases"]);
}

#[test]
fn flips_with_repeats() {
    let check = |before: &str, after: &str, expected: &str| {
        let report = judge(&tally(0, &[("x", after)]), Some(&tally(0, &[("x", before)])));
        let Flips { to_fail, to_pass, unsteady, .. } = report.flips;
        let found = match (to_fail.count, to_pass.count, unsteady.count) {
            (1, 0, 0) => "to fail",
            (0, 1, 0) => "to pass",
            (0, 0, 1) => "unsteady",
            (0, 0, 0) => "none",
            _ => "several",
        };
        assert_eq!(found, expected, "{before} -> {after}");
    };
    check("P", "F", "to fail");
    check("F", "P", "to pass");
    check("P", "P", "none");
    check("PPP", "FFF", "to fail");
    check("PPP", "PFF", "to fail");
    check("PPF", "FFF", "to fail");
    check("PPF", "PFF", "unsteady");
    check("PFF", "PPF", "unsteady");
    check("PPPPPPPPPF", "PFFFFFFFFF", "to fail");
    check("PFFFFFFFFF", "PPPPPPPPPF", "to pass");
    check("PPPPPPFFFF", "PPPPFFFFFF", "unsteady");
    check("PPP", "PPF", "none");
    check("PF", "FF", "none");
    check("PP", "PF", "none");
    // What is errored says nothing about the version.
    check("P", "E", "none");
    check("E", "F", "none");
    check("PEE", "FEE", "to fail");
}

#[test]
fn explanations_need_a_reason_to_stand() {
    let explained =
        BTreeMap::from([("case-00000".to_owned(), "asked for".to_owned()), ("gone".to_owned(), "old".to_owned())]);
    let mut candidate = tally(0, &[("case-00000", "F")]);
    (1..10).for_each(|index| add(&mut candidate, &format!("case-{index:05}"), "P"));
    let report = gate(candidate, Some(tally(10, &[])), &Thresholds::default(), &explained, &Policy::default()).unwrap();
    assert!(matches!(report.verdict, Verdict::Inconclusive { .. }), "{report:?}");
    assert_eq!(report.flips.explained, [Explained { case: "case-00000".to_owned(), reason: "asked for".to_owned() }]);
    assert_eq!(report.flips.stale, ["gone"]);
}

#[test]
fn reasons_of_flips_are_texts() {
    let check = |metadata: serde_json::Value, expected: Option<&str>| {
        assert_eq!(flip_reason(metadata.as_object().unwrap()), expected, "{metadata}");
    };
    check(serde_json::json!({"flip": " asked for in #12 "}), Some("asked for in #12"));
    // What gives no reason explains nothing.
    check(serde_json::json!({"flip": "  "}), None);
    check(serde_json::json!({"flip": true}), None);
    check(serde_json::json!({}), None);
}

#[test]
fn must_pass_cases_pass_in_every_repeat() {
    let check = |repeats: &str, expected: &[&str]| {
        let thresholds = Thresholds { pass_rate: Some(0.5), ..Thresholds::default() };
        let policy = Policy { errored_max: 0.5, ..Policy::default() };
        let report = gate(tally(9, &[("must-1", repeats)]), None, &thresholds, &BTreeMap::new(), &policy).unwrap();
        assert_eq!(reasons(&report), expected, "{repeats}");
    };
    check("PPP", &[]);
    check("PPF", &["1 case that must pass did not"]);
    check("PPE", &["1 case that must pass did not"]);
}

#[test]
fn without_stable_and_thresholds_every_case_must_pass() {
    assert_eq!(judge(&tally(5, &[]), None).verdict, Verdict::Pass);
    let failed = judge(&tally(4, &[("x", "F")]), None);
    assert_eq!(reasons(&failed), ["pass rate 80%, at least 100%"]);
    // With stable, a case that it fails too is no news.
    let compared = judge(&tally(4, &[("x", "F")]), Some(&tally(4, &[("x", "F")])));
    assert!(matches!(compared.verdict, Verdict::Inconclusive { .. }), "{compared:?}");
    assert_eq!(reasons(&judge(&Tally::new(), None)), ["there are no cases to judge by"]);
    assert_eq!(exit_code([], OnInconclusive::Warn), 100);
}

#[test]
fn what_cannot_be_graded_does_not_pass() {
    let stable = tally(100, &[]);
    let report = judge(&tally(99, &[("case-00099", "E")]), Some(&stable));
    assert_eq!(reasons(&report), ["1 of 100 calls could not be graded"]);
    assert_eq!(report.comparison.unwrap().cases_skipped, 1);
    let policy = Policy { errored_max: 0.01, ..Policy::default() };
    let candidate = tally(99, &[("case-00099", "E")]);
    let report = gate(candidate, Some(stable), &Thresholds::default(), &BTreeMap::new(), &policy).unwrap();
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!((report.candidate.errored, report.candidate.passed), (1, 99));
}

#[test]
fn thresholds_are_held_against_what_was_measured() {
    let mut candidate = Tally::new();
    for index in 0..20_u32 {
        let metrics = BTreeMap::from([(
            "tone".to_owned(),
            MetricScore { score: if index < 10 { 1.0 } else { 0.5 }, weight: 2.0 },
        )]);
        let grade = Grade { metrics, ..Grade::new(index != 0, "x") };
        let subject = Subject {
            cost_usd: Some("0.002".to_owned()),
            latency_ms: f64::from(index + 1) * 10.0,
            ..Subject::default()
        };
        candidate.push(format!("case-{index}"), false, &subject, &grade);
    }
    let check = |thresholds: Thresholds, expected: &[&str]| {
        let report = gate(candidate.clone(), None, &thresholds, &BTreeMap::new(), &Policy::default()).unwrap();
        assert_eq!(reasons(&report), expected, "{thresholds:?}");
    };
    let base = Thresholds { pass_rate: Some(0.95), ..Thresholds::default() };
    check(base.clone(), &[]);
    check(Thresholds { pass_rate: Some(0.96), ..base.clone() }, &["pass rate 95%, at least 96%"]);
    let metric = |name: &str, least| BTreeMap::from([(name.to_owned(), least)]);
    check(Thresholds { metrics: metric("tone", 0.75), ..base.clone() }, &[]);
    check(Thresholds { metrics: metric("tone", 0.8), ..base.clone() }, &["metric tone 0.75, at least 0.8"]);
    check(
        Thresholds { metrics: metric("none", 0.1), ..base.clone() },
        &["metric none not known, as no assertion counts for it, at least 0.1"],
    );
    check(Thresholds { cost_usd_mean_max: Some(0.002), ..base.clone() }, &[]);
    check(
        Thresholds { cost_usd_mean_max: Some(0.0019), ..base.clone() },
        &["mean cost of a call $0.002, at most $0.0019"],
    );
    check(Thresholds { latency_ms_p95_max: Some(190.0), ..base.clone() }, &[]);
    check(
        Thresholds { latency_ms_p95_max: Some(189.0), ..base.clone() },
        &["95th percentile of latency 190 ms, at most 189 ms"],
    );
    candidate.push("unpriced".to_owned(), false, &Subject::default(), &Grade::new(true, "x"));
    let report = gate(
        candidate,
        None,
        &Thresholds { cost_usd_mean_max: Some(1.0), ..base },
        &BTreeMap::new(),
        &Policy::default(),
    );
    assert_eq!(reasons(&report.unwrap()), ["mean cost of a call not known, as a model has no price, at most $1"]);
}

#[test]
fn policies_out_of_range_are_refused() {
    let refused =
        |policy| gate(tally(1, &[]), None, &Thresholds::default(), &BTreeMap::new(), &policy).unwrap_err().to_string();
    assert!(refused(Policy { alpha: 0.0, ..Policy::default() }).contains("alpha"));
    assert!(refused(Policy { margin: 1.0, ..Policy::default() }).contains("margin"));
    let read: Policy = serde_json::from_str(r#"{"on_inconclusive": "fail"}"#).unwrap();
    assert_eq!(read, Policy { on_inconclusive: OnInconclusive::Fail, ..Policy::default() });
    assert!(serde_json::from_str::<Policy>(r#"{"alfa": 1}"#).is_err());
}

#[test]
fn exit_codes() {
    let failed = Verdict::Failed { reasons: vec![Reason::NoCases] };
    let open = Verdict::Inconclusive { cases_needed: None };
    let check = |verdicts: &[&Verdict], on_inconclusive, expected| {
        assert_eq!(exit_code(verdicts.iter().copied(), on_inconclusive), expected, "{verdicts:?}");
    };
    check(&[&Verdict::Pass, &open], OnInconclusive::Warn, 0);
    check(&[&Verdict::Pass, &open], OnInconclusive::Fail, 101);
    check(&[&open, &failed, &Verdict::Pass], OnInconclusive::Fail, 100);
    assert_eq!(Verdict::together([&Verdict::Pass, &open, &failed]), Some(&failed));
    assert_eq!(Verdict::together([&Verdict::Pass, &open]), Some(&open));
}

/// The statistical part at the gate's own seat: whole runs of a suite, judged once at their end.
#[test]
fn false_verdicts_are_as_rare_as_the_policy_says() {
    const CASES: usize = 90;
    let ids: Vec<String> = (0..CASES).map(|index| format!("{index:04}")).collect();
    // `lost` and `won` are the chances that one version alone passes a case; `repeats` of a case agree with each other in part.
    let play = |runs: u64, lost: f64, won: f64, repeats: u32, found: Finding| {
        let hits = (0..runs).filter(|run| {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(*run);
            let mut uniform = move || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            let (mut stable, mut candidate) = (Tally::new(), Tally::new());
            for id in &ids {
                let cell = uniform();
                let (before, after) = if cell < lost {
                    (0.9, 0.1)
                } else if cell < lost + won {
                    (0.1, 0.9)
                } else {
                    (1.0, 1.0)
                };
                for _ in 0..repeats {
                    let (before, after) = if repeats == 1 {
                        (before > 0.5, after > 0.5)
                    } else {
                        (uniform() < before, uniform() < after)
                    };
                    stable.push(id.clone(), false, &Subject::default(), &Grade::new(before, ""));
                    candidate.push(id.clone(), false, &Subject::default(), &Grade::new(after, ""));
                }
            }
            Comparison::of(&stable.in_order(), &candidate.in_order(), PairsDesign::new(0.05, 0.05).unwrap()).finding
                == found
        });
        let part = hits.count() as f64 / runs as f64;
        println!("lost {lost}, won {won}, {repeats} repeats: {found:?} in {part:.4} of {runs} runs");
        part
    };
    assert!(play(2_000, 0.1, 0.1, 2, Finding::Worse) <= 0.05);
    // Each lost case costs 0.8 of a case here, so this is worse by 0.05.
    assert!(play(2_000, 0.0825, 0.02, 2, Finding::NotWorse) <= 0.05);
    assert!(play(200, 0.15, 0.0, 1, Finding::Worse) >= 0.9);
    assert!(play(200, 0.0, 0.02, 1, Finding::NotWorse) >= 0.9);
}

proptest! {
    /// A report says the same whatever the order of the calls, and comes back from JSON as it was.
    #[test]
    fn reports_are_values(outcomes in prop::collection::vec((0..20_u8, "[PFE]", "[PFE]"), 1..60), must in 0..20_u8) {
        let build = |outcomes: &mut dyn Iterator<Item = &(u8, String, String)>| {
            let (mut stable, mut candidate) = (Tally::new(), Tally::new());
            for (id, before, after) in outcomes {
                let id = if *id == must { format!("must-{id}") } else { format!("case-{id}") };
                add(&mut stable, &id, before);
                add(&mut candidate, &id, after);
            }
            judge(&candidate, Some(&stable))
        };
        let report = build(&mut outcomes.iter());
        prop_assert_eq!(&report, &build(&mut outcomes.iter().rev()));
        let read: GateReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        prop_assert_eq!(&read, &report);
        // Nothing passes with an unexplained flip, a must-pass case that failed, or a call without a grade.
        let Standing { errored, .. } = report.candidate;
        if report.flips.to_fail.count + report.must_pass_failed.count + errored > 0 {
            let failed = matches!(report.verdict, Verdict::Failed { .. });
            prop_assert!(failed);
        }
    }
}
