use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The variables of a case, kept as JSON text: a suite of 100,000 cases stays small, and a case is expanded when its turn comes.
#[derive(Clone)]
pub struct Vars {
    /// The texts of several cases, one behind the other: one allocation for each would cost a sixth more.
    texts: Arc<Box<str>>,
    start: u32,
    end: u32,
}

// === impl Vars ===

impl Vars {
    /// Returns variables with their order kept.
    #[must_use]
    pub fn new(vars: &Map<String, Value>) -> Self {
        // `{}` stands for a map that cannot be written, which a map of JSON values always can.
        let text = serde_json::to_string(vars).unwrap_or_else(|_| "{}".to_owned());
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self { texts: Arc::new(text.into()), start: 0, end }
    }

    /// Puts the texts of several cases behind each other, in one allocation.
    pub(crate) fn pack<'a>(several: impl Iterator<Item = &'a mut Self>) {
        let (mut texts, mut packed) = (String::new(), Vec::new());
        for vars in several {
            let start = texts.len();
            texts.push_str(vars.as_json());
            // What would not fit stays where it is.
            if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(texts.len())) {
                packed.push((vars, start, end));
            }
        }
        let texts = Arc::new(texts.into_boxed_str());
        for (vars, start, end) in packed {
            *vars = Self { texts: Arc::clone(&texts), start, end };
        }
    }

    /// Returns names and values in the order of the file.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(self.as_json()).unwrap_or_default()
    }

    /// Returns the JSON object as text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.texts.get(self.range()).unwrap_or("{}")
    }

    fn range(&self) -> Range<usize> {
        let wide = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        wide(self.start)..wide(self.end)
    }
}

impl PartialEq for Vars {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Vars {}

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
        f.write_str(self.as_json())
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

    #[test]
    fn variables_that_share_an_allocation_are_what_they_were() {
        let of = |value: &str| Vars::new(json!({ "ü": value }).as_object().unwrap());
        let before = [of("one"), Vars::default(), of("zwölf"), of("")];
        let mut packed = before.clone();
        Vars::pack(packed.iter_mut().skip(1));
        assert_eq!(packed, before);
        assert!(!Arc::ptr_eq(&packed[0].texts, &packed[1].texts) && Arc::ptr_eq(&packed[1].texts, &packed[3].texts));
        assert_eq!(packed[2].to_map(), *json!({ "ü": "zwölf" }).as_object().unwrap());
    }
}
