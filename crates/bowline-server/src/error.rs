use bowline_types::{ErrorKind, KeyId, ProjectName, Subject, chain};

/// The result of an operation of the control role.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the control role refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry refused.
    #[error(transparent)]
    Registry(#[from] bowline_registry::Error),
    /// The store failed.
    #[error("could not use the store")]
    Store(#[from] bowline_store::Error),
    /// A document that the client sent cannot be read.
    #[error("`{field}` cannot be read")]
    Document {
        /// The field of the request.
        field: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The request does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// The route exists, and not with this method.
    #[error("the route does not take {0}\nhint: the control API lives under /api/v1; docs/api.md lists it")]
    MethodNotAllowed(String),
    /// The body of the request exceeds its bound.
    #[error(
        "the body is larger than {0} bytes\nhint: a release sends the prompts of one project; release large ones in parts"
    )]
    TooLarge(usize),
    /// Something that the request names does not exist.
    #[error("there is no {noun} `{name}`\nhint: {hint}")]
    NotFound {
        /// The noun.
        noun: &'static str,
        /// What was asked for.
        name: String,
        /// What to do next.
        hint: &'static str,
    },
    /// A subject has a key already.
    #[error(
        "`{subject}` has key {key} of project `{project}`\nhint: one at a time; `bowline key revoke {key}` there ends it"
    )]
    SubjectTaken {
        /// The subject.
        subject: Subject,
        /// Its key.
        key: KeyId,
        /// The project of that key.
        project: ProjectName,
    },
    /// Too many callers wait for changes.
    #[error("{0} callers wait for changes, which is the most\nhint: ask again later, or without `wait`")]
    TooManyWait(usize),
    /// The admin token is missing or wrong.
    #[error(
        "the control API needs the admin token\nhint: send `Authorization: Bearer …` with the content of `.bowline/admin.token`, or of the file of `--admin-token`"
    )]
    Unauthenticated,
    /// The gateway did not prove that it is ours.
    #[error(
        "the internal API needs the token of gateways\nhint: send `Authorization: Bearer …` with the content of `gateway.token` in the data folder of the control role"
    )]
    GatewayUnauthenticated,
    /// A gateway reads no schema of snapshots that this control role writes.
    #[error(
        "the gateway reads snapshots up to schema {found}, this control role writes {oldest} and later\nhint: upgrade the gateway; one version of difference is fine"
    )]
    GatewayTooOld {
        /// The newest schema that the gateway reads.
        found: u32,
        /// The oldest schema that this control role writes.
        oldest: u32,
    },
    /// A gateway sent records of a schema that this control role cannot read yet.
    #[error(
        "the records have schema {found}, this control role reads up to {supported}\nhint: upgrade the control role; the gateway keeps them until then"
    )]
    RecordsTooNew {
        /// The newest schema among the records.
        found: u32,
        /// The newest schema that is read here.
        supported: u32,
    },
    /// A delivery did not come to its end in time.
    #[error("the delivery took longer than {0} seconds\nhint: the gateway sends it again")]
    DeliverySlow(u64),
    /// The snapshot could not be prepared for gateways.
    #[error("the snapshot could not be prepared for gateways")]
    Publication(#[source] tokio::task::JoinError),
    /// The `Host` header is not one of ours: a page of another site may be behind the request.
    #[error("the host `{0}` is not served here\nhint: use the address in the address book of `bowline up`")]
    HostRefused(String),
    /// The observation log of a rollout does not follow its design.
    #[error("the observation log of rollout {0} cannot be replayed")]
    Log(u64, #[source] bowline_canary::PushError),
    /// The preview of a plan did not come to its end.
    #[error("the preview of the rollout plan failed")]
    Preview(#[source] tokio::task::JoinError),
    /// The store could not be copied.
    #[error("the store could not be copied")]
    Backup(#[source] crate::BackupError),
    /// There is no randomness for a new key.
    #[error("the operating system has no randomness")]
    Randomness(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// === impl Error ===

impl Error {
    /// Returns that there is no such project.
    pub(crate) fn project_unknown(project: &ProjectName) -> Self {
        let hint = "`bowline up DIR` or `bowline release` makes it known";
        Self::NotFound { noun: "project", name: project.to_string(), hint }
    }

    /// Returns the kind, from which status and code follow.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        use bowline_registry::Error as Registry;
        match self {
            Self::Registry(error) => match error {
                Registry::EnvironmentUnknown { .. }
                | Registry::PromptUnknown { .. }
                | Registry::VersionUnknown { .. } => ErrorKind::NotFound,
                Registry::SourceRefused { .. }
                | Registry::Dirty { .. }
                | Registry::NoCommit { .. }
                | Registry::Frozen { .. }
                | Registry::Fenced { .. }
                | Registry::NothingBefore { .. }
                | Registry::EnvironmentExists { .. }
                | Registry::EnvironmentsTooMany { .. }
                | Registry::NotTemporary { .. }
                | Registry::RolloutEnded { .. } => ErrorKind::Conflict,
                Registry::DigestMismatch { .. } | Registry::PlanInvalid { .. } | Registry::TtlInvalid { .. } => {
                    ErrorKind::InvalidRequest
                }
                Registry::Corrupt { .. } => ErrorKind::Internal,
                Registry::Store(error) => store_kind(error),
            },
            Self::Store(error) => store_kind(error),
            Self::Document { .. } | Self::Invalid(_) | Self::MethodNotAllowed(_) => ErrorKind::InvalidRequest,
            Self::TooLarge(_) => ErrorKind::TooLarge,
            Self::NotFound { .. } => ErrorKind::NotFound,
            // A file that exists, a folder that does not, a disk that is full: whoever named the file can mend it.
            Self::SubjectTaken { .. } | Self::Backup(_) | Self::GatewayTooOld { .. } | Self::RecordsTooNew { .. } => {
                ErrorKind::Conflict
            }
            Self::Unauthenticated | Self::GatewayUnauthenticated => ErrorKind::Unauthenticated,
            Self::HostRefused(_) => ErrorKind::Forbidden,
            Self::DeliverySlow(_) | Self::TooManyWait(_) => ErrorKind::Unavailable,
            Self::Randomness(_) | Self::Preview(_) | Self::Publication(_) | Self::Log(..) => ErrorKind::Internal,
        }
    }

    /// Returns the message with its causes.
    #[must_use]
    pub fn message(&self) -> String {
        chain(self)
    }
}

fn store_kind(error: &bowline_store::Error) -> ErrorKind {
    match error {
        bowline_store::Error::Conflict { .. } => ErrorKind::Conflict,
        bowline_store::Error::Unavailable { .. } | bowline_store::Error::Poisoned => ErrorKind::Unavailable,
        bowline_store::Error::SchemaTooNew { .. }
        | bowline_store::Error::Corrupt { .. }
        | bowline_store::Error::Engine { .. } => ErrorKind::Internal,
    }
}
