//! Anytime-valid statistics of a rollout: e-processes, assignment, stages, verdicts, power.
