//! Variables into messages. What was tested is what is sent: where prompt and client both say something, the prompt wins, and the
//! answer says so; where the prompt leaves something open, the client decides.
//!
//! | | prompt | client |
//! |---|---|---|
//! | messages | the template | fill its history; instructions (`system`, `developer`) are refused |
//! | temperature, top_p, top_k, stop, seed, penalties | wins | where the prompt sets none |
//! | max tokens | the smaller of both | the smaller of both |
//! | tools, output format | wins; the client's are refused | where the prompt has none |
//! | stream, user, n, anything else | – | passes |

use bowline_chat::openai_chat::ClientRequest;
use bowline_chat::{Message, Parameters, Part, Request, ResponseFormat, Role, Tool, ToolCall, ToolResult};
use bowline_prompt::{OutputFormat, RenderError, RenderInput, Version, VersionTool};
use bowline_types::{ErrorKind, PromptName};
use serde_json::{Map, Value};

use crate::layers::resolve::Target;
use crate::layers::translate::Rendered;
use crate::live::Served;
use crate::refusal::Refusal;

/// The name under which a message of the client waits in the history of a template.
const HISTORY_INDEX: &str = "bowline.index";

/// Renders a call for the version it resolved to; a call by model alias passes.
///
/// # Errors
/// Names the variable, message or parameter at fault.
pub(crate) fn render(target: &Target, name: Option<&PromptName>, call: ClientRequest) -> Result<Rendered, Refusal> {
    let (Some(served), Some(name)) = (&target.served, name) else {
        return Ok(Rendered { request: call.request, body: Some(target.body.clone()), notes: Vec::new() });
    };
    let ClientRequest { variables, request, .. } = call;
    refuse_instructions(&request)?;
    let messages = messages(served, name, &variables.unwrap_or_default(), request.messages.as_slice())?;
    let mut notes = Vec::new();
    let request = configure(&served.version.version, name, Request { messages, ..request }, &mut notes)?;
    Ok(Rendered { request, body: None, notes })
}

fn refuse_instructions(request: &Request) -> Result<(), Refusal> {
    let Some(index) = request.messages.iter().position(|message| message.role.is_instruction()) else { return Ok(()) };
    let hint = "hint: put the instructions into the prompt, where they are tested; send only the conversation";
    let message = format!("a prompt brings its own instructions, and messages[{index}] has more\n{hint}");
    Err(Refusal::new(ErrorKind::InvalidRequest, message)
        .code("prompt_instructions")
        .parameter(format!("messages[{index}].role")))
}

fn messages(
    served: &Served,
    name: &PromptName,
    variables: &Map<String, Value>,
    history: &[Message],
) -> Result<Vec<Message>, Refusal> {
    let version = &served.version;
    let defaults = &version.version.input.default;
    if let Some(input) = &version.input {
        if let Some(missing) = input.required().find(|variable| !variables.contains_key(*variable)) {
            return Err(refuse_variable(name, missing, None));
        }
        input.validate(variables).map_err(|errors| {
            let message = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            refuse_variable(name, errors.first().map_or("", |error| error.variable.as_str()), Some(&message))
        })?;
    }
    let waiting: Vec<bowline_prompt::Message> = (0..history.len()).map(placeholder).collect();
    let input = RenderInput { variables, defaults, context: &Map::new(), history: &waiting, nonce: nonce()? };
    let rendered = version.template.render(&input).map_err(|error| match &error {
        RenderError::VariableMissing { name: variable } => {
            refuse_variable(name, variable, None)
        }
        RenderError::TooLong | RenderError::Template { .. } => {
            let message = format!("prompt {name} could not be rendered: {error}\nhint: `bowline prompt render` shows it with your variables");
            Refusal::new(ErrorKind::PromptVariable, message).code("prompt_render")
        }
    })?;
    rendered.into_iter().map(|message| neutral(name, message, history)).collect()
}

/// Refuses a variable that is missing, or wrong in the way `problem` says.
fn refuse_variable(name: &PromptName, variable: &str, problem: Option<&str>) -> Refusal {
    let (code, text) = match problem {
        None => {
            let hint = "hint: send it in `variables` (`extra_body` in the SDKs)";
            ("prompt_variable_missing", format!("prompt {name} needs the variable `{variable}`\n{hint}"))
        }
        Some(problem) => {
            let hint = "hint: `bowline prompt list` shows the variables of each prompt";
            ("prompt_variable_invalid", format!("prompt {name}: {problem}\n{hint}"))
        }
    };
    let parameter = if variable.is_empty() { "variables".to_owned() } else { format!("variables.{variable}") };
    Refusal::new(ErrorKind::PromptVariable, text).code(code).parameter(parameter)
}

/// Random, since it keeps a variable from forging the markers of roles.
fn nonce() -> Result<u128, Refusal> {
    let mut bytes = [0; 16];
    let failed = |_| Refusal::new(ErrorKind::Internal, "the operating system has no randomness");
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(u128::from_le_bytes(bytes))
}

/// A message of the client goes through the template by its number only, so that nothing of it is lost or read as a template.
fn placeholder(index: usize) -> bowline_prompt::Message {
    let mut message = bowline_prompt::Message::text(bowline_prompt::Role::User, "");
    message.metadata.insert(HISTORY_INDEX.to_owned(), Value::from(index));
    message
}

fn neutral(name: &PromptName, message: bowline_prompt::Message, history: &[Message]) -> Result<Message, Refusal> {
    let index =
        message.metadata.get(HISTORY_INDEX).and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
    if let Some(original) = index.and_then(|index| history.get(index)) {
        return Ok(original.clone());
    }
    let role = match message.role {
        bowline_prompt::Role::User => Role::User,
        bowline_prompt::Role::Model => Role::Assistant,
        bowline_prompt::Role::System => Role::System,
        bowline_prompt::Role::Tool => Role::Tool,
    };
    let content = message.content.into_iter().map(|part| self::part(name, part)).collect::<Result<_, _>>()?;
    Ok(Message::new(role, content))
}

fn part(name: &PromptName, part: bowline_prompt::Part) -> Result<Part, Refusal> {
    use bowline_prompt::Part as Rendered;
    Ok(match part {
        Rendered::Text { text, .. } => Part::text(text),
        Rendered::Media { media, .. } => {
            let kind = media.content_type.as_deref().or_else(|| media.url.strip_prefix("data:"));
            if kind.is_some_and(|kind| !kind.starts_with("image/")) {
                let message = format!("prompt {name} sends media that is no image, which cannot be carried yet");
                return Err(Refusal::new(ErrorKind::Unsupported, message).code("prompt_media"));
            }
            Part::image(media.url, media.content_type)
        }
        Rendered::ToolRequest { tool_request, .. } => Part::ToolCall(ToolCall {
            id: tool_request.reference.unwrap_or_default(),
            name: tool_request.name,
            arguments: tool_request.input.to_string(),
            ..ToolCall::default()
        }),
        Rendered::ToolResponse { tool_response, .. } => Part::ToolResult(ToolResult {
            call_id: tool_response.reference.unwrap_or_default(),
            name: Some(tool_response.name),
            content: vec![Part::text(tool_response.output.to_string())],
            ..ToolResult::default()
        }),
        Rendered::Pending { .. } => {
            let message = format!("prompt {name} has a pending section, which only the application could fill");
            return Err(Refusal::new(ErrorKind::Unsupported, message).code("prompt_section"));
        }
    })
}

/// Puts the parameters of the version over those of the client.
fn configure(
    version: &Version,
    name: &PromptName,
    request: Request,
    notes: &mut Vec<String>,
) -> Result<Request, Refusal> {
    let parameters = parameters(version, &request.parameters, notes);
    let mut request = Request { parameters, model: version.model.alias.to_string(), ..request };
    if !version.tools.is_empty() {
        if !request.tools.is_empty() {
            return Err(defined_twice(name, "tools"));
        }
        request.tools = version.tools.iter().map(tool).collect();
    }
    if let Some(format) = version.output.format.or(version.output.schema.as_ref().map(|_| OutputFormat::Json)) {
        if request.response_format.is_some() {
            return Err(defined_twice(name, "response_format"));
        }
        request.response_format = match (format, &version.output.schema) {
            (OutputFormat::Text, _) => None,
            (OutputFormat::Json, None) => Some(ResponseFormat::JsonObject),
            (OutputFormat::Json, Some(schema)) => {
                let name = Some(schema_name(name));
                Some(ResponseFormat::JsonSchema { name, schema: schema.clone(), strict: None })
            }
        };
    }
    Ok(request)
}

fn parameters(version: &Version, client: &Parameters, notes: &mut Vec<String>) -> Parameters {
    let config = &version.config;
    let mut note = |overridden: bool, parameter: &str| {
        if overridden {
            notes.push(format!("{parameter}: the value of the prompt is used"));
        }
    };
    let differs = |ours: Option<f64>, theirs: Option<f64>| ours.is_some() && theirs.is_some() && ours != theirs;
    note(differs(config.temperature, client.temperature), "temperature");
    note(differs(config.top_p, client.top_p), "top_p");
    note(differs(config.presence_penalty, client.presence_penalty), "presence_penalty");
    note(differs(config.frequency_penalty, client.frequency_penalty), "frequency_penalty");
    note(config.seed.is_some() && client.seed.is_some_and(|seed| config.seed != Some(seed)), "seed");
    note(!config.stop_sequences.is_empty() && !client.stop.is_empty() && config.stop_sequences != client.stop, "stop");
    let most = config.max_output_tokens.map(u64::from);
    note(most.zip(client.max_output_tokens).is_some_and(|(ours, theirs)| ours < theirs), "max_tokens");
    Parameters {
        max_output_tokens: [most, client.max_output_tokens].into_iter().flatten().min(),
        temperature: config.temperature.or(client.temperature),
        top_p: config.top_p.or(client.top_p),
        top_k: config.top_k.map(u64::from).or(client.top_k),
        stop: if config.stop_sequences.is_empty() { client.stop.clone() } else { config.stop_sequences.clone() },
        seed: config.seed.or(client.seed),
        presence_penalty: config.presence_penalty.or(client.presence_penalty),
        frequency_penalty: config.frequency_penalty.or(client.frequency_penalty),
        choices: client.choices,
    }
}

fn tool(tool: &VersionTool) -> Tool {
    Tool::function(tool.name.clone(), tool.description.clone(), tool.input.clone())
}

fn defined_twice(name: &PromptName, field: &'static str) -> Refusal {
    let message = format!(
        "prompt {name} defines `{field}`, and the request has one too\nhint: leave it out; what the prompt says was tested"
    );
    Refusal::new(ErrorKind::InvalidRequest, message).parameter(field)
}

/// OpenAI takes letters, digits, `_` and `-` in the name of a schema, at most 64.
fn schema_name(name: &PromptName) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    name.as_str().chars().map(allowed).take(64).collect()
}
