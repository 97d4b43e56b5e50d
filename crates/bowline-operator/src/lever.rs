//! Levers: who pulled one, and why.

use bowline_crd::Lever;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What is written where nobody says why.
pub(crate) const NO_REASON: &str = "no reason given";

/// A lever that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// The value of the annotation.
    pub(crate) value: String,
    /// Who: the name that they gave, which an admission policy has held against the one they have for the API server; else the program that wrote
    /// the annotation, and that it is one.
    pub(crate) actor: String,
}

// === impl Pulled ===

impl Pulled {
    /// Returns why, in words.
    pub(crate) fn why(&self) -> String {
        let why = self.value.trim();
        // What tools write where a value is asked for and there is nothing to say.
        if why.is_empty() || why == "true" { NO_REASON.to_owned() } else { why.to_owned() }
    }
}

/// Returns a lever of an object, where it was pulled.
pub(crate) fn pulled(meta: &ObjectMeta, lever: Lever) -> Option<Pulled> {
    let annotations = meta.annotations.as_ref()?;
    let value = annotations.get(lever.annotation())?.clone();
    let named = annotations.get(Lever::ACTOR).filter(|name| !name.trim().is_empty());
    let actor = named.cloned().or_else(|| Some(format!("field manager {}", writer(meta, lever)?)));
    Some(Pulled { value, actor: actor.unwrap_or_else(|| "somebody".to_owned()) })
}

/// Returns the field manager that wrote the annotation last.
fn writer(meta: &ObjectMeta, lever: Lever) -> Option<&str> {
    let field = format!("f:{}", lever.annotation());
    let wrote = meta.managed_fields.as_ref()?.iter().filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| {
            fields.pointer("/f:metadata/f:annotations").is_some_and(|all| all.get(&field).is_some())
        })
    });
    wrote.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?.manager.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(annotations: serde_json::Value) -> ObjectMeta {
        let fields = serde_json::json!([
            { "manager": "bowline-operator", "fieldsV1": { "f:metadata": { "f:annotations": { "f:bowline.dev/prompt": {} } } } },
            { "manager": "kubectl-annotate", "fieldsV1": { "f:metadata": { "f:annotations": { "f:bowline.dev/abort": {} } } } },
        ]);
        serde_json::from_value(serde_json::json!({ "annotations": annotations, "managedFields": fields })).unwrap()
    }

    #[test]
    fn who_is_the_name_that_was_given_or_the_program() {
        let told = meta(serde_json::json!({ "bowline.dev/abort": "angry customers", "bowline.dev/actor": "ada" }));
        let pulled_by = pulled(&told, Lever::Abort).unwrap();
        assert_eq!((pulled_by.actor.as_str(), pulled_by.why().as_str()), ("ada", "angry customers"));
        let untold = pulled(&meta(serde_json::json!({ "bowline.dev/abort": "true" })), Lever::Abort).unwrap();
        assert_eq!((untold.actor.as_str(), untold.why().as_str()), ("field manager kubectl-annotate", NO_REASON));
        assert_eq!(pulled(&told, Lever::Promote), None);
    }
}
