//! Lists: newest first, a page at a time.

/// Declares a page of a resource.
macro_rules! page {
    ($(#[$doc:meta])* $name:ident of $item:ty, cursor $cursor:ty) => {
        $(#[$doc])*
        #[derive(Debug, poem_openapi::Object)]
        pub struct $name {
            pub data: Vec<$item>,
            /// Whether older ones follow.
            pub has_more: bool,
            /// Send this as `starting_after` for the next page; null on the last.
            pub next_cursor: Option<$cursor>,
        }

        impl $name {
            /// `found` has one more than `limit` where there are more.
            pub(crate) fn of<D: Into<$item>>(found: Vec<D>, limit: u32) -> Self {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let has_more = found.len() > limit;
                let data: Vec<$item> = found.into_iter().take(limit).map(Into::into).collect();
                let next_cursor = if has_more { data.last().map(|item| item.id) } else { None };
                Self { data, has_more, next_cursor }
            }
        }
    };
}
pub(crate) use page;

pub(crate) fn default_limit() -> u32 {
    20
}

/// How many to read for a page of `limit`: one more tells whether there are more.
pub(crate) fn fetched(limit: u32) -> u64 {
    u64::from(limit).saturating_add(1)
}
