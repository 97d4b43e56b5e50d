use std::time::Duration;

use bowline_types::{ErrorKind, ProviderName, TokenUsage, Usd};

use crate::exchange::Exchange;
use crate::refusal::Refusal;

/// What the gateway knows of a call beside its answer: an extension of the answers that [`crate::Handle::call`] returns, so that a
/// caller in the same process reads no header back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The provider that answered, or the last one that was tried; `None` where none was reached.
    pub provider: Option<ProviderName>,
    /// The model asked of it.
    pub upstream_model: Option<String>,
    /// Whether it is another model than the first of the alias.
    pub fallback: bool,
    /// Whether a simulator answered.
    pub simulated: bool,
    /// Tokens as the provider counted them.
    pub usage: TokenUsage,
    /// What it cost; `None` where no price is known, which is not zero.
    pub cost: Option<Usd>,
    /// Why the model stopped, in the neutral words (`stop`, `length`, `tool_calls`, …).
    pub finish: Option<String>,
    /// Whether the provider says that the model refused.
    pub refusal: bool,
    /// From the arrival of the request to the end of the answer.
    pub duration: Duration,
    /// Why there is no answer, and after `hint:` what to do next.
    pub error: Option<(ErrorKind, String)>,
    /// How long the provider asks to wait before the next call.
    pub retry_after: Option<Duration>,
}

// === impl Facts ===

impl Facts {
    /// Returns what is known of a call that is over.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let (upstream, outcome) = (exchange.upstream.as_ref(), &exchange.outcome);
        Self {
            provider: upstream.map(|upstream| upstream.provider.clone()),
            upstream_model: upstream.map(|upstream| upstream.model.clone()),
            fallback: upstream.is_some_and(|upstream| upstream.fallback),
            simulated: upstream.is_some_and(|upstream| upstream.simulated),
            usage: outcome.usage,
            cost: outcome.cost,
            finish: outcome.finish.clone(),
            refusal: outcome.refusal,
            duration: exchange.started.elapsed(),
            error: None,
            retry_after: None,
        }
    }

    /// Adds why it was refused.
    pub(crate) fn refused(self, refusal: &Refusal) -> Self {
        Self { error: Some((refusal.kind, refusal.message.clone())), retry_after: refusal.retry_after, ..self }
    }
}
