use super::*;
use crate::diagnostic::render;

const GOOD: &str = r#"
project: support-desk
providers:
  openai: { kind: openai, api_key: env:OPENAI_API_KEY }
  claude: { kind: anthropic, api_key: file:/run/secrets/claude }
  local:  { kind: openai, base_url: http://127.0.0.1:11434/v1/, identity: "vllm/llama-3" }
models:
  fast: { provider: openai, model: gpt-5-mini }
  smart:
    targets:
      - { provider: openai, model: gpt-5, timeout: 30s }
      - { provider: claude, model: claude-sonnet-4-5 }
  own: { provider: local, model: llama-3-8b }
environments:
  dev:
  staging: { source: bundle }
  prod:
    protected: true
    rollout: { stages: ["10%", "50%"], margin: 0.04 }
    gate: { on_inconclusive: fail, margin: 0.1 }
    providers: { openai: { base_url: https://proxy.example.com/openai, api_key: env:PROD_KEY } }
telemetry: { content: failures, otlp: { endpoint: http://collector:4318 } }
"#;

fn good() -> Project {
    Project::parse("bowline.yaml", GOOD).unwrap()
}

fn environment(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

#[test]
fn a_good_file_is_read() {
    let project = good();
    assert_eq!(project.name.as_str(), "support-desk");
    let identities = |alias: &str| {
        let identities = project.identities(&alias.parse().unwrap()).unwrap();
        identities.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(identities("smart"), ["openai/gpt-5", "anthropic/claude-sonnet-4-5"]);
    assert_eq!(identities("own"), ["vllm/llama-3/llama-3-8b"]);
    assert_eq!(project.models["smart"].targets[0].timeout, Duration::from_secs(30));
    assert_eq!(project.models["fast"].targets[0].timeout, Duration::from_secs(60));
    assert_eq!(project.source(&environment("dev")), Some(EnvironmentSource::Worktree));
    assert_eq!(project.source(&environment("staging")), Some(EnvironmentSource::Bundle));
    assert_eq!(project.source(&environment("prod")), Some(EnvironmentSource::Cli));
    assert_eq!(project.source(&environment("qa")), None);
    assert_eq!(project.environments["prod"].plan(None).unwrap().margin, 0.04);
    assert_eq!(project.environments["prod"].plan(Some(&Plan::default())).unwrap().margin, 0.05);
    let strict = GatePolicy { on_inconclusive: OnInconclusive::Fail, alpha: 0.05, margin: 0.1 };
    assert_eq!(project.environments["prod"].gate, strict);
    assert_eq!(project.environments["staging"].gate, GatePolicy::default());
    assert_eq!(project.environments["staging"].plan(Some(&Plan::default())), None);
}

#[test]
fn an_environment_changes_address_and_credential_only() {
    let project = good();
    let openai = "openai".parse().unwrap();
    let prod = project.provider_in(&environment("prod"), &openai).unwrap();
    assert_eq!(prod.base_url.as_ref().map(BaseUrl::as_str), Some("https://proxy.example.com/openai"));
    assert_eq!(prod.api_key, Some(SecretRef::Env("PROD_KEY".to_owned())));
    assert_eq!(prod.identity(), "openai");
    let staging = project.provider_in(&environment("staging"), &openai).unwrap();
    assert_eq!(staging, project.providers["openai"]);
}

#[test]
fn projects_survive_json() {
    let project = good();
    let json = serde_json::to_value(&project).unwrap();
    assert_eq!(serde_json::from_value::<Project>(json).unwrap(), project);
}

#[test]
fn the_least_file_has_dev() {
    let project = Project::parse("bowline.yaml", "\u{feff}project: a\r\n").unwrap();
    assert_eq!(project.environments.keys().map(EnvironmentName::as_str).collect::<Vec<_>>(), ["dev"]);
}

/// Checks that `text` has exactly the errors `expected`, as `line:column message`, in the order of the file.
fn check(text: &str, expected: &[&str]) {
    let diagnostics = Project::parse("bowline.yaml", text).unwrap_err().into_sorted();
    let found = diagnostics.iter().map(|diagnostic| {
        let start = diagnostic.span.map(|span| format!("{}:{} ", span.start.line, span.start.column));
        format!("{}{}", start.unwrap_or_default(), diagnostic.message)
    });
    assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn every_error_of_a_file_is_told_in_one_run() {
    check(
        "\
projct: a
project: Support Desk
providers:
  openai: { kind: opnai }
  Bad Name: { kind: openai }
  proxy: { kind: openai, base_url: 'https://llm.example.com' }
  plain: { kind: gemini, base_url: 'http://10.0.0.1', identity: x }
models:
  fast: { provider: opnai, model: gpt-5-mini }
  slow: { provider: openai, model: gpt-5, timeout: 60 }
  empty: { targets: [] }
  twice: { targets: [{ provider: openai, model: a }, { provider: openai, model: a }], weight: 1 }
environments:
  prod:
    source: worktree
    rollout: { stages: ['50%', '10%'] }
    providers: { openai: { kind: gemini }, opena: { base_url: 'https://example.com' } }
  qa: { rollout: direkt, protectd: true }
  a: { gate: { alpha: 0 } }
  b: { gate: { margin: 1.5, on_inconclusive: fail } }
  c: { gate: { on_inconclusive: maybe } }
telemetry: { content: on }
",
        &[
            "1:1 unknown key `projct`",
            "2:10 `Support Desk` is not a name of a project: use lower-case letters, digits, `-`, `_` and `.`, starting \
             with a letter or a digit, at most 64 bytes",
            "4:19 unknown value `opnai`",
            "5:3 `Bad Name` is not a name of a provider: use lower-case letters, digits, `-`, `_` and `.`, starting with a \
             letter or a digit, at most 64 bytes",
            "6:36 an upstream that is not the provider's own must say whose models it serves",
            "7:36 `http` is for loopback addresses and Services of Kubernetes only; use `https`",
            "9:21 provider `opnai` is not declared",
            "10:52 expected a string, found integer `60`",
            "11:21 a model needs at least one target",
            "12:54 this target stands twice in one model",
            "12:87 unknown key `weight`",
            "15:13 only `dev` is served from the working tree",
            "16:24 stage 10% follows 50%: stages must grow, so that a unit on the candidate stays there",
            "17:28 an environment cannot change `kind` of a provider",
            "17:44 provider `opena` is not declared",
            "18:18 unknown value `direkt`",
            "19:23 `alpha` of a gate is above 0 and at most 0.5",
            "20:24 `margin` of a gate is above 0 and below 1",
            "21:33 unknown value `maybe`",
            "22:23 unknown value `on`",
        ],
    );
    check("", &["1:1 a project file is a mapping, not nothing"]);
    check("a: [", &["2:1 not valid YAML: while parsing a node, did not find expected node content"]);
    check("providers: {}", &["the key `project` is missing"]);
    check("project: a\nmodels: [x]", &["2:9 `models` is a mapping of names, not a list"]);
}

#[test]
fn suggestions_name_what_was_meant() {
    let diagnostics =
        Project::parse("bowline.yaml", "project: a\nprovider: {}\nmodels: {m: {provider: x, modl: y}}").unwrap_err();
    let hints: Vec<_> = diagnostics.into_sorted().into_iter().flat_map(|diagnostic| diagnostic.hints).collect();
    assert!(hints[0].starts_with("did you mean `providers`?"), "{hints:?}");
    assert!(hints[1].contains("declare it under `providers`"), "{hints:?}");
    assert!(hints[2].starts_with("did you mean `model`?"), "{hints:?}");
}

#[test]
fn raw_secrets_are_refused_and_never_shown() {
    for text in [
        "project: a\nproviders:\n  o: { kind: openai, api_key: sk-live-1 }\n",
        "project: a\nproviders:\n  o:\n    kind: openai\n    api_key:\n      sk-live-1\n",
        "project: a\nproviders:\n  o: { kind: openai, apikey: sk-live-1 }\n",
        "project: a\nproviders:\n  o: { kind: opnai, api_key: sk-live-1 }\n",
        "project: a\nproviders:\n  o: sk-live-1\n",
        "project: a\nproviders:\n  o: { kind: openai, base_url: 'https://sk-live-1@api.openai.com' , api_key: sk-live-1}\n",
        "project: a\nproviders: {o: {kind: openai, api_key: \"sk-live-1\", api_key: env:X}}\n",
        "project: a\nproviders: {o: {kind: openai}}\nenvironments: {dev: {providers: {o: {api_key: sk-live-1}}}}\n",
    ] {
        let diagnostics = Project::parse("bowline.yaml", text).unwrap_err();
        let shown: String = diagnostics.into_iter().map(|diagnostic| render(&diagnostic, Some(text))).collect();
        assert!(!shown.contains("sk-live"), "{shown}");
        assert!(shown.contains("bowline.yaml:"), "{shown}");
    }
}

#[test]
fn a_policy_names_who_signs() {
    let text = "project: a\nenvironments:\n  prod:\n    source: bundle\n    policy: { signers: ['file:ci.pub'], suites: [support] }\n";
    let project = Project::parse("bowline.yaml", text).unwrap();
    let policy = &project.environments[&"prod".parse::<EnvironmentName>().unwrap()].policy;
    assert_eq!(policy.signers[0].to_string(), "file:ci.pub");
    assert_eq!(policy.report_max_age, Duration::from_secs(7 * 86_400));
    check(
        "project: a\nenvironments:\n  prod:\n    policy: { suites: [support], report_max_age: soon }\n",
        &["4:50 `soon` is not a duration (expected `30s`, `5m`, `12h`, `7d`)"],
    );
    check(
        "project: a\nenvironments:\n  prod:\n    policy: { suites: [support] }\n",
        &["4:23 a policy that asks for suites names no signers"],
    );
}

#[test]
fn an_environment_is_real_where_any_provider_is() {
    let real = |base_url: &str| {
        let text = format!(
            "project: a\nproviders:\n  o: {{ kind: openai, identity: x, base_url: 'http://[::1]:1' }}\nenvironments:\n  prod: {{ providers: {{ o: {{ {base_url} }} }} }}\n"
        );
        Project::parse("bowline.yaml", &text).unwrap().is_real(&"prod".parse().unwrap())
    };
    assert!(!real(""));
    assert!(!real("base_url: 'http://localhost:7090/v1'"));
    assert!(real("base_url: 'https://llm.example/v1'"));
    let own = Project::parse("bowline.yaml", "project: a\nproviders: {o: {kind: openai}}\n").unwrap();
    assert!(own.is_real(&"dev".parse().unwrap()));
}
