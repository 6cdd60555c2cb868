//! Durations as Go writes them: `168h`, `1m30s`, `500ms`, `1.5h`, `0`.

use std::time::Duration;

/// Units, longest suffix first where one is the end of another.
const UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a duration that is not negative; `None` when it is none.
///
/// A bare number is refused, save for `0`: distribution reads `30` as 30
/// nanoseconds, which nobody means.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = leading(rest, |c| c.is_ascii_digit() || c == '.');
        rest = &rest[number.len()..];
        let unit = leading(rest, |c| !c.is_ascii_digit() && c != '.');
        rest = &rest[unit.len()..];
        let &(_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, nanos)?)?;
    }
    // Go's limit, about 292 years; it also keeps clock sums from overflowing.
    let nanos = u64::try_from(total)
        .ok()
        .filter(|&n| n <= i64::MAX as u64)?;
    Some(Duration::from_nanos(nanos))
}

/// The longest start of `text` whose characters all pass.
fn leading(text: &str, pass: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !pass(c)).unwrap_or(text.len());
    &text[..end]
}

/// `number` (digits with at most one point) times `unit`, rounded down.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0),
        text => text.parse::<u128>().ok(),
    };
    let mut nanos = digits(whole)?.checked_mul(unit)?;
    // Digits past the 18th are below a nanosecond in any unit.
    nanos += digits(&format!("{fraction:0<18.18}"))? * unit / 10_u128.pow(18);
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_parse() {
        for (text, expected) in [
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("10s", Duration::from_secs(10)),
            ("+10s", Duration::from_secs(10)),
            ("500ms", Duration::from_millis(500)),
            ("1m30s", Duration::from_secs(90)),
            ("168h", Duration::from_secs(168 * 3600)),
            ("1.5h", Duration::from_secs(5400)),
            (".5s", Duration::from_millis(500)),
            ("1.s", Duration::from_secs(1)),
            ("3µs", Duration::from_micros(3)),
            ("7ns", Duration::from_nanos(7)),
            (
                "0.3333333333333333333333333h",
                Duration::from_nanos(1_199_999_999_999),
            ),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "",
            "+",
            "30",
            "-5s",
            "s",
            ".s",
            "1..2s",
            "1.2.3s",
            "5 s",
            "5d",
            "1h30",
            "soon",
            "9999999999h",
            "99999999999999999999999999999999999999999999h",
            "1S",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
