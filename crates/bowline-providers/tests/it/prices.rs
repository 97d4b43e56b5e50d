use bowline_providers::conformance;
use bowline_testkit::conformance_data;

#[test]
fn every_priced_case_is_equal_to_the_last_digit() {
    let Some(folder) = conformance_data("prices") else { return };
    let report = conformance::prices(&folder).unwrap();
    let failed: Vec<_> = report.groups.iter().flat_map(|group| &group.failed).take(20).collect();
    assert_eq!(report.failed(), 0, "{failed:#?}");
    let passed = |name: &str| report.groups.iter().find(|group| group.name == name).unwrap().passed;
    assert!(report.passed() > 10_000, "{} passed", report.passed());
    assert!(passed("openai") > 600 && passed("anthropic") > 400 && passed("google") > 600 && passed("figures") > 1_400);
}
