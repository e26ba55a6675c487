//! What do sizes of the specification mean in bytes, and how are bytes written?

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

/// The bytes of any quantity that Kubernetes takes for memory: `4Gi`, `1.5G`, `2e9`, `128974848000m`. Rounded up.
pub fn quantity(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("m", 0.001),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("E", 1e18),
    ];
    let with_unit = UNITS.iter().find_map(|(unit, times)| Some((text.strip_suffix(unit)?, *times)));
    let (number, times) = with_unit.unwrap_or((text, 1.0));
    let is_number = number.starts_with(|c: char| c.is_ascii_digit() || c == '.') && !number.ends_with(['e', 'E']);
    let bytes = number.parse::<f64>().ok().filter(|_| is_number)? * times;
    (bytes.is_finite() && bytes < u64::MAX as f64).then(|| bytes.ceil() as u64)
}

/// Bytes as a quantity, in the largest unit that loses none: `8Gi`, `1536Mi`, `4097`.
pub fn text(bytes: u64) -> String {
    let units = [("Gi", 1_u64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    let fitting = units.iter().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    fitting.map_or_else(|| bytes.to_string(), |(unit, size)| format!("{}{unit}", bytes / size))
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

    #[test]
    fn quantities_are_read_as_kubernetes_does_and_written_back() {
        let table = [
            ("4Gi", 4 << 30),
            ("1.5G", 1_500_000_000),
            ("2e9", 2_000_000_000),
            ("1500m", 2),
            ("256Mi", 256 << 20),
            ("0", 0),
            ("1Ti", 1 << 40),
        ];
        for (quantity_, bytes) in table {
            assert_eq!(quantity(quantity_), Some(bytes), "{quantity_}");
        }
        for wrong in ["", "Gi", "-1Gi", "4GB", "inf", "NaN", "1e", "4 Gi", "1e400"] {
            assert_eq!(quantity(wrong), None, "{wrong}");
        }
        assert_eq!([8 << 30, 1536 << 20, 4097, 0].map(text), ["8Gi", "1536Mi", "4097", "0"]);
    }
}
