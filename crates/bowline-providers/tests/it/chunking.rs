use bowline_chat::StreamEvent;
use bowline_providers::{PROVIDERS, ProviderSpec};
use proptest::prelude::*;

use crate::fixtures::streams;

fn events<'a>(spec: &ProviderSpec, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<StreamEvent> {
    let mut decoder = spec.stream_decoder();
    let mut events: Vec<_> = chunks.into_iter().flat_map(|chunk| decoder.push(chunk)).collect();
    events.extend(decoder.finish());
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every stream of the fixtures, as it is and with bytes overwritten, gives the same events for any chunking.
    #[test]
    fn events_do_not_depend_on_chunking(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        for spec in PROVIDERS {
            for (case, mut body) in streams(spec) {
                for (at, byte) in &damage {
                    let at = at.index(body.len());
                    body[at] = *byte;
                }
                let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
                cuts.sort_unstable();
                let chunks = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]);
                prop_assert_eq!(events(spec, chunks), events(spec, [body.as_slice()]), "{}/{}", spec.kind, case);
            }
        }
    }
}
