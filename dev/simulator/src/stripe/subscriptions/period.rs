//! When a period ends.

use chrono::{DateTime, Months};

/// The first moment after `start` that lies whole intervals after the anchor. Months are calendar months: what began
/// on the 31st ends on the last day of a shorter month, and on the 31st again after that.
pub(super) fn end(anchor: i64, start: i64, interval: &str, count: i64) -> i64 {
    let count = count.max(1);
    let step = match interval {
        "day" => 86_400 * count,
        "week" => 7 * 86_400 * count,
        "year" => return after_months(anchor, start, 12 * count),
        _ => return after_months(anchor, start, count),
    };
    anchor + ((start - anchor).div_euclid(step) + 1) * step
}

fn after_months(anchor: i64, start: i64, count: i64) -> i64 {
    let begin = DateTime::from_timestamp(anchor, 0).unwrap_or_default();
    (1..)
        .map_while(|n: i64| {
            let months = u32::try_from(n * count).ok()?;
            Some(begin.checked_add_months(Months::new(months))?.timestamp())
        })
        .find(|end| *end > start)
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let anchor = at("2027-01-31T12:00:00Z");
        let first = end(anchor, anchor, "month", 1);
        assert_eq!(first, at("2027-02-28T12:00:00Z"));
        assert_eq!(end(anchor, first, "month", 1), at("2027-03-31T12:00:00Z"));
        let leap = at("2028-02-29T00:00:00Z");
        assert_eq!(end(leap, leap, "year", 1), at("2029-02-28T00:00:00Z"));
        assert_eq!(end(0, 0, "week", 2), 14 * 86_400);
        assert_eq!(end(0, 86_400, "day", 1), 2 * 86_400);
    }
}
