use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::*;
use crate::evidence::to_f64;

const RUNS: u32 = 2_000;
const SEED: u64 = 20_261_125;

/// Cases after which a comparison is given up.
const CASES_MAX: u64 = 1_000;

fn design(margin: f64) -> PairsDesign {
    PairsDesign::new(0.05, margin).unwrap()
}

fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
    to_f64(random.next_u64() >> 11) / to_f64(1 << 53)
}

/// The part of comparisons that reach a verdict, and the mean of their cases (those without a verdict count with all).
fn play(
    margin: f64,
    reached: fn(&PairsEvidence) -> bool,
    mut case: impl FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64),
) -> (f64, f64) {
    let fresh = Pairs::new(design(margin));
    let (mut decided, mut cases) = (0, 0);
    for run in 0..RUNS {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED + u64::from(run));
        let mut pairs = fresh.clone();
        let found = (0..CASES_MAX).any(|_| {
            let (stable, candidate) = case(&mut random);
            pairs.push(stable, candidate);
            reached(&pairs.evidence())
        });
        decided += u32::from(found);
        cases += pairs.evidence().cases;
    }
    (f64::from(decided) / f64::from(RUNS), to_f64(cases) / f64::from(RUNS))
}

/// Stable alone passes with `lost`, the candidate alone with `won`; else they agree.
fn cells(lost: f64, won: f64) -> impl FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64) {
    move |random| match uniform(random) {
        below if below < lost => (1.0, 0.0),
        below if below < lost + won => (0.0, 1.0),
        _ => (1.0, 1.0),
    }
}

#[test]
fn a_candidate_that_is_not_worse_is_rarely_called_worse() {
    let check = |name: &str, margin, case: &mut dyn FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64)| {
        let (errors, _) = play(margin, PairsEvidence::is_worse, case);
        println!("not worse, {name}, margin {margin}: called worse {errors:.4} of {RUNS} runs");
        assert!(errors <= 0.05, "{name}: {errors}");
    };
    check("pairs .03/.03", 0.05, &mut cells(0.03, 0.03));
    check("pairs .15/.15", 0.05, &mut cells(0.15, 0.15));
    check("pairs .03/.03", 0.1, &mut cells(0.03, 0.03));
    check("independent at .9", 0.05, &mut |random| {
        let passes = |random: &mut Xoshiro256PlusPlus| if uniform(random) < 0.9 { 1.0 } else { 0.0 };
        (passes(random), passes(random))
    });
    check("five runs a case", 0.05, &mut clustered(0.0));
}

#[test]
fn a_candidate_that_is_worse_by_the_margin_is_rarely_called_not_worse() {
    let check = |name: &str, margin, case: &mut dyn FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64)| {
        let (errors, _) = play(margin, PairsEvidence::is_not_worse, case);
        println!("worse by the margin, {name}, margin {margin}: called not worse {errors:.4} of {RUNS} runs");
        assert!(errors <= 0.05, "{name}: {errors}");
    };
    check("pairs .05/.00", 0.05, &mut cells(0.05, 0.0));
    check("pairs .08/.03", 0.05, &mut cells(0.08, 0.03));
    check("pairs .10/.00", 0.1, &mut cells(0.1, 0.0));
    check("five runs a case", 0.05, &mut clustered(0.05));
}

/// Five runs of a case of each version: cases differ in how hard they are, so runs of one resemble each other (an intraclass
/// correlation of about .3), and the candidate passes less often by `worse`.
fn clustered(worse: f64) -> impl FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64) {
    move |random| {
        // Half of the cases pass nearly always, half are a matter of luck.
        let rate = if uniform(random) < 0.5 { 0.95 } else { 0.5 };
        let mut mean = |rate: f64| (0..5).map(|_| if uniform(random) < rate { 0.2 } else { 0.0 }).sum();
        (mean(rate), mean(rate - worse))
    }
}

/// What ignoring the clusters would do: the same runs, each as a case of its own.
#[test]
fn runs_of_a_case_are_one_case() {
    let mut left: Vec<(f64, f64)> = Vec::new();
    let (errors, _) = play(0.05, PairsEvidence::is_worse, |random| {
        if left.is_empty() {
            // A case whose outcome hangs on the version by chance: all five runs agree.
            let outcome = cells(0.1, 0.1)(random);
            left = vec![outcome; 5];
        }
        left.pop().unwrap()
    });
    println!("runs as cases of their own: called worse {errors:.4} of {RUNS} runs");
    assert!(errors > 0.1, "the clusters would not matter: {errors}");
}

#[test]
fn verdicts_come_soon() {
    let check = |name: &str, reached, lost, won, most: f64| {
        let (decided, mean) = play(0.05, reached, cells(lost, won));
        println!("{name}, pairs {lost}/{won}: {decided:.3} decided, mean {mean:.0} cases");
        assert!(decided >= 0.95 && mean <= most, "{name}: {decided} {mean}");
    };
    check("worse", PairsEvidence::is_worse, 0.07, 0.02, 275.0);
    check("worse", PairsEvidence::is_worse, 0.06, 0.01, 200.0);
    check("worse", PairsEvidence::is_worse, 0.2, 0.02, 60.0);
    check("not worse", PairsEvidence::is_not_worse, 0.03, 0.03, 260.0);
    check("not worse", PairsEvidence::is_not_worse, 0.01, 0.01, 140.0);
    check("not worse", PairsEvidence::is_not_worse, 0.02, 0.07, 110.0);
}

/// The sizes that documents name: with outcomes that differ nowhere, and with one that does.
#[test]
fn small_suites_cannot_decide() {
    let sizes = [0.02, 0.03, 0.05, 0.1, 0.2].map(|margin| design(margin).cases_min(10_000).unwrap());
    assert_eq!(sizes, [265, 157, 84, 38, 18]);
    assert_eq!(design(0.05).cases_min(80), None);

    let mut pairs = Pairs::new(design(0.05));
    pairs.push(1.0, 0.0);
    let more = pairs.cases_to_go(10_000).unwrap();
    println!("with one regression: {} cases", more + 1);
    assert!((110..150).contains(&more), "{more}");
    (0..more).for_each(|_| pairs.push(1.0, 1.0));
    assert!(pairs.evidence().is_not_worse() && pairs.cases_to_go(0) == Some(0));
    assert_eq!(pairs.evidence().cases, more + 1);
}

#[test]
fn parameters_out_of_range_are_refused() {
    for (alpha, margin) in [(0.0, 0.05), (1.0, 0.05), (0.05, 0.0), (0.05, 1.0), (f64::NAN, 0.05), (0.05, f64::NAN)] {
        let error = PairsDesign::new(alpha, margin).unwrap_err();
        assert!(error.to_string().contains("must be above 0 and below 1"), "{error}");
    }
    let wide = PairsDesign::new(0.99, 0.99).unwrap();
    assert!(wide.cases_min(1_000).is_some());
}

proptest! {
    /// The evidence says the same whatever the order of the cases.
    #[test]
    fn order_does_not_matter(cases in prop::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 0..60)) {
        let evidence = |cases: &mut dyn Iterator<Item = &(f64, f64)>| {
            let mut pairs = Pairs::new(design(0.05));
            cases.for_each(|(stable, candidate)| pairs.push(*stable, *candidate));
            pairs.evidence()
        };
        let (forward, backward) = (evidence(&mut cases.iter()), evidence(&mut cases.iter().rev()));
        for (left, right) in [(forward.worse, backward.worse), (forward.not_worse, backward.not_worse)] {
            prop_assert!((left.log10() - right.log10()).abs() < 1e-9);
        }
    }
}
