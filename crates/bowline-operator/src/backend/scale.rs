//! When the last pod of a model server goes, and when the first one comes. Between one and the most somebody else scales.
//!
//! Signals, read from every gateway: calls that are held, tokens in flight, and how long ago a call last asked for the provider. From zero: a
//! call is held, has something in flight, or asked within the last seconds (one that was served by a fallback is never held). To zero: nothing
//! is held or in flight, and the last call, the moment the pod became ready, and the first look of this operator are all `idleAfter` ago.
//!
//! What is not known never takes a pod away: a gateway that does not answer may have calls in flight, and one that has seen no call yet may
//! have been started a moment ago. A pod that starts is left alone for as long as it may take to start.

use std::time::Duration;

use bowline_crd::{Scale, Serve};
use bowline_types::{ProviderLoad, Timestamp};

use super::render::START_SECONDS_MAX;

/// How long ago a call may be that still brings the first pod: a few looks, so that none is missed.
const FRESH: Duration = Duration::from_secs(6);

/// What to do about the pods of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Nothing.
    Stay,
    /// The first pod is wanted.
    Wake,
    /// The last pod may go.
    Sleep,
}

/// What all gateways have under way at one backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// Of each gateway that answered; a gateway that does not know the provider has no load.
    pub(crate) loads: Vec<ProviderLoad>,
    /// How many gateways did not answer.
    pub(crate) silent: usize,
}

/// How the pods of a backend are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pods {
    /// How many there are to be.
    pub(crate) wanted: i32,
    /// Since when one is ready, or since when there is none; `None` where that is not known.
    pub(crate) since: Option<Timestamp>,
    /// Whether one is ready.
    pub(crate) ready: bool,
}

/// What is remembered between looks: since when a backend has nothing to do. It may be lost at any time; then it takes longer to reach zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quiet(Option<Timestamp>);

/// Returns how many pods there are to be: what somebody scaled to, within the bounds, else the least.
pub(crate) fn wanted(serve: &Serve) -> i32 {
    let Scale { min, max, .. } = serve.scale;
    serve.replicas.unwrap_or(min).clamp(min, max.max(min))
}

/// Decides what to do about the pods of a backend whose least number is zero.
pub(crate) fn decide(scale: &Scale, pods: &Pods, look: &Look, quiet: &mut Quiet, now: Timestamp) -> Move {
    if scale.min > 0 {
        return Move::Stay;
    }
    let is_busy = look.loads.iter().any(|load| load.held > 0 || load.tokens_in_flight > 0);
    let last_call = look.loads.iter().filter_map(|load| load.last_call_seconds).fold(f64::INFINITY, f64::min);
    if pods.wanted == 0 {
        *quiet = Quiet::default();
        // Where little idling is enough, a call that was served a moment ago is none that asks for the next pod.
        let fresh = FRESH.min(scale.idle_after / 2);
        let wakes = is_busy || last_call < fresh.as_secs_f64();
        return if wakes { Move::Wake } else { Move::Stay };
    }
    if is_busy {
        *quiet = Quiet::default();
        return Move::Stay;
    }
    if look.silent > 0 || look.loads.is_empty() {
        return Move::Stay;
    }
    let since = quiet_since(look, *quiet, last_call, now);
    *quiet = Quiet(Some(since));
    let (from, patience) = match pods.since {
        Some(at) if pods.ready => (since.max(at), scale.idle_after),
        Some(at) => (since.max(at), scale.idle_after + Duration::from_secs(START_SECONDS_MAX.unsigned_abs().into())),
        None => return Move::Stay,
    };
    if now.since(from) >= patience { Move::Sleep } else { Move::Stay }
}

fn quiet_since(look: &Look, quiet: Quiet, last_call: f64, now: Timestamp) -> Timestamp {
    // With what every gateway remembers, an operator that was started a moment ago need not wait from then on.
    let all_known = look.loads.iter().all(|load| load.last_call_seconds.is_some());
    let age = Duration::try_from_secs_f64(last_call).ok();
    let called = age.map(|age| now.before(age));
    match (quiet.0, called) {
        (Some(quiet), Some(called)) => quiet.max(called),
        (Some(quiet), None) => quiet,
        (None, Some(called)) if all_known => called,
        (None, _) => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(600);

    fn scale() -> Scale {
        Scale { min: 0, max: 1, tokens_in_flight: 4096, idle_after: IDLE }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000).after(Duration::from_secs(seconds))
    }

    fn load(held: u64, tokens_in_flight: u64, last_call_seconds: Option<f64>) -> ProviderLoad {
        ProviderLoad { held, tokens_in_flight, last_call_seconds }
    }

    fn look(loads: &[ProviderLoad]) -> Look {
        Look { loads: loads.to_vec(), silent: 0 }
    }

    fn pods(wanted: i32, ready: bool, since: u64) -> Pods {
        Pods { wanted, ready, since: Some(at(since)) }
    }

    #[test]
    fn a_call_that_waits_at_any_gateway_brings_the_first_pod() {
        let check = |look: &Look, expected: Move| {
            assert_eq!(decide(&scale(), &pods(0, false, 0), look, &mut Quiet::default(), at(9)), expected, "{look:?}");
        };
        check(&look(&[]), Move::Stay);
        check(&look(&[load(0, 0, None), load(0, 0, Some(700.0))]), Move::Stay);
        check(&look(&[load(0, 0, None), load(1, 512, Some(0.5))]), Move::Wake);
        // A fallback served it: nobody waits, and yet somebody asked.
        check(&look(&[load(0, 0, Some(2.0))]), Move::Wake);
        check(&Look { silent: 1, ..look(&[load(1, 0, None)]) }, Move::Wake);
        check(&Look { silent: 2, loads: Vec::new() }, Move::Stay);
    }

    #[test]
    fn the_last_pod_goes_when_all_have_been_quiet_for_long_enough() {
        let mut quiet = Quiet::default();
        let mut decide = |look: &Look, now: u64| decide(&scale(), &pods(1, true, 0), look, &mut quiet, at(now));
        assert_eq!(decide(&look(&[load(0, 400, Some(30.0)), load(0, 0, None)]), 1000), Move::Stay);
        assert_eq!(decide(&look(&[load(0, 0, Some(45.0)), load(0, 0, None)]), 1015), Move::Stay);
        assert_eq!(decide(&look(&[load(0, 0, Some(644.0)), load(0, 0, None)]), 1614), Move::Stay);
        assert_eq!(
            decide(&look(&[load(0, 0, Some(645.0)), load(0, 0, None)]), 1615),
            Move::Sleep,
            "from the first quiet look"
        );
    }

    #[test]
    fn a_call_between_two_looks_counts() {
        let mut quiet = Quiet::default();
        let mut decide = |age: f64, now: u64| {
            decide(&scale(), &pods(1, true, 0), &look(&[load(0, 0, Some(age))]), &mut quiet, at(now))
        };
        assert_eq!(decide(300.0, 1000), Move::Stay);
        assert_eq!(decide(5.0, 1299), Move::Stay, "quiet since 1294");
        assert_eq!(decide(599.0, 1893), Move::Stay);
        assert_eq!(decide(600.0, 1894), Move::Sleep);
    }

    #[test]
    fn an_operator_that_was_started_anew_believes_gateways_that_all_remember() {
        let decide =
            |loads: &[ProviderLoad]| decide(&scale(), &pods(1, true, 0), &look(loads), &mut Quiet::default(), at(5000));
        assert_eq!(decide(&[load(0, 0, Some(900.0)), load(0, 0, Some(601.0))]), Move::Sleep);
        assert_eq!(
            decide(&[load(0, 0, Some(900.0)), load(0, 0, None)]),
            Move::Stay,
            "one may have been started anew too"
        );
        assert_eq!(decide(&[load(0, 0, Some(900.0)), load(0, 0, Some(599.0))]), Move::Stay);
    }

    #[test]
    fn what_is_not_known_takes_no_pod_away() {
        let idle = [load(0, 0, Some(9000.0))];
        let decide = |pods: &Pods, look: &Look| decide(&scale(), pods, look, &mut Quiet::default(), at(9000));
        assert_eq!(decide(&pods(1, true, 0), &Look { silent: 1, ..look(&idle) }), Move::Stay);
        assert_eq!(decide(&pods(1, true, 0), &look(&[])), Move::Stay);
        assert_eq!(decide(&Pods { since: None, ..pods(1, true, 0) }, &look(&idle)), Move::Stay);
        assert_eq!(decide(&pods(1, true, 0), &look(&idle)), Move::Sleep);
    }

    #[test]
    fn a_pod_that_starts_is_left_alone() {
        // Those who called have given up long ago, and it has not served anybody yet.
        let decide = |pods: &Pods, now: u64| {
            let age = f64::from(u32::try_from(now).unwrap());
            decide(&scale(), pods, &look(&[load(0, 0, Some(age))]), &mut Quiet::default(), at(now))
        };
        assert_eq!(decide(&pods(1, false, 0), 1020), Move::Stay, "17 minutes");
        assert_eq!(decide(&pods(1, true, 1020), 1021), Move::Stay);
        assert_eq!(decide(&pods(1, true, 1020), 1620), Move::Sleep);
        assert_eq!(decide(&pods(1, false, 0), 3600 + 599), Move::Stay);
        assert_eq!(decide(&pods(1, false, 0), 3600 + 600), Move::Sleep, "it will not start any more");
    }

    #[test]
    fn it_does_not_flap() {
        // A call every `gap` seconds, each taking two; a look every two seconds, a start of forty.
        let moves = |gap: u64, idle_after: u64| {
            let scale = Scale { idle_after: Duration::from_secs(idle_after), ..scale() };
            let (mut quiet, mut state, mut moves) = (Quiet::default(), pods(0, false, 0), 0);
            for now in (0..7200).step_by(2) {
                let age = now % gap;
                let is_up = state.ready;
                let held = u64::from(age < 4 && !is_up);
                let tokens = u64::from(age < 2) * 500;
                let last_call = Some(f64::from(u32::try_from(age).unwrap()));
                match decide(&scale, &state, &look(&[load(held, tokens, last_call)]), &mut quiet, at(now)) {
                    Move::Stay => {}
                    Move::Wake => (state, moves) = (pods(1, false, now), moves + 1),
                    Move::Sleep => (state, moves) = (pods(0, false, now), moves + 1),
                }
                if state.wanted == 1
                    && !state.ready
                    && now >= 40
                    && state.since.is_some_and(|since| at(now).since(since) >= Duration::from_secs(40))
                {
                    state = pods(1, true, now);
                }
            }
            moves
        };
        assert_eq!(moves(100, 600), 1, "more often than it takes to idle: it wakes once, and stays");
        assert_eq!(moves(1800, 600), 8, "four times up, four times down in two hours");
        assert_eq!(moves(1800, 1), 8);
    }

    #[test]
    fn the_number_of_pods_stays_within_its_bounds() {
        let check = |min: i32, max: i32, replicas: Option<i32>, expected: i32| {
            let serve = serde_json::json!({"image": "x", "scale": {"min": min, "max": max}, "replicas": replicas});
            let serve: Serve = serde_json::from_value(serve).unwrap();
            assert_eq!(wanted(&serve), expected, "{min} {max} {replicas:?}");
        };
        check(1, 1, None, 1);
        check(0, 1, None, 0);
        check(0, 4, Some(2), 2);
        check(1, 4, Some(0), 1);
        check(1, 4, Some(9), 4);
    }
}
