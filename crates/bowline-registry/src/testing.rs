//! Builders for the tests: versions are letters, and writes are told in short lines.

use std::collections::BTreeMap;

use bowline_canary::{Design, Plan};
use bowline_store::{
    Freeze, LogAction, LogRow, PointerRecord, Provenance, QuarantineRecord, RolloutRecord, RolloutState, Write,
};
use bowline_types::{Digest, PromptName, RolloutId, Scope, SuccessContract, Timestamp};

use crate::environment::EnvironmentState;

const LETTERS: [&str; 5] = ["a", "b", "c", "d", "e"];

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + seconds * 1_000_000)
}

pub(crate) fn digest(letter: &str) -> Digest {
    Digest::of(letter.as_bytes())
}

fn letter(digest: Digest) -> &'static str {
    LETTERS.into_iter().find(|letter| self::digest(letter) == digest).unwrap_or("?")
}

pub(crate) fn prompt() -> PromptName {
    "support/classify".parse().unwrap()
}

pub(crate) fn scope() -> Scope {
    Scope { project: "desk".parse().unwrap(), environment: "prod".parse().unwrap() }
}

pub(crate) fn provenance() -> Provenance {
    Provenance { commit: Some("8c1f2e0d4b5a6978".to_owned()), author: None, dirty: false }
}

/// An environment in which nothing is live.
pub(crate) fn empty() -> EnvironmentState {
    EnvironmentState {
        scope: scope(),
        freeze: None,
        temporary: None,
        fence: None,
        pointers: BTreeMap::new(),
        rollouts: BTreeMap::new(),
        quarantine: Vec::new(),
        next_number: 7,
    }
}

// === impl EnvironmentState ===

impl EnvironmentState {
    pub(crate) fn live(mut self, letter: &str) -> Self {
        let pointer = PointerRecord {
            scope: scope(),
            prompt: prompt(),
            version: digest(letter),
            success: SuccessContract::default(),
            moved_at: at(0),
        };
        self.pointers.insert(prompt(), pointer);
        self
    }

    /// A rollout from what is live to another version.
    pub(crate) fn trying(mut self, letter: &str, state: RolloutState) -> Self {
        let rollout = RolloutRecord { state, ..rollout(self.pointers[&prompt()].version, digest(letter)) };
        self.rollouts.insert(prompt(), rollout);
        self
    }

    pub(crate) fn quarantining(mut self, letter: &str) -> Self {
        let (version, why) = (digest(letter), "worse".to_owned());
        let record = QuarantineRecord { scope: scope(), prompt: prompt(), version, rollout: None, why, at: at(1) };
        self.quarantine.push(record);
        self
    }

    pub(crate) fn frozen(mut self) -> Self {
        self.freeze = Some(Freeze { actor: "grace".to_owned(), why: "holiday".to_owned(), at: at(1) });
        self
    }
}

pub(crate) fn rollout(stable: Digest, candidate: Digest) -> RolloutRecord {
    RolloutRecord {
        id: RolloutId::from_uuid("0198f3d2-a1b4-7c0e-8f00-112233445566".parse().unwrap()),
        number: 6,
        scope: scope(),
        prompt: prompt(),
        stable,
        candidate,
        success: SuccessContract::default(),
        design: serde_json::to_value(Design::new(Plan::default(), None).unwrap()).unwrap(),
        state: RolloutState::Running,
        stage: 0,
        frontier: at(0),
        started_at: at(0),
        stage_started_at: at(0),
        ended_at: None,
        actor: "ada".to_owned(),
        provenance: provenance(),
        why: "started".to_owned(),
        evidence: None,
        revision: 3,
    }
}

/// A row that says where the pointer went.
pub(crate) fn moved(from: Option<&str>, to: &str) -> LogRow {
    LogRow {
        sequence: 0,
        scope: scope(),
        prompt: Some(prompt()),
        at: at(0),
        actor: "ada".to_owned(),
        action: LogAction::Moved,
        from: from.map(digest),
        to: Some(digest(to)),
        rollout: None,
        commit: None,
        why: String::new(),
        evidence: None,
    }
}

/// Tells writes in short lines.
pub(crate) fn told(writes: &[Write]) -> Vec<String> {
    writes.iter().map(tell).collect()
}

fn tell(write: &Write) -> String {
    let name = |digest: Option<Digest>| digest.map_or("-", letter);
    match write {
        Write::VersionPut(version) => format!("version {}", letter(version.digest)),
        Write::RegistrationPut(registration) => format!("registration {}", letter(registration.version)),
        Write::PointerPut { pointer, expected } => format!("pointer {}>{}", name(*expected), letter(pointer.version)),
        Write::LogAppend(row) => {
            format!("log {:?} {}>{} by {}: {}", row.action, name(row.from), name(row.to), row.actor, row.why)
        }
        Write::RolloutPut { rollout, expected } => {
            let RolloutRecord { number, state, stage, revision, .. } = rollout.as_ref();
            let before = expected.map_or("new".to_owned(), |expected| expected.to_string());
            format!("rollout {number} {} stage {stage} revision {before}>{revision}", state.as_str())
        }
        Write::QuarantinePut(record) => format!("quarantine {}: {}", letter(record.version), record.why),
        Write::QuarantineRemove { version, .. } => format!("quarantine lifted {}", letter(*version)),
        Write::EnvironmentPut(record) => {
            let fence = record.fence.as_ref().map(|fence| format!(" fence {} {}", fence.holder, fence.revision));
            format!("environment {}{}", record.freeze.as_ref().map_or("open", |_| "frozen"), fence.unwrap_or_default())
        }
        Write::PointerRemove { expected, .. } => format!("pointer removed {}", letter(*expected)),
        Write::ObservationAppend(observation) => format!("observation {}", observation.sequence),
        other => panic!("the registry writes no {other:?}"),
    }
}
