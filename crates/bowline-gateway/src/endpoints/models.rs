use bowline_types::ErrorKind;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use super::json as answer;
use crate::gateway::Shared;
use crate::layers::identify::identify;
use crate::layers::respond::Body;
use crate::refusal::Refusal;

/// Lists what the key may name in `model`: the prompts that are live in its environment, and the aliases.
/// The form is OpenAI's: <https://platform.openai.com/docs/api-reference/models/list>, read 2026-11-24.
///
/// # Errors
/// The key is not valid.
pub(super) async fn list(gateway: &Shared, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let live = gateway.live_full();
    let key = identify(gateway, &live, headers).await?;
    let environment = live.project_of(&key).and_then(|project| project.environments.get(&key.environment));
    let environment =
        environment.ok_or_else(|| Refusal::new(ErrorKind::NotFound, "the environment of the key is gone"))?;
    let mut ids: Vec<String> = environment.prompts.keys().map(|name| format!("prompt:{name}")).collect();
    ids.extend(environment.models.keys().map(ToString::to_string));
    ids.sort_unstable();
    let created = live.age.compiled_at.as_micros() / 1_000_000;
    let models =
        ids.into_iter().map(|id| json!({"id": id, "object": "model", "created": created, "owned_by": "bowline"}));
    let models: Vec<Value> = models.collect();
    Ok(answer(StatusCode::OK, HeaderMap::new(), &json!({"object": "list", "data": models})))
}
