use super::*;

const WHOLE: &str = "
seed: 7
noise: 0.1
latency:
  first_byte: { lognormal: { median: 400ms, sigma: 0.5 } }
  tokens_per_second: 80
faults:
  - { kind: rate_limited, rate: 0.02, wait: 2s }
  - { kind: slow_first_byte, rate: 0.25 }
";

#[test]
fn scenarios_are_read() {
    let expected = Scenario {
        seed: 7,
        noise: 0.1,
        latency: Latency {
            first_byte: Wait::LogNormal { median: Duration::from_millis(400), sigma: 0.5 },
            tokens_per_second: Some(80.0),
        },
        faults: vec![
            Fault { kind: FaultKind::RateLimited, rate: 0.02, wait: Some(Duration::from_secs(2)) },
            Fault { kind: FaultKind::SlowFirstByte, rate: 0.25, wait: None },
        ],
    };
    assert_eq!(Scenario::parse(WHOLE), Ok(expected));
    for empty in ["", "# nothing\n", "---\n"] {
        assert_eq!(Scenario::parse(empty), Ok(Scenario::default()), "{empty:?}");
    }
    let wait = |text: &str| Scenario::parse(&format!("latency: {{ first_byte: {text} }}")).unwrap().latency.first_byte;
    assert_eq!(wait("5ms"), Wait::Constant(Duration::from_millis(5)));
    assert_eq!(wait("{ constant: 5ms }"), Wait::Constant(Duration::from_millis(5)));
    assert_eq!(wait("{ uniform: [1ms, 2s] }"), Wait::Uniform(Duration::from_millis(1), Duration::from_secs(2)));
    for kind in FaultKind::ALL {
        let yaml = format!("faults: [{{ kind: {}, rate: 1 }}]", kind.as_str());
        assert_eq!(Scenario::parse(&yaml).unwrap().faults[0].kind, kind);
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    let check = |yaml: &str, expected: &str| {
        let error = Scenario::parse(yaml).unwrap_err().to_string();
        assert_eq!(error, expected, "{yaml}");
    };
    check("seed: 1\nnoize: 0.3", "line 2: unknown key `noize` (did you mean `noise`?)");
    check("zebra: 1", "line 1: unknown key `zebra` (expected `seed`, `noise`, `latency`, `faults`)");
    check("seed: -1", "line 1: `seed` must be a whole number from 0");
    check("noise: 2", "line 1: `noise` must be a number from 0 to 1");
    check("noise: .nan", "line 1: `noise` must be a number from 0 to 1");
    check("latency:\n  first_byte: 250", "line 2: `first_byte` must be a duration such as `250ms` or `2s`");
    check("latency:\n  tokens_per_second: 0", "line 2: `tokens_per_second` must be a number above 0");
    check(
        "latency: { first_byte: { uniform: [2s, 1s] } }",
        "line 1: `uniform` must be two durations, the shorter one first",
    );
    check("latency: { first_byte: { lognormal: { median: 1s } } }", "line 1: `sigma` is missing");
    check("faults: { kind: x }", "line 1: `faults` must be a list");
    check("faults:\n- rate: 1", "line 2: `kind` is missing");
    check("faults:\n- kind: stream_cut", "line 2: `rate` is missing");
    check(
        "faults:\n- { kind: stream_cut, rate: 0.6 }\n- { kind: overloaded, rate: 0.5 }",
        "line 2: `faults` must be a list whose rates add up to 1 at most, as a call meets one fault at most",
    );
    check("seed: 1\nseed: 2", "line 2: duplicated key in mapping");
    let error = Scenario::parse("faults:\n- { kind: rate_limit, rate: 0.1 }").unwrap_err().to_string();
    assert!(error.starts_with("line 2: `kind` must be one of `rate_limited`, "), "{error}");
    assert!(error.ends_with("(did you mean `rate_limited`?)"), "{error}");
    assert!(matches!(Scenario::parse("a: ["), Err(ScenarioError::Yaml { .. })));
    assert!(matches!(Scenario::parse("---\nseed: 1\n---\nseed: 2"), Err(ScenarioError::Yaml { line: 4, .. })));
}

#[test]
fn courses_repeat_and_have_their_rates() {
    let scenario = Scenario::parse(WHOLE).unwrap();
    let courses: Vec<Course> = (0..20_000).map(|number| scenario.course(number)).collect();
    assert_eq!(scenario.course(123), courses[123]);
    let other = Scenario { seed: 8, ..scenario.clone() };
    assert_ne!(other.course(123), courses[123]);
    let count = f64::from(u32::try_from(courses.len()).unwrap());
    let share = |meets: &dyn Fn(&Course) -> bool| {
        f64::from(u32::try_from(courses.iter().filter(|course| meets(course)).count()).unwrap()) / count
    };
    assert!((share(&|course| course.meets(FaultKind::RateLimited)) - 0.02).abs() < 0.005);
    assert!((share(&|course| course.meets(FaultKind::SlowFirstByte)) - 0.25).abs() < 0.01);
    let slow = |course: &Course| course.meets(FaultKind::SlowFirstByte);
    assert!(courses.iter().filter(|course| slow(course)).all(|course| course.first_byte > Duration::from_secs(5)));
    let late = |course: &Course| !slow(course) && course.first_byte > Duration::from_millis(400);
    assert!((share(&late) / 0.75 - 0.5).abs() < 0.015);
}

#[test]
fn writing_takes_its_time() {
    let scenario = Scenario::parse(WHOLE).unwrap();
    assert_eq!(scenario.writing(80), Duration::from_secs(1));
    assert_eq!(Scenario::default().writing(80), Duration::ZERO);
}
