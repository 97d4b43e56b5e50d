//! The link to the control role, as the spool delivers to it.

use bowline_gateway::{Batch, Sink, SinkError, SinkFuture};
use bowline_server::Link;
use bowline_server::wire::RecordsRequest;
use bowline_types::chain;

/// Delivers batches over the network.
pub(super) struct Delivery(pub(super) Link);

impl Sink for Delivery {
    fn deliver(&self, batch: Batch) -> SinkFuture<'_> {
        let Batch { inferences, outcomes, losses } = batch;
        Box::pin(async move {
            let delivered = self.0.deliver(&RecordsRequest { inferences, outcomes, losses }).await;
            delivered.map_err(|error| {
                let text = chain(&error);
                if error.is_final() { SinkError::Refused(text) } else { SinkError::Unavailable(text) }
            })
        })
    }
}
