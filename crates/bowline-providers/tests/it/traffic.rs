use bowline_providers::conformance;
use bowline_testkit::conformance_data;

#[test]
fn every_recorded_exchange_decodes() {
    let Some(folder) = conformance_data("provider-traffic") else { return };
    let report = conformance::provider_traffic(&folder).unwrap();
    for group in &report.groups {
        println!("{}: {} passed, refused {:?}, {} failed", group.name, group.passed, group.refused, group.failed.len());
    }
    let failed: Vec<_> = report.groups.iter().flat_map(|group| &group.failed).take(40).collect();
    assert_eq!(report.failed(), 0, "{failed:#?}");
    assert!(report.passed() > 1_250, "{} passed", report.passed());
}
