//! What falls due on a clock that can be moved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// In the order of time, and of what was put down first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    from = "Vec<(i64, Due)>",
    into = "Vec<(i64, Due)>",
    bound = "Due: Clone + Serialize + serde::de::DeserializeOwned"
)]
pub(crate) struct Agenda<Due> {
    due: BTreeMap<(i64, u64), Due>,
    next: u64,
}

impl<Due> Default for Agenda<Due> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), next: 0 }
    }
}

impl<Due> From<Vec<(i64, Due)>> for Agenda<Due> {
    fn from(list: Vec<(i64, Due)>) -> Self {
        let mut agenda = Self::default();
        for (at, due) in list {
            agenda.add(at, due);
        }
        agenda
    }
}

impl<Due> From<Agenda<Due>> for Vec<(i64, Due)> {
    fn from(agenda: Agenda<Due>) -> Self {
        agenda.due.into_iter().map(|((at, _), due)| (at, due)).collect()
    }
}

impl<Due> Agenda<Due> {
    pub(crate) fn add(&mut self, at: i64, due: Due) {
        self.due.insert((at, self.next), due);
        self.next += 1;
    }

    /// The first thing that is due at `now`.
    pub(crate) fn take(&mut self, now: i64) -> Option<(i64, Due)> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), due) = entry.remove_entry();
        Some((at, due))
    }
}
