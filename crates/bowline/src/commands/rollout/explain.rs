use bowline_server::wire::RolloutView;
use bowline_types::{Clock, SystemClock};

use crate::cli::{Global, RolloutNumber};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, line};
use crate::picture;
use crate::style::Style;
use crate::wording::{moment, percent};

/// Says where a rollout stands and why.
///
/// # Errors
/// There is no such rollout.
pub(crate) async fn run(global: &Global, rollout: &RolloutNumber) -> Result<()> {
    let view = connected(global, async |connection| {
        Ok(connection.client.get::<RolloutView>(&format!("/rollouts/{}", rollout.number)).await?)
    });
    let view = view.await?;
    if global.output == Format::Json {
        return json(&view);
    }
    picture::rollout(&view, SystemClock.now(), Style::of_stdout()).iter().for_each(line);
    line("");
    view.explanation.iter().for_each(line);
    line("");
    origin(&view).iter().for_each(line);
    Ok(())
}

fn origin(view: &RolloutView) -> Vec<String> {
    let record = &view.rollout;
    let commit = match &record.provenance.commit {
        Some(commit) if record.provenance.dirty => format!("commit {commit} with changes"),
        Some(commit) => format!("commit {commit}"),
        None => "no commit".to_owned(),
    };
    let author = record.provenance.author.as_ref().map_or_else(String::new, |author| format!(", by {author}"));
    let mut lines = vec![
        format!("candidate  {} from {commit}{author}", record.candidate),
        format!("stable     {}", record.stable),
        format!("started    {} UTC by {}", moment(record.started_at), record.actor),
    ];
    if let Some(ended) = record.ended_at {
        lines.push(format!("ended      {} UTC: {}", moment(ended), record.why));
    }
    if let Some(design) = picture::design(record) {
        let plan = &design.plan;
        let stages = plan.stages.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        lines.push(format!("stages     {stages}"));
        lines.push(format!(
            "errors     a candidate that is not worse is rolled back in at most {} of rollouts, one that is worse by {:.1} points \
             promoted in at most {}, however often one looks",
            percent(plan.alpha.rollback),
            plan.margin * 100.0,
            percent(plan.alpha.promote),
        ));
    }
    lines
}
