//! `bowline rollout`.

pub(crate) mod end;
pub(crate) mod explain;
pub(crate) mod list;
pub(crate) mod plan;
pub(crate) mod replay;
pub(crate) mod watch;
