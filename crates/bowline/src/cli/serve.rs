use std::path::PathBuf;
use std::time::Duration;

use bowline_types::parse_duration;
use clap::{Args, ValueEnum};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Serves applications.
    Gateway,
    /// Owns the store and decides.
    Control,
    /// Follows the kinds on Kubernetes.
    Operator,
}

/// `bowline serve`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "A gateway asks `--control URL` for its snapshot, the internal API of a control role, and proves itself by `--token` or by a \
                  client certificate. It serves on while nobody is there, and keeps what it has to tell in `--data`.\n\n\
                  An operator asks `--control URL` with `--admin-token`, the control API, and Kubernetes with the service account of its pod, or \
                  with KUBECONFIG; as does a gateway with `--kubernetes-audience`.\n\n\
                  Plain HTTP is for loopback; the files of `--tls-cert`, `--tls-key`, `--tls-ca` and of tokens are read again when they change."
)]
pub(crate) struct Serve {
    /// What this process does: `gateway`, `control`, or both with a comma between; `operator` alone
    #[arg(long, value_enum, value_delimiter = ',', required = true, value_name = "ROLES", hide_possible_values = true)]
    pub(crate) roles: Vec<Role>,
    /// The folder of the store and the tokens, or of the snapshot and the spool; of this process alone. An operator has none
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The address of the gateway, which applications call
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7080")]
    pub(crate) listen: String,
    /// The address of the control API and the console
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7081")]
    pub(crate) control_listen: String,
    /// The address of the internal API, which gateways call
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7082")]
    pub(crate) internal_listen: String,
    /// The address of the control API without the console, for other machines; with TLS [default: none]
    #[arg(long, value_name = "ADDR")]
    pub(crate) api_listen: Option<String>,
    /// The address of `/metrics`, `/healthz` and `/readyz` [default: 127.0.0.1:7083 of a gateway that stands alone and of an operator, else none]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin_listen: Option<String>,
    /// Another name by which the control API is called over plain HTTP, such as that of a proxy; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) control_host: Vec<String>,
    /// The admin tokens of a control role, one on each line, or the one that an operator asks with: `file:PATH` or `env:NAME` [default: `admin.token` in `--data`]
    #[arg(long, value_name = "REF")]
    pub(crate) admin_token: Option<String>,
    /// The tokens that a control role takes from gateways, one on each line [default: `gateway.token` in `--data`]
    #[arg(long, value_name = "REF")]
    pub(crate) gateway_tokens: Option<String>,
    /// The token of the gateway at the internal API: `file:PATH` or `env:NAME`
    #[arg(long, value_name = "REF")]
    pub(crate) token: Option<String>,
    /// The certificate of this side, in PEM: of the internal API and of `--api-listen`, or of the gateway as a client
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authorities of the other side: a control role then asks gateways for certificates
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Allows plain HTTP beyond loopback, where something else encrypts
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// How much may wait on disk while no control role takes it; beyond it records are lost and counted
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    pub(crate) spool_bytes_max: u64,
    /// How long keys work without news from the control role; a revoked one may be among them [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) snapshot_staleness_max: Option<Duration>,
    /// Takes tokens of Kubernetes' service accounts for this audience as keys, such as `bowline`: the API server says whose they are
    #[arg(long, value_name = "NAME")]
    pub(crate) kubernetes_audience: Option<String>,
    /// How many calls a gateway lets wait for one provider that starts (`starts: true`); one more is refused with 503
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(crate) hold_max: usize,
    /// How long a call waits for a provider that starts; then it is refused with 503
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration)]
    pub(crate) hold_time_max: Duration,
    /// The namespaces in which an operator works, as `NAMESPACE` or `NAMESPACE=PROJECT` [default: all of them]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) namespaces: Vec<String>,
    /// The namespace of the operator itself [default: that of its pod]
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) system_namespace: Option<String>,
    /// Where applications reach gateways: what an operator writes into the Secrets of keys
    #[arg(long, value_name = "URL", default_value = "http://bowline-gateway.bowline-system.svc/v1")]
    pub(crate) gateway_url: String,
    /// A file, YAML or JSON, with the classes of accelerators that ModelBackends may ask an operator for [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) accelerators: Option<PathBuf>,
    /// The Secret of the operator's namespace in which it keeps the credentials of providers for gateways
    #[arg(long, value_name = "NAME", default_value = "bowline-credentials")]
    pub(crate) credentials_secret: String,
    /// A Prometheus that scrapes gateways, from which KEDA scales model servers [default: KEDA asks the gateways]
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus: Option<String>,
    /// The OTLP endpoint that spans go to, such as `http://127.0.0.1:4318`
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

// === impl Serve ===

impl Serve {
    /// Returns whether the process has a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("`{text}` is no duration; such as 30s, 10m or 24h"))
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let factor = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("`{text}` is no size; such as 64MiB or 2GiB")),
    };
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(factor)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| format!("`{text}` is no size; such as 64MiB or 2GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, expected) in [("64MiB", Some(64 << 20)), ("2GiB", Some(2 << 30)), ("4KiB", Some(4096))] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
        for text in ["", "64", "MiB", "0MiB", "64MB", "1.5GiB", "99999999999999999999GiB", "-1KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
