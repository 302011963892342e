//! Forms by Stripe's bracketed names.

use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub(super) fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    #[must_use]
    pub(super) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// `name[key]` for each pair.
    #[must_use]
    pub(super) fn with_map(mut self, name: &str, map: &BTreeMap<String, String>) -> Self {
        self.0.extend(map.iter().map(|(key, value)| (format!("{name}[{key}]"), value.clone())));
        self
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}
