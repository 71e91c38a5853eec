//! quantity: values of Kubernetes quantities, to compare what is written differently (`1` and `1000m`).

/// Value in billionths, exact for everything that Kubernetes keeps exactly. `None` where it is no quantity.
///
/// The suffixes are those of `k8s.io/apimachinery/pkg/api/resource`.
#[must_use]
pub fn nanos(quantity: &str) -> Option<i128> {
    let number_end =
        quantity.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(number_end);
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let units = i128::from(parse(whole)?) * scale + i128::from(parse(fraction)?);
    let value = units.checked_mul(multiplier_nanos(suffix)?)? / scale;
    Some(if negative { -value } else { value })
}

/// Whole GiB of a quantity such as `20Gi` or `1Ti`. `None` where it is none or has a remainder.
#[must_use]
pub fn gib(quantity: &str) -> Option<i64> {
    let one = multiplier_nanos("Gi")?;
    let nanos = nanos(quantity)?;
    (nanos >= 0 && nanos % one == 0).then_some(nanos / one).and_then(|gib| i64::try_from(gib).ok())
}

/// What a suffix multiplies by, in billionths.
fn multiplier_nanos(suffix: &str) -> Option<i128> {
    const UNIT: i128 = 1_000_000_000;
    let exponent = |digits: &str| match digits.parse::<i32>().ok()? {
        exponent @ 0..=18 => Some(UNIT * 10_i128.pow(exponent.unsigned_abs())),
        exponent @ -9..=-1 => Some(UNIT / 10_i128.pow(exponent.unsigned_abs())),
        _ => None,
    };
    Some(match suffix {
        "" => UNIT,
        "n" => 1,
        "u" => UNIT / 1_000_000,
        "m" => UNIT / 1000,
        "k" => UNIT * 1000,
        "M" => UNIT * 1_000_000,
        "G" => UNIT * 1_000_000_000,
        "T" => UNIT * 1_000_000_000_000,
        "P" => UNIT * 1_000_000_000_000_000,
        "E" => UNIT * 1_000_000_000_000_000_000,
        "Ki" => UNIT << 10,
        "Mi" => UNIT << 20,
        "Gi" => UNIT << 30,
        "Ti" => UNIT << 40,
        "Pi" => UNIT << 50,
        "Ei" => UNIT << 60,
        other => return exponent(other.strip_prefix(['e', 'E'])?),
    })
}

#[cfg(test)]
mod tests {
    use super::nanos;
    use rstest::rstest;

    #[rstest]
    #[case("1", "1000m")]
    #[case("0.5", "500m")]
    #[case("1Gi", "1024Mi")]
    #[case("1.5Gi", "1536Mi")]
    #[case("1e3", "1k")]
    #[case("1E", "1000P")]
    #[case("100e-3", "100m")]
    #[case("+2", "2")]
    fn one_value_may_be_written_in_several_ways(#[case] one: &str, #[case] other: &str) {
        assert!(nanos(one).is_some());
        assert_eq!(nanos(one), nanos(other));
    }

    #[rstest]
    #[case("")]
    #[case("Gi")]
    #[case("1GB")]
    #[case("1.2.3")]
    #[case("1-2")]
    #[case("ten")]
    fn what_is_no_quantity_has_no_value(#[case] text: &str) {
        assert_eq!(nanos(text), None);
    }

    #[test]
    fn quantities_are_ordered_by_value() {
        assert!(nanos("900Mi") < nanos("1Gi"));
        assert!(nanos("1G") < nanos("1Gi"));
        assert!(nanos("-1") < nanos("0"));
    }
}
