//! Conditions: written only when they change, and in the terms of kstatus
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>, read 2026-11-25).

use bowline_crd::condition::{READY, RECONCILING, STALLED};
use bowline_types::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;

/// The longest message of a condition, in bytes; what is longer is cut.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    True,
    False,
    Unknown,
}

/// How an object is, in one word: what Ready, Reconciling and Stalled say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// What the object asks for is done.
    Ready(Why),
    /// The operator works on it. `ready` where what was asked for before is still there.
    Reconciling { why: Why, ready: bool },
    /// Somebody has to do something, which the message says.
    Stalled(Why),
}

/// A reason in one word, for programs, and in a sentence, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The conditions of an object, while they are made anew.
#[derive(Debug)]
pub(crate) struct Conditions {
    list: Vec<Condition>,
    generation: Option<i64>,
    now: Time,
}

// === impl Status ===

impl Status {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

// === impl Why ===

impl Why {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

// === impl Conditions ===

impl Conditions {
    /// Starts from the conditions that are there.
    pub(crate) fn new(present: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { list: present.to_vec(), generation, now: time(now) }
    }

    /// Sets a condition. The time of its transition stays where its status does.
    pub(crate) fn set(&mut self, kind: &str, status: Status, why: Why) {
        let present = self.list.iter_mut().find(|condition| condition.type_ == kind);
        let since = present.as_ref().filter(|condition| condition.status == status.as_str());
        let condition = Condition {
            type_: kind.to_owned(),
            status: status.as_str().to_owned(),
            reason: why.reason.to_owned(),
            message: cut(&why.message, MESSAGE_BYTES_MAX),
            observed_generation: self.generation,
            last_transition_time: since.map_or_else(|| self.now.clone(), |since| since.last_transition_time.clone()),
        };
        match present {
            Some(present) => *present = condition,
            None => self.list.push(condition),
        }
    }

    /// Takes a condition away.
    pub(crate) fn remove(&mut self, kind: &str) {
        self.list.retain(|condition| condition.type_ != kind);
    }

    /// Sets Ready, and Reconciling and Stalled, which are there only while true.
    pub(crate) fn health(&mut self, health: Health) {
        match health {
            Health::Ready(why) => {
                self.set(READY, Status::True, why);
                self.remove(RECONCILING);
                self.remove(STALLED);
            }
            Health::Reconciling { why, ready } => {
                self.set(READY, ready.into(), why.clone());
                self.set(RECONCILING, Status::True, why);
                self.remove(STALLED);
            }
            Health::Stalled(why) => {
                self.set(READY, Status::False, why.clone());
                self.set(STALLED, Status::True, why);
                self.remove(RECONCILING);
            }
        }
    }

    /// Returns them, by type.
    pub(crate) fn into_vec(mut self) -> Vec<Condition> {
        self.list.sort_by(|a, b| a.type_.cmp(&b.type_));
        self.list
    }
}

/// Returns the condition of a type.
pub(crate) fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Returns whether a condition is there and true.
pub(crate) fn holds(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == Status::True.as_str())
}

/// Returns a time as objects have it, in whole seconds.
pub(crate) fn time(at: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.as_micros().div_euclid(1_000_000)).unwrap_or_default())
}

/// Returns a time of an object.
pub(crate) fn timestamp(time: &Time) -> Timestamp {
    Timestamp::from_micros(time.0.as_microsecond())
}

/// Returns a text of at most so many bytes, cut between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8()));
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_transition_is_when_the_status_changes_and_not_when_the_reason_does() {
        let mut first = Conditions::new(&[], Some(1), at(10));
        first.health(Health::Reconciling { why: Why::new("Fetching", "a"), ready: false });
        let first = first.into_vec();
        let mut second = Conditions::new(&first, Some(2), at(20));
        second.health(Health::Stalled(Why::new("VerificationFailed", "b")));
        let second = second.into_vec();
        let ready = find(&second, READY).unwrap();
        assert_eq!((ready.last_transition_time.clone(), ready.reason.as_str()), (time(at(10)), "VerificationFailed"));
        assert_eq!(ready.observed_generation, Some(2));
        assert_eq!(find(&second, STALLED).unwrap().last_transition_time, time(at(20)));
        assert_eq!(find(&second, RECONCILING), None, "it is there only while true");
    }

    #[test]
    fn what_is_released_stays_ready_while_the_registry_is_down() {
        let mut conditions = Conditions::new(&[], None, at(0));
        conditions.health(Health::Reconciling { why: Why::new("RegistryUnavailable", "x"), ready: true });
        let conditions = conditions.into_vec();
        assert!(holds(&conditions, READY) && holds(&conditions, RECONCILING));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("ééé", 5), "é…");
        assert!(cut(&"ü".repeat(9_000), MESSAGE_BYTES_MAX).len() <= MESSAGE_BYTES_MAX);
    }
}
