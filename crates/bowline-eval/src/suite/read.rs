//! Reads the file of a suite from its root.

use std::collections::BTreeMap;

use bowline_prompt::yaml::{self, Node, Value as NodeValue};
use bowline_prompt::{Diagnostic, Diagnostics, Position, Source, Span};
use serde::Deserialize;

use super::cases::Cases;
use super::context::Context;
use super::entries::{read_default, read_tests};
use super::files::At;
use super::models::read_models;
use super::prompts::read_prompts;
use super::refuse::{ENVIRONMENT, unknown_key, unsupported, user_code, wrong_type};
use super::{Case, Prompt, REPEAT_MAX, RunOptions, Suite, Thresholds, resolve};

const KEYS: [&str; 13] = [
    "description",
    "prompts",
    "providers",
    "targets",
    "tests",
    "defaultTest",
    "scenarios",
    "evaluateOptions",
    "commandLineOptions",
    "assertionTemplates",
    "tags",
    "metadata",
    "bowline",
];
/// What promptfoo's own command does with a run, and Bowline's does by its flags.
const UNUSED: [&str; 4] = ["outputPath", "outputs", "sharing", "writeLatestResults"];
/// Options of a run that only say what promptfoo's terminal shows.
const UNUSED_OPTIONS: [&str; 13] = [
    "showProgressBar",
    "interactiveProviders",
    "silent",
    "verbose",
    "table",
    "share",
    "noShare",
    "progressBar",
    "write",
    "watch",
    "output",
    "tableCellMaxLength",
    "description",
];
/// How many calls may run at once.
const CONCURRENCY_MAX: u32 = 10_000;

impl Suite {
    /// Reads the suite in `file` and everything it refers to.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place: what is no suite, what is missing, what Bowline does not know, and what promptfoo
    /// has and Bowline has not. Nothing that a suite asks for is skipped.
    pub fn read(source: &dyn Source, file: &str) -> Result<Self, Diagnostics> {
        let mut context = Context::new(source, file);
        let read = root(&mut context, file);
        let (files, found) = context.finish(file);
        match read {
            Some(mut suite) if !found.has_errors() => {
                (suite.digest, suite.datasets) = files.finish();
                suite.warnings = found;
                Ok(suite)
            }
            _ => Err(found),
        }
    }
}

fn root(context: &mut Context<'_>, file: &str) -> Option<Suite> {
    let start = Position::new(1, 1);
    let nowhere = At { file, span: Span::new(start, start) };
    let root = match context.files.text(file, nowhere).and_then(|text| yaml::parse(file, &text, 0)) {
        Ok(root) => root,
        Err(mut error) => {
            if error.code == "missing-file" {
                error = Diagnostic::error("missing-file", file, format!("`{file}` does not exist"));
            }
            context.push(error);
            return None;
        }
    };
    if !root.is_mapping() {
        let error = wrong_type(At { file, span: root.span }, "a suite", "a mapping", root.kind());
        context.push(error.hint("start it with `prompts:` and `tests:`"));
        return None;
    }
    let root = context.take(resolve::resolve(file, root))?;
    environment(context, file, &root);
    keys(context, file, &root);
    let thresholds = root.get("bowline").map(|node| thresholds(context, file, node)).unwrap_or_default();
    let (run, repeat) = run_options(context, file, &root);
    let prompts = read_prompts(context, file, root.get("prompts"), &root);
    let models = match (root.get("providers"), root.get("targets")) {
        (Some(_), Some(targets)) => {
            let at = At { file, span: targets.span };
            context.push(at.error("value", "`providers` and `targets` mean the same; one of them says it"));
            Vec::new()
        }
        (Some(node), None) | (None, Some(node)) => read_models(context, file, node, &prompts),
        (None, None) => {
            if prompts.iter().any(|prompt| matches!(prompt.prompt, Prompt::Inline { .. })) {
                let at = At { file, span: Span::new(root.span.start, root.span.start) };
                let error = at.error("missing-field", "the key `providers` is missing");
                context.push(
                    error.hint("a prompt that stands in the suite needs models; one of the project brings its own"),
                );
            }
            Vec::new()
        }
    };
    let default = read_default(context, file, root.get("defaultTest"));
    let mut cases = Cases::new(&prompts, &models, repeat, default);
    read_tests(context, &mut cases, file, &root);
    let cases = cases.into_cases();
    let (description, tags) = (context.text(file, &root, "description"), tags(context, file, &root));
    let place = root.get("tests").or_else(|| root.get("scenarios")).map_or(root.span, |node| node.span);
    if context.has_errors() {
        return None;
    }
    if cases.is_empty() {
        context.push(At { file, span: place }.error("cases", "the suite has no case").label("none here"));
    } else if cases.iter().all(Case::asserts_nothing) {
        let warning = Diagnostic::warning("no-assertions", file, "no case asserts anything, so that every one passes");
        context.push(warning.at(place).hint("say under `assert` what must hold, or once for all in `defaultTest`"));
    }
    Some(Suite {
        file: file.to_owned(),
        description,
        prompts: prompts.into_iter().map(|named| named.prompt).collect(),
        models,
        cases,
        thresholds,
        run,
        tags,
        // Known once everything is read.
        digest: bowline_types::Digest::of(&[]),
        datasets: Vec::new(),
        warnings: Diagnostics::new(),
    })
}

/// Templates in the file itself would see the environment in promptfoo.
fn environment(context: &mut Context<'_>, file: &str, node: &Node) {
    let reads = |tag: &str| tag.trim_start().strip_prefix("env").is_some_and(|rest| rest.starts_with(['.', '[']));
    if node.as_str().is_some_and(|text| text.split("{{").skip(1).any(reads)) {
        let error = At { file, span: node.span }.error(ENVIRONMENT, "a suite does not see the environment (`env`)");
        context.push(error.hint("keys and endpoints belong into bowline.yaml, other values into `vars`"));
    }
    for (_, value) in node.entries() {
        environment(context, file, value);
    }
    for item in node.items() {
        environment(context, file, item);
    }
}

fn keys(context: &mut Context<'_>, file: &str, root: &Node) {
    for (key, value) in root.entries() {
        let at = At { file, span: key.span };
        let is_empty =
            value.is_null() || (value.entries().is_empty() && value.items().is_empty() && value.as_str().is_none());
        match key.text.as_str() {
            known if KEYS.contains(&known) => {}
            unused if UNUSED.contains(&unused) => {
                let message = format!("`{unused}` is not used");
                let warning = Diagnostic::warning("unused", file, message).at(key.span);
                context.push(warning.hint("say on the command line which reports are written"));
            }
            "env" if is_empty => {}
            "$schema" => {}
            "env" => {
                let warning = Diagnostic::warning("unused", file, "`env` is not used").at(key.span);
                context.push(warning.hint("keys and endpoints belong to the providers in bowline.yaml"));
            }
            "extensions" | "nunjucksFilters" if is_empty => {}
            "extensions" | "nunjucksFilters" => context.push(user_code(at, format!("`{}`", key.text))),
            "redteam" | "derivedMetrics" | "tracing" => context.push(unsupported(at, format!("`{}`", key.text))),
            // Places for anchors and `$ref`.
            own if own.starts_with("x-") || own.starts_with('.') => {}
            other => context.push(unknown_key(at, other, &KEYS)),
        }
    }
}

/// The limits under `bowline:`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    pass_rate: Option<f64>,
    metrics: BTreeMap<String, f64>,
    cost_usd_mean_max: Option<f64>,
    latency_ms_p95_max: Option<f64>,
}

fn thresholds(context: &mut Context<'_>, file: &str, node: &Node) -> Thresholds {
    let Some(limits) = context.take(yaml::decode::<Limits>(file, node)) else { return Thresholds::default() };
    let mut check = |path: &[&str], value: Option<f64>, max: f64, range: &str| {
        if value.is_some_and(|value| !(0.0..=max).contains(&value)) {
            let span = node.at(path).map_or(node.span, |node| node.span);
            let name = path.join(".");
            context.push(At { file, span }.error("value", format!("`{name}` is {range}")));
        }
    };
    let share = "a share from 0 to 1";
    check(&["pass_rate"], limits.pass_rate, 1.0, share);
    for (name, value) in &limits.metrics {
        check(&["metrics", name], Some(*value), 1.0, share);
    }
    check(&["cost_usd_mean_max"], limits.cost_usd_mean_max, f64::MAX, "0 or more, in USD");
    check(&["latency_ms_p95_max"], limits.latency_ms_p95_max, f64::MAX, "0 or more, in milliseconds");
    Thresholds {
        pass_rate: limits.pass_rate,
        metrics: limits.metrics,
        cost_usd_mean_max: limits.cost_usd_mean_max,
        latency_ms_p95_max: limits.latency_ms_p95_max,
    }
}

/// Reads `evaluateOptions`, and `commandLineOptions` below them; the second value is how often each case is called.
fn run_options(context: &mut Context<'_>, file: &str, root: &Node) -> (RunOptions, u32) {
    let mut run = RunOptions::default();
    let mut repeat = 1;
    for section in ["commandLineOptions", "evaluateOptions"] {
        let Some(node) = root.get(section).filter(|node| !node.is_null()) else { continue };
        if !node.is_mapping() {
            context.push(wrong_type(At { file, span: node.span }, &format!("`{section}`"), "a mapping", node.kind()));
            continue;
        }
        for (key, value) in node.entries() {
            let at = At { file, span: key.span };
            match key.text.as_str() {
                "maxConcurrency" => {
                    run.concurrency_max = context.count(file, node, "maxConcurrency", 1..=CONCURRENCY_MAX);
                }
                "repeat" => repeat = context.count(file, node, "repeat", 1..=REPEAT_MAX).unwrap_or(1),
                "delay" => run.delay_ms = context.count(file, node, "delay", 0..=u32::MAX).map_or(0, u64::from),
                "timeoutMs" => {
                    run.timeout_ms =
                        context.count(file, node, "timeoutMs", 0..=u32::MAX).map(u64::from).filter(|ms| *ms > 0);
                }
                "maxEvalTimeMs" => {
                    let most = context.count(file, node, "maxEvalTimeMs", 0..=u32::MAX);
                    run.time_ms_max = most.map(u64::from).filter(|ms| *ms > 0);
                }
                "cache" => run.cache = context.flag(file, node, "cache"),
                "generateSuggestions" if matches!(value.value, NodeValue::Bool(false)) => {}
                unused if UNUSED_OPTIONS.contains(&unused) => {}
                other if is_option(other) => context.push(unsupported(at, format!("`{other}` of `{section}`"))),
                other => {
                    let known = ["maxConcurrency", "repeat", "delay", "timeoutMs", "maxEvalTimeMs", "cache"];
                    context.push(unknown_key(at, other, &known));
                }
            }
        }
    }
    (run, repeat)
}

/// Options of promptfoo's command that would change what is tested (0.121.20, read 2026-11-25).
fn is_option(name: &str) -> bool {
    const OPTIONS: [&str; 15] = [
        "assertions",
        "config",
        "envPath",
        "extension",
        "generateSuggestions",
        "grader",
        "modelOutputs",
        "promptPrefix",
        "promptSuffix",
        "prompts",
        "providers",
        "retryErrors",
        "suggestionsCount",
        "tests",
        "vars",
    ];
    OPTIONS.contains(&name) || name.starts_with("filter") || name == "var"
}

fn tags(context: &mut Context<'_>, file: &str, root: &Node) -> BTreeMap<String, String> {
    let Some(node) = root.get("tags").filter(|node| !node.is_null()) else { return BTreeMap::new() };
    context.take(yaml::decode(file, node)).unwrap_or_default()
}
