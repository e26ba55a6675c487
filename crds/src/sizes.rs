//! What do sizes of the specification mean in bytes?

/// The bytes of a size such as `12Mi`, `500k` or `4096` ([`crate::patterns::BYTES`]).
pub fn bytes(size: &str) -> Option<u64> {
    let digits = size.len() - size.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = size.split_at(digits);
    let unit = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_kubernetes_quantities() {
        for (size, expected) in [("4096", Some(4096)), ("500k", Some(500_000)), ("12Mi", Some(12 << 20)), ("1G", Some(1_000_000_000))] {
            assert_eq!(bytes(size), expected, "{size}");
        }
        for size in ["", "Mi", "-1", "1.5Mi", "1 Mi", "1MB", "99999999999999999999", "99999999999Gi"] {
            assert_eq!(bytes(size), None, "{size}");
        }
    }
}
