//! The life of a change, without a server: each command opens the store itself.

use crate::project::Project;

const PROMPT: &str = "prompts/support/classify.prompt";

/// Returns a project with a rollout that runs.
fn with_rollout() -> Project {
    let project = Project::new();
    assert_eq!(project.bowline(&["release", "--env", "prod"]).code, 0);
    project.edit(PROMPT, "at most {{count}}", "{{count}}");
    project.commit("second");
    assert_eq!(project.bowline(&["release", "--env", "prod"]).code, 0);
    project
}

#[test]
fn a_change_is_released_tried_and_ended() {
    let project = Project::new();
    let first = project.transcript("env list\nrelease --env prod\nrelease --env prod\nenv list");
    project.edit(PROMPT, "at most {{count}}", "{{count}}");
    let dirty = project.transcript("release --env prod");
    project.commit("second");
    let tried = project.transcript(
        "release --env prod
release --env prod
rollout list
rollout watch
rollout replay 1
rollout abort 1 --why worse
release --env prod
release --env prod --retry --prompt support/classify
rollout promote 2 --why better
rollout promote 2 --why again
rollback prod support/classify --why complaints
env log prod support/classify
env list
rollout list --active",
    );
    insta::assert_snapshot!([first, dirty, tried].join("\n"));
}

#[test]
fn nothing_moves_in_a_frozen_environment_but_back() {
    let project = with_rollout();
    insta::assert_snapshot!(project.transcript(
        "freeze prod
freeze prod --why holidays
release --env prod --retry
rollout promote 1 --why now
rollback prod support/classify
freeze prod --off
env log prod --limit 3"
    ));
}

#[test]
fn a_rollout_is_explained() {
    let project = with_rollout();
    let plan = "rollout plan support/classify --env prod --units-per-hour";
    insta::assert_snapshot!(
        project.transcript(&format!("{plan} 1000\n{plan} 1\nrollout explain 1\nrollout explain 2"))
    );
}

#[test]
fn a_project_with_errors_is_not_released() {
    let project = Project::new();
    project.write("prompts/a.prompt", "---\nmodel: fats\n---\nHello.\n");
    insta::assert_snapshot!(project.transcript("release --env prod"));
}

#[test]
fn names_that_do_not_exist_are_met_with_what_does() {
    let project = with_rollout();
    insta::assert_snapshot!(project.transcript(
        "release --env prd
release --env dev
release --env prod --prompt support/clasify
env log prd
rollback prod support/clasify
rollback prod support/classify --to abcd1234
key create shop --env prd
inference show inf_1
inference show inf_00000000000070008000000000000000"
    ));
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let project = Project::new();
    project.bowline(&["release", "--env", "prod"]);
    let made = project.command(&["key", "create", "shop", "--env", "prod"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    assert!(key.starts_with("bwl_") && key.trim_end().len() == 68, "only the key is on standard output");
    let keys = project.command(&["key", "list", "--output", "json"]).output().unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys.stdout).unwrap();
    let revoked = project.bowline(&["key", "revoke", keys[0]["id"].as_str().unwrap()]);
    let lists = project
        .transcript("key list\nkey list --all\nkey create app --env prod --environment dev --versions\nkey list");
    insta::assert_snapshot!(format!("{}\n{lists}", revoked.seen()));
}

#[test]
fn every_list_is_json_where_asked_for() {
    let project = with_rollout();
    project.bowline(&["key", "create", "shop", "--env", "prod"]);
    let length = |arguments: &str| {
        let found = project.json(&arguments.split(' ').collect::<Vec<_>>());
        found.as_array().unwrap_or_else(|| panic!("{arguments}: {found}")).len()
    };
    assert_eq!(length("prompt list"), 1);
    assert_eq!(length("env list"), 2);
    assert_eq!(length("env log prod"), 2);
    assert_eq!(length("rollout list"), 1);
    assert_eq!(length("key list"), 1);
    assert_eq!(length("inference list"), 0);
    assert_eq!(project.json(&["rollout", "watch"])["rollout"]["number"], 1);
    assert_eq!(project.json(&["rollout", "explain", "1"])["rollout"]["state"], "running");
    assert_eq!(project.json(&["rollout", "replay", "1"])["equal"], true);
    assert_eq!(project.json(&["release", "--env", "prod"])["results"][0]["status"]["kind"], "in_rollout");
    for of in ["project", "prompt"] {
        assert_eq!(project.json(&["schema", of])["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
    assert_eq!(project.json(&["crd"])["items"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_store_comes_back_from_its_copy() {
    let project = with_rollout();
    insta::assert_snapshot!(project.transcript(
        "backup copy.db
backup copy.db
rollout abort 1 --why worse
restore copy.db
rollout list
restore bowline.yaml"
    ));
}
