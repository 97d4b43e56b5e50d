use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_types::{Clock as _, SystemClock};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use super::control;
use super::layout::Layout;

/// How long certificates are valid; a cluster that is older is made anew.
const VALID: Duration = Duration::from_hours(365 * 24);
/// Clocks of containers and of the machine may differ by as much.
const EARLIER: Duration = Duration::from_hours(1);

/// Written last.
const COMPLETE: &str = "pki/complete";

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Somebody who speaks to the API server with a kubeconfig.
struct User {
    /// The name of the kubeconfig and the certificate.
    file: &'static str,
    /// The name of the user, as roles are bound to it.
    name: &'static str,
    group: Option<&'static str>,
}

/// The components, each as the user that Kubernetes binds its role to. Source: "PKI certificates and requirements" of the documentation
/// of Kubernetes, <https://kubernetes.io/docs/setup/best-practices/certificates/> (read 2026-11-25).
const USERS: [User; 5] = [
    User { file: "controller-manager", name: "system:kube-controller-manager", group: None },
    User { file: "scheduler", name: "system:kube-scheduler", group: None },
    User { file: "kubelet", name: "system:node:bowline", group: Some("system:nodes") },
    User { file: "proxy", name: "system:kube-proxy", group: None },
    User { file: "dns", name: "system:coredns", group: None },
];

/// A person, and the API server where it calls the kubelet.
const ADMINISTRATOR: User = User { file: "admin", name: "admin", group: Some("system:masters") };

/// Makes the certificates and kubeconfigs of a cluster, if they are not there.
///
/// There are three authorities, as kubeadm has them, so that neither a certificate that the cluster signs for a pod nor the kubelet's opens etcd.
pub(super) fn make(layout: &Layout, server: &str) -> anyhow::Result<()> {
    if layout.path(COMPLETE).is_file() {
        return Ok(());
    }
    let cluster = authority(layout, "ca", "bowline-cluster")?;
    let etcd = authority(layout, "etcd-ca", "bowline-cluster-etcd")?;
    let front = authority(layout, "front-ca", "bowline-cluster-front-proxy")?;
    let names: Vec<String> = control::API_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let local = || vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    issue(layout, &cluster, "apiserver", &User { file: "apiserver", name: "kube-apiserver", group: None }, names)?;
    issue(layout, &etcd, "etcd", &User { file: "etcd", name: "etcd", group: None }, local())?;
    issue(
        layout,
        &etcd,
        "etcd-client",
        &User { file: "etcd-client", name: "kube-apiserver", group: None },
        Vec::new(),
    )?;
    issue(layout, &front, "front", &User { file: "front", name: "front-proxy-client", group: None }, Vec::new())?;
    for user in &USERS {
        let mut names = local();
        if user.file == "kubelet" {
            names.extend([super::node::ADDRESS.to_owned(), super::node::NAME.to_owned()]);
        }
        let (certificate, key) = issue(layout, &cluster, user.file, user, names)?;
        let content = kubeconfig(server, &cluster.pem(), &certificate, &key)?;
        layout.write(&format!("kubeconfigs/{}", user.file), &content)?;
    }
    let (certificate, key) = issue(layout, &cluster, ADMINISTRATOR.file, &ADMINISTRATOR, Vec::new())?;
    layout.write("kubeconfig", &kubeconfig(server, &cluster.pem(), &certificate, &key)?)?;
    let accounts = KeyPair::generate().context("making the key of service accounts")?;
    layout.write("pki/accounts.key", &accounts.serialize_pem())?;
    layout.write("pki/accounts.pub", &accounts.public_key_pem())?;
    layout.write(COMPLETE, "")
}

fn authority(layout: &Layout, file: &str, name: &str) -> anyhow::Result<Authority> {
    let mut wanted = parameters(name, None, Vec::new())?;
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().with_context(|| format!("making the key of {name}"))?;
    let authority = CertifiedIssuer::self_signed(wanted, key).with_context(|| format!("signing {name}"))?;
    layout.write(&format!("pki/{file}.crt"), &authority.pem())?;
    layout.write(&format!("pki/{file}.key"), &authority.key().serialize_pem())?;
    Ok(authority)
}

/// Signs a certificate for a user, and for a server with the names; writes and returns it and its key.
fn issue(
    layout: &Layout,
    authority: &Authority,
    file: &str,
    user: &User,
    names: Vec<String>,
) -> anyhow::Result<(String, String)> {
    let mut wanted = parameters(user.name, user.group, names)?;
    wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    wanted.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().with_context(|| format!("making the key of {}", user.name))?;
    let certificate = wanted.signed_by(&key, authority).with_context(|| format!("signing {}", user.name))?;
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    layout.write(&format!("pki/{file}.crt"), &certificate)?;
    layout.write(&format!("pki/{file}.key"), &key)?;
    Ok((certificate, key))
}

fn parameters(name: &str, group: Option<&str>, names: Vec<String>) -> anyhow::Result<CertificateParams> {
    let mut parameters =
        CertificateParams::new(names).with_context(|| format!("describing the certificate of {name}"))?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(group) = group {
        parameters.distinguished_name.push(DnType::OrganizationName, group);
    }
    parameters.distinguished_name.push(DnType::CommonName, name);
    let now = Duration::from_micros(u64::try_from(SystemClock.now().as_micros()).context("the clock is before 1970")?);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + now.saturating_sub(EARLIER);
    parameters.not_after = epoch + now + VALID;
    Ok(parameters)
}

/// Returns a kubeconfig that needs no other file. It is JSON, which every reader of YAML reads.
fn kubeconfig(server: &str, authority: &str, certificate: &str, key: &str) -> anyhow::Result<String> {
    let data = |pem: &str| STANDARD.encode(pem);
    let content = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bowline", "cluster": {"server": server, "certificate-authority-data": data(authority)}}],
        "users": [{
            "name": "bowline",
            "user": {"client-certificate-data": data(certificate), "client-key-data": data(key)},
        }],
        "contexts": [{"name": "bowline", "context": {"cluster": "bowline", "user": "bowline"}}],
        "current-context": "bowline",
    });
    Ok(serde_json::to_string_pretty(&content)?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn certificates_are_made_once_and_kubeconfigs_need_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cluster")).create().unwrap();
        make(&layout, "https://127.0.0.1:6443").unwrap();
        let read = |name: &str| fs::read_to_string(layout.path(name)).unwrap();
        let content: serde_json::Value = serde_json::from_str(&read("kubeconfig")).unwrap();
        assert_eq!(content["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        let authority = content["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
        assert_eq!(STANDARD.decode(authority).unwrap(), read("pki/ca.crt").into_bytes());
        assert!(read("pki/accounts.key").starts_with("-----BEGIN PRIVATE KEY-----"));
        let before = read("pki/admin.crt");
        make(&layout, "https://127.0.0.1:1").unwrap();
        assert_eq!(read("pki/admin.crt"), before);
        // A making that was cut off is done again, whole.
        fs::remove_file(layout.path(COMPLETE)).unwrap();
        make(&layout, "https://127.0.0.1:1").unwrap();
        assert_ne!(read("pki/admin.crt"), before);
    }
}
