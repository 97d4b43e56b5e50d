//! Endpoints in the configuration of a project: `bowline.yaml` names providers and models, a ModelBackend says where they are.

use serde_json::{Map, Value};

use super::endpoint::Endpoint;

/// Returns a configuration with the endpoints of backends in it, in every environment.
///
/// A backend gives address and credential together: a credential that the project's file has for the provider would otherwise go to
/// another address. An endpoint of a provider that the configuration does not declare is left out.
pub(crate) fn merge(mut config: Value, endpoints: &[Endpoint]) -> Value {
    for endpoint in endpoints {
        merge_one(&mut config, endpoint);
    }
    config
}

/// Returns whether a configuration declares a provider.
pub(crate) fn declares(config: &Value, provider: &str) -> bool {
    config.get("providers").and_then(|providers| providers.get(provider)).is_some()
}

/// Returns a provider of a merged configuration whose credential is a file that no endpoint names, with the reference. Gateways hold the keys of every
/// namespace in files, and their own: a bundle that could name them would send another team's key wherever it likes.
pub(crate) fn foreign_file<'a>(config: &'a Value, endpoints: &[Endpoint]) -> Option<(&'a str, &'a str)> {
    let of = |value: &'a Value| value.get("providers").and_then(Value::as_object).into_iter().flatten();
    let environments = config.get("environments").and_then(Value::as_object).into_iter().flatten();
    let all = of(config).chain(environments.flat_map(|(_, environment)| of(environment)));
    let mut files = all.filter_map(|(provider, declared)| {
        let reference = declared.get("api_key")?.as_str()?;
        reference.starts_with("file:").then_some((provider.as_str(), reference))
    });
    let is_ours = |reference: &str| {
        endpoints.iter().any(|endpoint| endpoint.api_key.as_ref().is_some_and(|key| key.to_string() == reference))
    };
    files.find(|(_, reference)| !is_ours(reference))
}

fn merge_one(config: &mut Value, endpoint: &Endpoint) {
    let name = endpoint.provider.as_str();
    let Some(declared) = config.get_mut("providers").and_then(|providers| providers.get_mut(name)) else { return };
    if let Value::Object(declared) = declared {
        declared.remove("api_key");
    }
    let Some(Value::Object(environments)) = config.get_mut("environments") else { return };
    for environment in environments.values_mut().filter_map(Value::as_object_mut) {
        let overrides = environment.entry("providers").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(overrides) = overrides {
            overrides.insert(name.to_owned(), overriding(endpoint));
        }
    }
}

fn overriding(endpoint: &Endpoint) -> Value {
    let mut fields = Map::new();
    fields.insert("base_url".to_owned(), endpoint.base_url.as_str().into());
    if let Some(api_key) = &endpoint.api_key {
        fields.insert("api_key".to_owned(), api_key.to_string().into());
    }
    if endpoint.starts {
        fields.insert("starts".to_owned(), true.into());
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use bowline_prompt::{BaseUrl, Project};
    use serde_json::json;

    use super::*;

    fn config() -> Value {
        let text = "project: desk\n\
                    providers:\n  \
                    own: { kind: openai, base_url: 'https://llm.example/v1', identity: acme/llm, api_key: 'env:OWN' }\n  \
                    openai: { kind: openai, api_key: 'env:OPENAI' }\n\
                    models: { fast: { provider: own, model: m } }\n\
                    environments:\n  prod: { source: bundle, providers: { own: { api_key: 'env:PROD' } } }\n";
        serde_json::to_value(Project::parse("bowline.yaml", text).unwrap()).unwrap()
    }

    fn endpoint(provider: &str, api_key: Option<&str>) -> Endpoint {
        Endpoint {
            provider: provider.parse().unwrap(),
            base_url: BaseUrl::try_from("https://here.example/v1".to_owned()).unwrap(),
            api_key: api_key.map(|reference| reference.parse().unwrap()),
            starts: false,
        }
    }

    #[test]
    fn address_and_credential_come_together_in_every_environment() {
        let merged = merge(config(), &[endpoint("own", Some("file:/c/desk.own"))]);
        let expected = json!({"base_url": "https://here.example/v1", "api_key": "file:/c/desk.own"});
        for environment in ["dev", "prod"] {
            assert_eq!(merged["environments"][environment]["providers"]["own"], expected, "{environment}");
        }
        assert_eq!(merged["providers"]["openai"], config()["providers"]["openai"]);
        assert_eq!(merged["models"], config()["models"]);
        let project: Project = serde_json::from_value(merged).unwrap();
        let found = project.provider_in(&"prod".parse().unwrap(), &"own".parse().unwrap()).unwrap();
        assert_eq!(found.identity(), "acme/llm");
        assert_eq!(found.api_key.unwrap().to_string(), "file:/c/desk.own");
    }

    #[test]
    fn the_credential_of_the_file_goes_to_no_other_address() {
        let merged = merge(config(), &[endpoint("own", None)]);
        assert!(!merged.to_string().contains("env:OWN") && !merged.to_string().contains("env:PROD"), "{merged}");
        let project: Project = serde_json::from_value(merged).unwrap();
        let found = project.provider_in(&"prod".parse().unwrap(), &"own".parse().unwrap()).unwrap();
        assert_eq!(found.api_key, None);
    }

    #[test]
    fn nothing_is_declared_by_a_backend() {
        assert_eq!(merge(config(), &[endpoint("other", None)]), config());
        assert!(declares(&config(), "own") && !declares(&config(), "other"));
        assert_eq!(merge(Value::Null, &[endpoint("own", None)]), Value::Null);
    }

    #[test]
    fn merging_again_changes_nothing() {
        let endpoints = [Endpoint { starts: true, ..endpoint("own", None) }];
        let once = merge(config(), &endpoints);
        assert_eq!(once["environments"]["dev"]["providers"]["own"]["starts"], true);
        assert_eq!(merge(once.clone(), &endpoints), once);
    }

    #[test]
    fn a_file_is_a_credential_only_where_a_backend_names_it() {
        let theirs = "file:/etc/bowline/credentials/b.openai";
        let ours = endpoint("openai", Some("file:/etc/bowline/credentials/a.openai"));
        let merged = merge(config(), std::slice::from_ref(&ours));
        assert_eq!(foreign_file(&merged, std::slice::from_ref(&ours)), None);
        assert_eq!(foreign_file(&merged, &[]), Some(("openai", "file:/etc/bowline/credentials/a.openai")));
        for place in ["/providers/own", "/environments/prod/providers/own"] {
            let mut stolen = merged.clone();
            stolen.pointer_mut(place).unwrap()["api_key"] = theirs.into();
            assert_eq!(foreign_file(&stolen, std::slice::from_ref(&ours)), Some(("own", theirs)), "{place}");
        }
    }
}
