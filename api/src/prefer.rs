//! `Prefer: wait=N` (RFC 7240): hold the answer until there is one, N seconds at most.

use std::time::Duration;

/// The longest that a request is held.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// The wait that a `Prefer` header asks for, cut to [`WAIT_MAX`]. What cannot be read is ignored, as the RFC wants.
#[must_use]
pub fn wait(header: Option<&str>) -> Option<Duration> {
    header?
        .split([',', ';'])
        .filter_map(|preference| preference.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_found_and_bounded() {
        let seconds = |text| wait(Some(text)).map(|wait| wait.as_secs());
        assert_eq!(seconds("wait=10"), Some(10));
        assert_eq!(seconds("respond-async, Wait = 5"), Some(5));
        assert_eq!(seconds("wait=100000"), Some(60));
        assert_eq!(seconds("wait=0"), Some(0));
        for ignored in ["", "wait", "wait=", "wait=-1", "wait=soon", "waiting=5"] {
            assert_eq!(seconds(ignored), None, "{ignored}");
        }
        assert_eq!(wait(None), None);
    }
}
