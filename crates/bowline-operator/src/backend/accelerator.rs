//! Classes of accelerators: a name that a ModelBackend uses, and what it means in this cluster. No kind names a vendor or a cloud; this
//! file, which comes from the chart's values, is where they stand.

use std::collections::BTreeMap;

use bowline_prompt::{Diagnostic, render_diagnostic, yaml};
use serde::{Deserialize, Serialize};

/// The label of nodes of GKE that names how the chips of a slice are laid out, such as `2x4`.
///
/// Source: <https://cloud.google.com/kubernetes-engine/docs/concepts/tpus>, read 2026-11-25.
const TPU_TOPOLOGY: &str = "cloud.google.com/gke-tpu-topology";
/// The most classes of a file.
const CLASSES_MAX: usize = 256;

/// The classes of accelerators that there are, by name.
///
/// In the file, YAML or JSON, a class is `{resource, nodeSelector, tolerations}` or `{deviceClass, selectors}`, the latter with `nodeSelector`
/// and `tolerations` too where somebody wants them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accelerators(BTreeMap<String, AcceleratorClass>);

/// What a class of accelerators means in this cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcceleratorClass {
    /// How a pod asks for one.
    pub(crate) request: AcceleratorRequest,
    /// Labels of the nodes that have it. Default: none.
    pub(crate) node_selector: BTreeMap<String, String>,
    /// Taints of these nodes that a pod bears. Default: none.
    pub(crate) tolerations: Vec<Toleration>,
}

/// How a pod asks for an accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AcceleratorRequest {
    /// By an extended resource, such as `nvidia.com/gpu`.
    Resource(String),
    /// By a claim for devices (dynamic resource allocation).
    Claim {
        /// The DeviceClass.
        device_class: String,
        /// CEL expressions that a device must satisfy, all of them.
        selectors: Vec<String>,
    },
}

/// A taint that a pod bears, as Kubernetes writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Toleration {
    /// The key; none bears every taint, with the operator `Exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// `Equal` or `Exists`. Default: `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operator: Option<String>,
    /// The value, for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Default: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) effect: Option<String>,
}

/// Why a file of accelerator classes cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AcceleratorsError {
    /// It is not what is described.
    #[error("the classes of accelerators cannot be read\n{0}")]
    Invalid(String),
    /// A class says two things, or none.
    #[error("class `{class}` of accelerators {problem}\nhint: give `resource`, or `deviceClass` with `selectors`")]
    Contradiction {
        /// The class.
        class: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// There are more than are read.
    #[error("there are {count} classes of accelerators, at most {CLASSES_MAX} are read")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    device_class: Option<String>,
    #[serde(default)]
    selectors: Vec<String>,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    #[serde(default)]
    tolerations: Vec<Toleration>,
}

// === impl Accelerators ===

impl Accelerators {
    /// Reads the text of a file, which errors call `file`.
    ///
    /// # Errors
    /// It is neither YAML nor JSON, a class has an unknown field, or contradicts itself.
    pub fn parse(file: &str, text: &str) -> Result<Self, AcceleratorsError> {
        let invalid = |diagnostic: Diagnostic| AcceleratorsError::Invalid(render_diagnostic(&diagnostic, Some(text)));
        let node = yaml::parse(file, text, 0).map_err(invalid)?;
        if node.is_null() {
            return Ok(Self::default());
        }
        let entries: BTreeMap<String, Entry> = yaml::decode(file, &node).map_err(invalid)?;
        if entries.len() > CLASSES_MAX {
            return Err(AcceleratorsError::TooMany { count: entries.len() });
        }
        let classes = entries.into_iter().map(|(name, entry)| entry.class(&name).map(|class| (name, class)));
        classes.collect::<Result<_, _>>().map(Self)
    }

    /// Returns a class.
    pub(crate) fn get(&self, name: &str) -> Option<&AcceleratorClass> {
        self.0.get(name)
    }

    /// Returns the names there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

// === impl AcceleratorClass ===

impl AcceleratorClass {
    /// Returns how many a pod must take; `None` where any number does. The chips of a slice of TPUs belong together, so a pod takes as
    /// many as the topology has.
    pub(crate) fn count_only(&self) -> Option<i32> {
        let AcceleratorRequest::Resource(_) = self.request else { return None };
        let topology = self.node_selector.get(TPU_TOPOLOGY)?;
        let sides = topology.split('x').map(|side| side.parse::<i32>().ok().filter(|side| *side > 0));
        sides.collect::<Option<Vec<_>>>()?.into_iter().try_fold(1_i32, i32::checked_mul)
    }
}

// === impl Entry ===

impl Entry {
    fn class(self, name: &str) -> Result<AcceleratorClass, AcceleratorsError> {
        let Self { resource, device_class, selectors, node_selector, tolerations } = self;
        let contradiction = |problem| AcceleratorsError::Contradiction { class: name.to_owned(), problem };
        let request = match (resource, device_class) {
            (Some(_), Some(_)) => return Err(contradiction("has a resource and a class of devices")),
            (None, None) => return Err(contradiction("has neither a resource nor a class of devices")),
            (Some(_), None) if !selectors.is_empty() => {
                return Err(contradiction("has selectors of devices, but no class of devices"));
            }
            (Some(resource), None) => AcceleratorRequest::Resource(resource),
            (None, Some(device_class)) => AcceleratorRequest::Claim { device_class, selectors },
        };
        Ok(AcceleratorClass { request, node_selector, tolerations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Accelerators, AcceleratorsError> {
        Accelerators::parse("accelerators.yaml", text)
    }

    #[test]
    fn classes_are_read_from_yaml_and_json() {
        let yaml = "l4: {resource: nvidia.com/gpu, nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}}\n\
                    h100:\n  deviceClass: gpu.nvidia.com\n  selectors: [\"device.driver == 'gpu.nvidia.com'\"]\n";
        let json = r#"{"l4": {"resource": "nvidia.com/gpu", "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
                       "h100": {"deviceClass": "gpu.nvidia.com", "selectors": ["device.driver == 'gpu.nvidia.com'"]}}"#;
        let classes = parse(yaml).unwrap();
        assert_eq!(classes, parse(json).unwrap());
        assert_eq!(classes.names().collect::<Vec<_>>(), ["h100", "l4"]);
        assert_eq!(classes.get("l4").unwrap().request, AcceleratorRequest::Resource("nvidia.com/gpu".to_owned()));
        assert_eq!(parse("").unwrap(), Accelerators::default());
        assert_eq!(parse("{}").unwrap(), Accelerators::default());
    }

    #[test]
    fn a_class_that_contradicts_itself_is_named() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("a: {}", "class `a` of accelerators has neither");
        check("a: {resource: x, deviceClass: y}", "has a resource and a class of devices");
        check("a: {resource: x, selectors: ['true']}", "has selectors of devices");
        check("a: {resource: x, nodeselector: {}}", "unknown key `nodeselector`");
        check("a: {resource: x, tolerations: [{keys: x}]}", "unknown key `keys`");
        check("- x", "accelerators.yaml:1:1");
        check("a: [", "accelerators.yaml:2:1");
    }

    #[test]
    fn a_slice_of_tpus_is_taken_whole() {
        let check = |topology: &str, expected: Option<i32>| {
            let text = format!("t: {{resource: google.com/tpu, nodeSelector: {{{TPU_TOPOLOGY}: '{topology}'}}}}");
            assert_eq!(parse(&text).unwrap().get("t").unwrap().count_only(), expected, "{topology}");
        };
        check("1x1", Some(1));
        check("2x4", Some(8));
        check("2x2x1", Some(4));
        check("odd", None);
        check("0x4", None);
        assert_eq!(parse("g: {resource: nvidia.com/gpu}").unwrap().get("g").unwrap().count_only(), None);
    }
}
