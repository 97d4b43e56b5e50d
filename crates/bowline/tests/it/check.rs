//! `bowline check` and `bowline lock`.

use crate::project::Project;

#[test]
fn a_sound_project_has_nothing_wrong() {
    let project = Project::new();
    insta::assert_snapshot!(project.transcript("check\n--output json check"));
}

#[test]
fn each_kind_of_error_is_told_with_its_place_and_a_hint() {
    const HEAD: &str = "---\nmodel: fast\ninput: { schema: { ticket: string } }\n---\n";
    let prompt = "prompts/a.prompt";
    let cases: [(&str, &str, &[u8]); 10] = [
        ("a variable that is not declared", prompt, &[HEAD.as_bytes(), b"{{ticket}} {{tickets}}\n"].concat()),
        ("a required input that is not used", prompt, &[HEAD.as_bytes(), b"Hello.\n"].concat()),
        ("a partial that does not exist", prompt, &[HEAD.as_bytes(), b"{{ticket}} {{>ton}}\n"].concat()),
        ("a model that does not exist", prompt, b"---\nmodel: fats\n---\nHello.\n"),
        ("a tool that does not exist", prompt, b"---\nmodel: fast\ntools: [lookup]\n---\nHello.\n"),
        ("a schema that is none", prompt, b"---\nmodel: fast\noutput: { schema: { answer: strin } }\n---\nHello.\n"),
        ("bytes that are no text", prompt, b"---\nmodel: fast\n---\nGr\xfc\xdfe\n"),
        ("partials that include each other", "prompts/_tone.prompt", b"Be {{>tone}}.\n"),
        ("an unknown key", "bowline.yaml", b"project: desk\nenviroments: { prod: {} }\n"),
        (
            "a secret that is no reference",
            "bowline.yaml",
            b"project: desk\nproviders: { o: { kind: openai, api_key: sk-live } }\n",
        ),
    ];
    let told = cases.map(|(what, path, text)| {
        let project = Project::new();
        project.write(path, text);
        let ran = project.bowline(&["check"]);
        assert_eq!(ran.code, 1, "{what}");
        format!("# {what}\n{}", ran.seen())
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_project_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Project::new().bowline(&["check", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("error: there is no bowline.yaml in "), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
}

#[test]
fn json_lists_the_findings() {
    let project = Project::new();
    project.write("prompts/a.prompt", "---\nmodel: fats\n---\n{{nobody}}\n");
    let found = project.json(&["check"]);
    assert_eq!((found["errors"].as_u64(), found["prompts"].as_u64()), (Some(2), Some(2)));
    assert_eq!(found["diagnostics"][0]["file"], "prompts/a.prompt");
    assert_eq!(found["diagnostics"][0]["span"]["start"]["line"], 2);
}

#[test]
fn what_breaks_running_applications_is_told() {
    let project = Project::new();
    let before =
        project.transcript("check --against prod\nrelease --env prod\ncheck --against prod\ncheck --against prd");
    project.edit("prompts/support/classify.prompt", "ticket: string", "ticket: string\n    locale: string");
    project.edit("prompts/support/classify.prompt", "{{ticket}}", "{{locale}} {{ticket}}");
    let after = project.transcript("check\ncheck --against prod");
    insta::assert_snapshot!(format!("{before}\n{after}"));
}

#[test]
fn a_lock_is_that_of_the_working_tree() {
    let project = Project::new();
    let first = project.transcript("lock --check\nlock\nlock\nlock --check");
    project.edit("prompts/_tone.prompt", "brief", "short");
    let second = project.transcript("lock --check");
    insta::assert_snapshot!(format!("{first}\n{second}"));
}
