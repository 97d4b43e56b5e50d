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

/// Puts the texts of several cases behind each other, in one allocation.
pub(crate) struct Packer {
    texts: String,
    /// Stands in the place of the texts until they are sealed.
    nothing: Arc<Box<str>>,
}

// === impl Packer ===

impl Packer {
    pub(crate) fn new() -> Self {
        Self { texts: String::new(), nothing: Arc::default() }
    }

    /// Adds variables, and a text that stands [behind](Vars::behind) them; returns how long that is. What comes back reads as none until
    /// [`Packer::seal`] has seen it.
    pub(crate) fn add(&mut self, vars: &Map<String, Value>, behind: &str) -> (Vars, u32) {
        let alone = Vars::with_behind(vars, behind);
        let length = u32::try_from(behind.len()).unwrap_or(u32::MAX);
        let start = self.texts.len();
        let (Ok(offset), Ok(_)) = (u32::try_from(start), u32::try_from(start + alone.texts.len())) else {
            // What would not fit stands alone.
            return (alone, length);
        };
        self.texts.push_str(&alone.texts);
        (Vars { texts: Arc::clone(&self.nothing), start: offset, end: offset + alone.end }, length)
    }

    /// Returns how many bytes were added since the last seal.
    pub(crate) const fn len(&self) -> usize {
        self.texts.len()
    }

    /// Gives the variables that were added since the last seal their texts.
    pub(crate) fn seal<'a>(&mut self, added: impl Iterator<Item = &'a mut Vars>) {
        let texts = Arc::new(Box::from(self.texts.as_str()));
        for vars in added.filter(|vars| Arc::ptr_eq(&vars.texts, &self.nothing)) {
            vars.texts = Arc::clone(&texts);
        }
        self.texts.clear();
    }
}

// === impl Vars ===

impl Vars {
    /// Returns variables with their order kept.
    #[must_use]
    pub fn new(vars: &Map<String, Value>) -> Self {
        Self::with_behind(vars, "")
    }

    fn with_behind(vars: &Map<String, Value>, behind: &str) -> Self {
        // `{}` stands for a map that cannot be written, which a map of JSON values always can.
        let mut text = serde_json::to_string(vars).unwrap_or_else(|_| "{}".to_owned());
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        text.push_str(behind);
        Self { texts: Arc::new(text.into()), start: 0, end }
    }

    /// Returns the text of so many bytes that was put behind the variables.
    pub(crate) fn behind(&self, bytes: u32) -> &str {
        self.texts.get(wide(self.end)..wide(self.end.saturating_add(bytes))).unwrap_or_default()
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
        wide(self.start)..wide(self.end)
    }
}

fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
        let mut packer = Packer::new();
        let mut packed = Vec::new();
        for several in before.chunks(3) {
            let first = packed.len();
            packed.extend(several.iter().map(|vars| packer.add(&vars.to_map(), "[…]").0));
            packer.seal(packed.iter_mut().skip(first));
            assert_eq!(packer.len(), 0);
        }
        assert_eq!(packed, before);
        assert!(packed.iter().all(|vars| vars.behind(5) == "[…]" && vars.behind(0).is_empty()));
        assert!(Arc::ptr_eq(&packed[0].texts, &packed[2].texts) && !Arc::ptr_eq(&packed[2].texts, &packed[3].texts));
        assert_eq!(packed[2].to_map(), *json!({ "ü": "zwölf" }).as_object().unwrap());
    }
}
