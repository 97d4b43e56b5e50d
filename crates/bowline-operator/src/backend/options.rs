use super::accelerator::Accelerators;
use super::render::KedaTrigger;

/// How an operator treats ModelBackends.
#[derive(Clone, Debug)]
pub struct BackendOptions {
    /// The classes of accelerators of this cluster. Default: none.
    pub accelerators: Accelerators,
    /// The Secret of the system namespace with the credentials of providers, which gateways have as files. Default: `bowline-credentials`.
    pub credentials_secret: String,
    /// The folder where gateways have it. Default: `/etc/bowline/credentials`.
    pub credentials_folder: String,
    /// The port of the admin listeners of gateways. Default: 7083.
    pub gateway_admin_port: u16,
    /// The address of a Prometheus that scrapes gateways, for KEDA. Default: none, KEDA asks the gateways.
    pub prometheus: Option<String>,
}

// === impl BackendOptions ===

impl BackendOptions {
    /// Returns where KEDA reads, where it is there.
    pub(super) fn keda_trigger(&self, system_namespace: &str) -> KedaTrigger {
        let gateways = || format!("http://bowline-gateway-admin.{system_namespace}:{}", self.gateway_admin_port);
        self.prometheus.clone().map_or_else(|| KedaTrigger::Gateways(gateways()), KedaTrigger::Prometheus)
    }
}

impl Default for BackendOptions {
    fn default() -> Self {
        Self {
            accelerators: Accelerators::default(),
            credentials_secret: "bowline-credentials".to_owned(),
            credentials_folder: "/etc/bowline/credentials".to_owned(),
            gateway_admin_port: 7083,
            prometheus: None,
        }
    }
}
