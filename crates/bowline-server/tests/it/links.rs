//! A gateway's link to the control role over real sockets: with a token, with certificates, and with those that do not fit.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bowline_server::wire::RecordsRequest;
use bowline_server::{
    ClientTls, GatewayAuth, GatewayTokens, Link, LinkError, LinkOptions, ServerTls, TlsFiles, TlsListener,
};
use bowline_types::Secret;
use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::internal::internal;
use crate::world::World;

/// A folder with an authority, and certificates from it.
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let certificates = Self { folder, authority };
        certificates.issue("server");
        certificates.issue("client");
        certificates
    }

    /// Writes a certificate for this machine, over the one that was there.
    pub(crate) fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn identity(&self, name: &str) -> Option<(PathBuf, PathBuf)> {
        Some((self.path(&format!("{name}.pem")), self.path(&format!("{name}.key"))))
    }

    pub(crate) fn server(&self, authorities: Option<&Path>) -> ServerTls {
        let authorities = authorities.map(Path::to_owned);
        ServerTls::load(TlsFiles { identity: self.identity("server"), authorities }).unwrap()
    }

    pub(crate) fn client(&self, with_identity: bool) -> ClientTls {
        let identity = self.identity("client").filter(|_| with_identity);
        ClientTls::load(TlsFiles { identity, authorities: Some(self.path("ca.pem")) }).unwrap()
    }
}

/// Serves the internal API; ends with the set.
async fn serve(world: &World, auth: GatewayAuth, tls: Option<ServerTls>) -> (JoinSet<()>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, mut tasks) = (internal(world, auth), JoinSet::new());
    match tls {
        Some(tls) => {
            let listener = TlsListener::new(listener, tls).unwrap();
            tasks.spawn(async move { axum::serve(listener, router).await.unwrap() })
        }
        None => tasks.spawn(async move { axum::serve(listener, router).await.unwrap() }),
    };
    (tasks, address)
}

fn link(address: String, token: Option<&str>, tls: Option<ClientTls>) -> Link {
    let token = token.map(str::to_owned);
    let token = token.map(|token| Arc::new(move || Some(Secret::new(token.clone()))) as bowline_server::TokenSource);
    Link::new(LinkOptions { address, token, tls }).unwrap()
}

async fn asks(link: &Link) -> Result<(), LinkError> {
    link.news(None, Duration::ZERO).await.map(|_| ())
}

#[tokio::test]
async fn a_link_fetches_what_is_new_and_delivers() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let tokens = GatewayAuth::Tokens(GatewayTokens::new("bwg_test").unwrap());
    let (tasks, address) = serve(&world, tokens, None).await;
    let link = link(format!("http://{address}"), Some("bwg_test"), None);
    let news = link.news(None, Duration::from_secs(30)).await.unwrap();
    let (digest, snapshot) = link.snapshot(None).await.unwrap().unwrap();
    assert_eq!((digest, &snapshot), (news.digest, world.snapshot().as_ref()));
    assert!(link.snapshot(Some(digest)).await.unwrap().is_none());
    link.secret().await.unwrap();
    let request = RecordsRequest { inferences: vec![world.call()], ..RecordsRequest::default() };
    link.deliver(&request).await.unwrap();
    assert_eq!(
        world.store.inference_fetch(request.inferences[0].id).await.unwrap().as_ref(),
        request.inferences.first()
    );
    drop(tasks);
    // The connection that was open is gone, and so is whoever could take another one.
    assert!(matches!(link.deliver(&request).await, Err(error) if !error.is_final()));
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_a_hint_and_may_be_mended() {
    let world = World::new().await;
    let (_tasks, address) = serve(&world, GatewayAuth::Tokens(GatewayTokens::new("bwg_test").unwrap()), None).await;
    let refused = asks(&link(format!("http://{address}"), Some("bwg_other"), None)).await.unwrap_err();
    assert!(matches!(&refused, LinkError::Refused { status: 401, message } if message.contains("hint:")), "{refused}");
    assert!(!refused.is_final());
    let none = Arc::new(|| None) as bowline_server::TokenSource;
    let link = Link::new(LinkOptions { address: format!("http://{address}"), token: Some(none), tls: None }).unwrap();
    assert!(matches!(asks(&link).await, Err(LinkError::Token)));
}

/// A proxy on the way says 400 to what it does not understand; records must outlive that. What is too large for it may pass in parts.
#[tokio::test]
async fn what_a_proxy_says_is_not_the_last_word() {
    for (status, is_final) in [(StatusCode::BAD_REQUEST, false), (StatusCode::PAYLOAD_TOO_LARGE, true)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = axum::Router::new().fallback(move || async move { (status, "<p>no</p>") });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, proxy).await.unwrap() });
        let refused = link(format!("http://{address}"), Some("t"), None).deliver(&RecordsRequest::default()).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, LinkError::Stranger { .. }) && refused.is_final() == is_final, "{refused}");
    }
}

#[tokio::test]
async fn only_certificates_of_the_right_authority_are_let_in() {
    let world = World::new().await;
    let (ours, theirs) = (Certificates::new("ours"), Certificates::new("theirs"));
    let tls = ours.server(Some(&ours.path("ca.pem")));
    assert!(tls.asks_for_certificates());
    let (_tasks, address) = serve(&world, GatewayAuth::Certificate, Some(tls)).await;
    let to = format!("https://{address}");
    asks(&link(to.clone(), None, Some(ours.client(true)))).await.unwrap();
    let stranger = |authorities: &Certificates, identity: Option<(PathBuf, PathBuf)>| {
        ClientTls::load(TlsFiles { identity, authorities: Some(authorities.path("ca.pem")) }).unwrap()
    };
    // No certificate; one of another authority; a server of another authority.
    for tls in
        [stranger(&ours, None), stranger(&ours, theirs.identity("client")), stranger(&theirs, ours.identity("client"))]
    {
        let refused = asks(&link(to.clone(), None, Some(tls))).await.unwrap_err();
        assert!(matches!(refused, LinkError::Unreachable { .. }), "{refused}");
    }
    // Plain HTTP at a TLS port.
    assert!(asks(&link(format!("http://{address}"), None, None)).await.is_err());
}

#[tokio::test]
async fn certificates_are_renewed_without_a_restart() {
    let world = World::new().await;
    let (before, after) = (Certificates::new("before"), Certificates::new("after"));
    let tls = before.server(Some(&before.path("ca.pem")));
    let (_tasks, address) = serve(&world, GatewayAuth::Certificate, Some(tls.clone())).await;
    let link = link(format!("https://{address}"), None, Some(before.client(true)));
    asks(&link).await.unwrap();
    assert!(!tls.reload().unwrap() && !link.reload().unwrap(), "nothing has changed");

    // Half a renewal, as a file that is being written: what was there stays in use.
    fs::write(before.path("server.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    assert!(tls.reload().is_err());
    asks(&link).await.unwrap();

    // Everything is replaced, the authority too.
    for name in ["ca.pem", "server.pem", "server.key", "client.pem", "client.key"] {
        fs::copy(after.path(name), before.path(name)).unwrap();
    }
    assert!(tls.reload().unwrap() && link.reload().unwrap());
    asks(&link).await.unwrap();
    let old = Certificates::new("old");
    assert!(asks(&self::link(format!("https://{address}"), None, Some(old.client(true)))).await.is_err());
}

#[tokio::test]
async fn a_slow_handshake_holds_up_nobody() {
    let world = World::new().await;
    let ours = Certificates::new("ours");
    let (_tasks, address) =
        serve(&world, GatewayAuth::Certificate, Some(ours.server(Some(&ours.path("ca.pem"))))).await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let link = link(format!("https://{address}"), None, Some(ours.client(true)));
    tokio::time::timeout(Duration::from_secs(8), asks(&link)).await.unwrap().unwrap();
    drop(silent);
}

/// A control role of schema 1, answering as one did, and of one that is two versions ahead.
#[tokio::test]
async fn a_control_role_of_the_schema_before_is_followed_and_one_too_far_ahead_is_not() {
    const NEWS: &str = include_str!("../../../bowline-registry/fixtures/schema-1/news.json");
    const SNAPSHOT: &str = include_str!("../../../bowline-registry/fixtures/schema-1/snapshot.json");
    let digest = include_str!("../../../bowline-registry/fixtures/schema-1/digest.txt").trim();
    let answers = move |snapshot: String| {
        let tag = [("etag", format!("\"{digest}\""))];
        axum::Router::new()
            .route("/internal/v1/news", axum::routing::get(|| async { NEWS }))
            .route("/internal/v1/snapshot", axum::routing::get(|| async { (tag, snapshot) }))
    };
    let mut tasks = JoinSet::new();
    let mut followed = Vec::new();
    for snapshot in [SNAPSHOT.to_owned(), SNAPSHOT.replacen("\"schema_version\": 1", "\"schema_version\": 3", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = answers(snapshot);
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let link = link(format!("http://{address}"), Some("bwg_test"), None);
        let news = link.news(None, Duration::ZERO).await.unwrap();
        assert_eq!((news.digest.to_string().as_str(), news.record_schema, news.leases_us.len()), (digest, 1, 1));
        followed.push(link.snapshot(None).await);
    }
    let refused = followed.pop().unwrap().unwrap_err();
    assert!(matches!(refused, LinkError::Schema { found: 3 }) && refused.to_string().contains("hint:"), "{refused}");
    let (found, snapshot) = followed.pop().unwrap().unwrap().unwrap();
    assert_eq!(
        (found.to_string().as_str(), snapshot.digest().unwrap(), snapshot.rollouts().count()),
        (digest, found, 1)
    );
}

#[test]
fn addresses_and_files_that_make_no_sense_are_refused() {
    for address in ["", "127.0.0.1:7082", "ftp://a:1", "http://", "http://a:1/path", "http://a:1?x=1"] {
        let made = Link::new(LinkOptions { address: address.to_owned(), token: None, tls: None });
        assert!(matches!(made, Err(LinkError::Address { .. })), "{address}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    fs::write(&cert, "nothing").unwrap();
    let error = |files: TlsFiles| ServerTls::load(files).err().unwrap().to_string();
    let identity = Some((cert.clone(), key.clone()));
    assert!(error(TlsFiles { identity: identity.clone(), authorities: None }).starts_with("could not read"));
    fs::write(&key, "nothing").unwrap();
    assert!(error(TlsFiles { identity, authorities: None }).contains("holds no certificate in PEM"));
    assert!(error(TlsFiles::default()).contains("hint: `--tls-cert"));
}
