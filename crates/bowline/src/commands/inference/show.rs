use bowline_server::wire::InferenceView;
use bowline_store::{InferenceRecord, OutcomeRecord, OutcomeValue};
use bowline_types::{InferenceId, InferenceToken};

use super::success;
use crate::cli::{Global, InferenceShow};
use crate::commands::connected;
use crate::failure::{Failure, Result};
use crate::output::{Format, Table, json, line};
use crate::wording::moment;

/// Shows one inference.
///
/// # Errors
/// The project has no such inference.
pub(crate) async fn run(global: &Global, show: &InferenceShow) -> Result<()> {
    let id = parse(&show.id)?;
    let view = connected(global, async |connection| {
        Ok(connection.client.get::<InferenceView>(&format!("/inferences/{id}")).await?)
    });
    let view = view.await?;
    if global.output == Format::Json {
        return json(&view);
    }
    let mut table = Table::default();
    facts(&view.inference).into_iter().for_each(|(name, value)| table.row([name.to_owned(), value]));
    for (name, result) in &view.inference.checks {
        table.row(["check".to_owned(), format!("{:8} {name}", result.as_str())]);
    }
    view.outcomes.iter().for_each(|outcome| table.row(["outcome".to_owned(), words(outcome)]));
    table.print_plain("");
    if let Some(content) = &view.inference.content {
        line(format!("\ninput\n{}\n\noutput\n{}", content.input, content.output));
    }
    Ok(())
}

/// Reads an id as it is listed, or as an application got it, with the code that binds it to its key.
fn parse(text: &str) -> Result<InferenceId> {
    let token = text.parse::<InferenceToken>().map(|token| token.inference);
    text.parse().or(token).map_err(|error| {
        Failure::user(format!(
            "{error}\nhint: `bowline inference list` shows ids, and so does the header `x-bowline-inference`"
        ))
    })
}

fn facts(record: &InferenceRecord) -> Vec<(&'static str, String)> {
    let millis = |micros: u64| format!("{} ms", micros / 1_000);
    let usage = &record.usage;
    let parts = [
        (usage.input, "in"),
        (usage.cache_read, "of them read from the cache"),
        (usage.cache_write, "of them written to the cache"),
        (usage.output, "out"),
        (usage.reasoning, "of them reasoning"),
    ];
    let parts = parts.into_iter().filter_map(|(count, what)| Some(format!("{} {what}", count?)));
    let tokens = parts.collect::<Vec<_>>().join(", ");
    let provider = record.provider.as_ref().zip(record.upstream_model.as_ref());
    let facts = [
        ("id", Some(record.id.to_string())),
        ("when", Some(format!("{} UTC", moment(record.started_at)))),
        ("environment", Some(record.environment.to_string())),
        ("prompt", record.prompt.as_ref().map(ToString::to_string)),
        ("version", record.version.map(|version| version.to_string())),
        ("arm", record.arm.map(|arm| arm.to_string())),
        ("unit", Some(format!("{} ({})", record.unit.value, record.unit.kind))),
        ("model", Some(record.model.to_string())),
        ("answered by", provider.map(|(provider, model)| format!("{provider} {model}"))),
        ("status", Some(record.status.to_string())),
        ("error", record.error.map(|error| error.spec().code.to_owned())),
        ("finish", record.finish.clone()),
        ("tokens", Some(tokens).filter(|tokens| !tokens.is_empty())),
        ("cost", Some(record.cost.map_or_else(|| "not known".to_owned(), |cost| format!("${cost}")))),
        ("first byte", record.first_byte_us.map(millis)),
        ("duration", Some(millis(record.duration_us))),
        ("attempts", (record.attempts > 1).then(|| record.attempts.to_string())),
        ("fallback", record.fallback.then(|| "yes, so it counts in no verdict".to_owned())),
        ("simulated", record.simulated.then(|| "yes".to_owned())),
        ("success", Some(success(record).to_owned())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn words(outcome: &OutcomeRecord) -> String {
    let value = match &outcome.value {
        OutcomeValue::Flag(holds) => holds.to_string(),
        OutcomeValue::Score(score) => score.to_string(),
        OutcomeValue::Text(text) => format!("{text:?}"),
    };
    format!("{} = {value}, {} UTC", outcome.name, moment(outcome.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_id_are_read() {
        let id = "inf_0190c0de00007000800000000000002a";
        let check = |text: &str| parse(text).unwrap().to_string();
        assert_eq!(check(id), id);
        assert_eq!(check(&format!("{id}_0011223344556677")), id);
        assert!(parse("key_1").unwrap_err().message().contains("hint: `bowline inference list`"));
    }
}
