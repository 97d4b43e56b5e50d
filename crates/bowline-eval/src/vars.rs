use serde_json::{Map, Value};

/// The variables of a case, kept as JSON text: a suite of 100,000 cases stays small, and a case is expanded when its turn comes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Vars(Box<str>);

// === impl Vars ===

impl Vars {
    /// Returns variables with their order kept.
    #[must_use]
    pub fn new(vars: &Map<String, Value>) -> Self {
        // `{}` stands for a map that cannot be written, which a map of JSON values always can.
        Self(serde_json::to_string(vars).unwrap_or_else(|_| "{}".to_owned()).into())
    }

    /// Returns names and values in the order of the file.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Returns the JSON object as text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Default for Vars {
    fn default() -> Self {
        Self::new(&Map::new())
    }
}

impl From<Map<String, Value>> for Vars {
    fn from(vars: Map<String, Value>) -> Self {
        Self::new(&vars)
    }
}

impl std::fmt::Debug for Vars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_come_back_as_they_were() {
        let vars = json!({ "z": "text", "a": [1, 2.5, null], "m": { "y": true, "b": "\"" } });
        let map = vars.as_object().unwrap();
        let back = Vars::new(map).to_map();
        assert_eq!(&back, map);
        assert_eq!(back.keys().collect::<Vec<_>>(), ["z", "a", "m"]);
        assert_eq!(Vars::default().to_map(), Map::new());
    }
}
