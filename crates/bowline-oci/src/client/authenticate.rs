//! Who we are at a registry: anonymous, basic, or with a token from its authorization service.

use std::io::ErrorKind;
use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_types::Secret;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use form_urlencoded::Serializer;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::Repository;
use super::challenge::Challenge;
use super::problem::Problem;
use super::transport::{Transport, protocol, sensitive};

/// How clients are known to an authorization service.
const CLIENT_ID: &str = "bowline";
/// The name under which Docker keeps the credentials of its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Whom we are at a registry.
#[derive(Clone, Debug)]
pub(super) enum Account {
    Anonymous,
    Password {
        user: String,
        password: Secret,
    },
    /// A refresh token, as `docker login` keeps one for some registries.
    Token(Secret),
}

/// The value of an `Authorization` header.
#[derive(Clone, Debug)]
pub(super) enum Authorization {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

/// The answer of an authorization service; both names are in use.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

// === impl Authorization ===

impl Authorization {
    pub(super) fn header(&self) -> Result<HeaderValue, Problem> {
        match self {
            Self::Basic { user, password } => {
                sensitive(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
            }
            Self::Bearer(token) => sensitive(&format!("Bearer {}", token.expose())),
        }
    }
}

// === impl Transport ===

impl Transport {
    /// Returns the authorization that a repository accepted last.
    pub(super) fn known(&self, repository: &Repository) -> Option<Authorization> {
        let known = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(repository.registry.clone(), repository.name.clone())).cloned()
    }

    pub(super) fn remember(&self, repository: &Repository, authorization: Authorization) {
        let mut known = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((repository.registry.clone(), repository.name.clone()), authorization);
    }

    /// Returns whether there are credentials for the registry, as far as it was asked for.
    pub(super) fn has_credentials(&self, repository: &Repository) -> bool {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.get(&repository.registry).is_some_and(|account| !matches!(account, Account::Anonymous))
    }

    /// Answers a challenge; none where that needs credentials and there are none.
    pub(super) async fn authorize(
        &self,
        repository: &Repository,
        challenge: &Challenge,
    ) -> Result<Option<Authorization>, Problem> {
        let account = self.account(repository).await?;
        match challenge {
            Challenge::Basic => Ok(account.basic()),
            Challenge::Bearer { realm, service, scope } => {
                let pull = format!("repository:{}:pull", repository.name);
                let scope = scope.as_deref().unwrap_or(&pull);
                let token = self.token(&account, realm, service.as_deref(), scope).await?;
                Ok(Some(Authorization::Bearer(token)))
            }
        }
    }

    async fn token(
        &self,
        account: &Account,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Secret, Problem> {
        let fields = fields(account, service, scope);
        let answer = if let Account::Token(_) = account {
            self.token_call(realm, Method::POST, None, Some(fields)).await?
        } else {
            let separator = if realm.contains('?') { '&' } else { '?' };
            let url = format!("{realm}{separator}{fields}");
            self.token_call(&url, Method::GET, account.basic().as_ref(), None).await?
        };
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) {
            let with_credentials = !matches!(account, Account::Anonymous);
            let message = format!("its authorization service answers {}", answer.status.as_u16());
            return Err(Problem::Unauthenticated { with_credentials, message });
        }
        if !answer.status.is_success() {
            return Err(answer.problem());
        }
        let read: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| protocol("its authorization service answers with something else than a token"))?;
        let token =
            read.token.or(read.access_token).ok_or_else(|| protocol("its authorization service gives no token"))?;
        Ok(Secret::new(token))
    }

    /// Returns whom we are at a registry, asking Docker's configuration once.
    async fn account(&self, repository: &Repository) -> Result<Account, Problem> {
        let registry = &repository.registry;
        if let Some(account) = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(registry) {
            return Ok(account.clone());
        }
        let is_meant = |only: &String| *only == repository.registry_name;
        let credential = self.options.credential.as_ref();
        let credential = credential.filter(|_| self.options.credential_for.as_ref().is_none_or(is_meant));
        let account = match (credential, &self.options.docker_config) {
            (Some((user, password)), _) => Account::Password { user: user.clone(), password: password.clone() },
            (None, None) => Account::Anonymous,
            (None, Some(path)) => {
                let server = match repository.registry_name.as_str() {
                    "docker.io" | "index.docker.io" => DOCKER_HUB.to_owned(),
                    other => other.to_owned(),
                };
                let path = path.clone();
                // A credential helper is a program that may ask a person; no task may wait for it.
                let asked = tokio::task::spawn_blocking(move || from_docker(&path, &server)).await;
                asked.map_err(|_| Problem::Credential { reason: "the credential helper was stopped".to_owned() })??
            }
        };
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(registry.clone(), account.clone());
        Ok(account)
    }
}

// === impl Account ===

impl Account {
    fn basic(&self) -> Option<Authorization> {
        match self {
            Self::Password { user, password } => {
                Some(Authorization::Basic { user: user.clone(), password: password.clone() })
            }
            Self::Anonymous | Self::Token(_) => None,
        }
    }
}

fn from_docker(path: &std::path::Path, server: &str) -> Result<Account, Problem> {
    let failed = |what: String| Problem::Credential { reason: format!("{}: {what}", path.display()) };
    let file = match std::fs::File::open(path) {
        Ok(file) => std::io::BufReader::new(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Account::Anonymous),
        Err(error) => return Err(failed(error.to_string())),
    };
    match docker_credential::get_credential_from_reader(file, server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Account::Password { user, password: Secret::new(password) })
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Account::Token(Secret::new(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(Account::Anonymous),
        // What a helper printed may hold the credential itself, so it is not repeated.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            Err(failed(format!("the credential helper `docker-credential-{helper}` has none for {server}")))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The fields of a call for a token. Made apart, as the serializer must not be alive while the call waits: it belongs to one thread.
fn fields(account: &Account, service: Option<&str>, scope: &str) -> String {
    let mut fields = Serializer::new(String::new());
    fields.extend_pairs(service.map(|service| ("service", service)));
    fields.append_pair("scope", scope);
    if let Account::Token(refresh) = account {
        // <https://distribution.github.io/distribution/spec/auth/oauth/>, read 2026-11-25.
        fields.append_pair("grant_type", "refresh_token").append_pair("client_id", CLIENT_ID);
        fields.append_pair("refresh_token", refresh.expose());
    }
    fields.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks whom Docker's configuration says that we are at `registry.example`.
    fn check(config: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        let found = match from_docker(&path, "registry.example") {
            Ok(Account::Anonymous) => "anonymous".to_owned(),
            Ok(Account::Password { user, password }) => format!("{user} {}", password.expose()),
            Ok(Account::Token(token)) => format!("token {}", token.expose()),
            Err(problem) => problem.to_string(),
        };
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn docker_knows_us() {
        let auth = STANDARD.encode("ada:pass:word");
        check(&format!(r#"{{"auths":{{"registry.example":{{"auth":"{auth}"}}}}}}"#), "ada pass:word");
        check(r#"{"auths":{"registry.example":{"identitytoken":"t"}}}"#, "token t");
        check(r#"{"auths":{"other.example":{"auth":"YTpi"}}}"#, "anonymous");
        check(r#"{"credHelpers":{"registry.example":"of-nobody"}}"#, "credential helper");
        check("{", "config.json: ");
        let missing = std::path::Path::new("/nonexistent/config.json");
        assert!(matches!(from_docker(missing, "a"), Ok(Account::Anonymous)));
    }

    #[test]
    fn secrets_do_not_show() {
        let basic = Authorization::Basic { user: "ada".to_owned(), password: Secret::new("hidden".to_owned()) };
        assert!(!format!("{basic:?}").contains("hidden"));
        assert!(!format!("{:?}", basic.header().unwrap()).contains("Basic"));
    }
}
