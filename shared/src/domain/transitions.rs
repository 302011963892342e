//! How a status may move: a table for each resource, and what a piece of news means by it.

/// A status with its table of transitions. The table is the rule and its documentation; ARCHITECTURE.md shows it.
pub trait Transitions: Copy + Eq + Sized + 'static {
    /// Each status with those that may follow it directly. A status that nothing follows is final.
    const TABLE: &'static [(Self, &'static [Self])];

    /// What may follow this status.
    #[must_use]
    fn followers(self) -> &'static [Self] {
        Self::TABLE.iter().find(|(from, _)| *from == self).map_or(&[], |(_, to)| to)
    }

    #[must_use]
    fn is_final(self) -> bool {
        self.followers().is_empty()
    }
}

/// What it means to hear that something is `to` when we have it as `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// Nothing new in the status; other fields may have changed.
    Same,
    Forward,
    /// Old news: it was so once.
    Stale,
    /// Both are final, and they differ: a person must look.
    Contradiction,
}

#[must_use]
pub fn movement<S: Transitions>(from: S, to: S) -> Movement {
    if from == to {
        Movement::Same
    } else if from.followers().contains(&to) {
        Movement::Forward
    } else if from.is_final() && to.is_final() {
        Movement::Contradiction
    } else {
        Movement::Stale
    }
}
