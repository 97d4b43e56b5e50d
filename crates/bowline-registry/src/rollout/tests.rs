use bowline_store::PointerRecord as Pointer;
use bowline_types::{Arm, Check, InferenceId, SuccessContract, Unit, UnitKind};

use super::*;
use crate::testing::{at, digest, rollout, told};

fn running() -> RolloutRecord {
    let success = SuccessContract(vec![Check::NotRefusal]);
    RolloutRecord { success, ..rollout(digest("a"), digest("b")) }
}

fn check(end: End, expected: &[&str]) -> Vec<Write> {
    let conclusion = Conclusion {
        end,
        actor: VERDICT.to_owned(),
        why: "as proved".to_owned(),
        evidence: Some(Value::from(20.5)),
        at: at(60),
    };
    let writes = conclude(&running(), conclusion).unwrap();
    assert_eq!(told(&writes), expected);
    writes
}

#[test]
fn ends_are_one_transaction() {
    let promoted = check(
        End::Promoted,
        &["rollout 6 promoted stage 0 revision 3>4", "pointer a>b", "log Promoted a>b by verdict: as proved"],
    );
    // The contract that judged the candidate comes with it.
    assert!(promoted.iter().any(|write| matches!(
        write,
        Write::PointerPut { pointer: Pointer { success, .. }, .. } if *success == running().success
    )));
    check(
        End::RolledBack,
        &[
            "rollout 6 rolled_back stage 0 revision 3>4",
            "quarantine b: as proved",
            "log RolledBack b>a by verdict: as proved",
        ],
    );
    check(
        End::Aborted,
        &["rollout 6 aborted stage 0 revision 3>4", "quarantine b: as proved", "log Aborted b>a by verdict: as proved"],
    );
    check(End::Superseded, &["rollout 6 superseded stage 0 revision 3>4", "log Superseded b>a by verdict: as proved"]);
}

#[test]
fn the_log_row_holds_the_numbers() {
    let writes = check(
        End::Promoted,
        &["rollout 6 promoted stage 0 revision 3>4", "pointer a>b", "log Promoted a>b by verdict: as proved"],
    );
    let row = writes.iter().find_map(|write| if let Write::LogAppend(row) = write { Some(row) } else { None }).unwrap();
    assert_eq!((row.at, row.rollout, &row.evidence), (at(60), Some(running().id), &Some(Value::from(20.5))));
    assert_eq!(row.commit, running().provenance.commit);
}

#[test]
fn stages_and_holds_move_no_pointer() {
    let advanced = advance(&running(), "enough".to_owned(), None, at(60)).unwrap();
    assert_eq!(told(&advanced), ["rollout 6 running stage 1 revision 3>4", "log StageAdvanced a>a by verdict: enough"]);
    let held = hold(&running(), "undecided".to_owned(), None, at(60)).unwrap();
    assert_eq!(told(&held), ["rollout 6 held stage 0 revision 3>4", "log Held a>a by verdict: undecided"]);
}

#[test]
fn what_follows_an_observation_follows_its_revision() {
    let observation = ObservationRecord {
        rollout: running().id,
        sequence: 0,
        assigned_at: at(1),
        unit: Unit { kind: UnitKind::User, value: "u".to_owned() },
        arm: Arm::Candidate,
        stage: 0,
        value: Some(1.0),
        inference: InferenceId::generate(at(1)),
    };
    let (writes, next) = observe(&running(), vec![observation], at(30), Value::from(1)).unwrap();
    assert_eq!(told(&writes), ["observation 0", "rollout 6 running stage 0 revision 3>4"]);
    assert_eq!((next.revision, next.frontier, &next.evidence), (4, at(30), &Some(Value::from(1))));
    let then = advance(&next, "enough".to_owned(), None, at(60)).unwrap();
    assert_eq!(told(&then)[0], "rollout 6 running stage 1 revision 4>5");
}

#[test]
fn ended_rollouts_stay_as_they_are() {
    let states = [RolloutState::Promoted, RolloutState::RolledBack, RolloutState::Aborted, RolloutState::Superseded];
    for state in states {
        let ended = RolloutRecord { state, ..running() };
        let conclusion =
            Conclusion { end: End::Promoted, actor: String::new(), why: String::new(), evidence: None, at: at(60) };
        assert!(matches!(conclude(&ended, conclusion), Err(Error::RolloutEnded { number: 6, .. })));
        assert!(advance(&ended, String::new(), None, at(60)).is_err());
        assert!(hold(&ended, String::new(), None, at(60)).is_err());
        assert!(observe(&ended, Vec::new(), at(60), Value::Null).is_err());
    }
}
