//! Which text does a Go string literal stand for? (`strconv.Unquote`: the literals that stand in build info.)

/// The text that a Go string literal at the beginning stands for, and what follows it; none if there is no literal.
pub(super) fn leading(text: &str) -> Option<Result<(String, &str), String>> {
    if let Some(raw) = text.strip_prefix('`') {
        let split = raw.split_once('`').map(|(inside, rest)| (inside.replace('\r', ""), rest));
        return Some(split.ok_or_else(|| "a quote has no end".to_string()));
    }
    text.strip_prefix('"').map(unescape)
}

/// Go's interpreted string literals: `strconv.Unquote`.
fn unescape(mut text: &str) -> Result<(String, &str), String> {
    let mut bytes = Vec::new();
    loop {
        let mut chars = text.chars();
        match chars.next().ok_or("a quote has no end")? {
            '"' => {
                let text = String::from_utf8(bytes).map_err(|_| "a quote is not UTF-8")?;
                return Ok((text, chars.as_str()));
            }
            '\\' => text = escape(chars.as_str(), &mut bytes)?,
            other => {
                bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes());
                text = chars.as_str();
            }
        }
    }
}

/// What follows a backslash.
fn escape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let mut chars = text.chars();
    let kind = chars.next().ok_or("a quote has no end")?;
    let rest = chars.as_str();
    let number = |from: &'a str, digits: usize, radix: u32| -> Result<(u32, &'a str), String> {
        let (digits, rest) = from.split_at_checked(digits).ok_or("an escape ends early")?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = u32::from_str_radix(digits, radix).ok().filter(|_| plain);
        Ok((value.ok_or_else(|| format!("the escape {digits:?}"))?, rest))
    };
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        'x' | '0'..='7' => {
            let (value, rest) = if kind == 'x' { number(rest, 2, 16)? } else { number(text, 3, 8)? };
            bytes.push(u8::try_from(value).map_err(|_| format!("the escape {value:o}"))?);
            return Ok(rest);
        }
        'u' | 'U' => {
            let (value, rest) = number(rest, if kind == 'u' { 4 } else { 8 }, 16)?;
            let character = char::from_u32(value).ok_or_else(|| format!("the escape {value:x}"))?;
            bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(rest);
        }
        other => return Err(format!("the escape {other:?}")),
    };
    bytes.push(simple);
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_go_reads_them() {
        let good = [
            (r#""""#, "", ""),
            (r#""a b"=c"#, "a b", "=c"),
            (r#""-s -w -X \"main.v=1\"" rest"#, r#"-s -w -X "main.v=1""#, " rest"),
            (r#""\a\b\f\n\r\t\v\\\x41\101\u00e4\U0001F600""#, "\x07\x08\x0c\n\r\t\x0b\\AA\u{e4}\u{1F600}", ""),
            (r#""\xc3\xa4""#, "\u{e4}", ""),
            ("`raw \\n \"`x", "raw \\n \"", "x"),
        ];
        for (literal, text, rest) in good {
            assert_eq!(leading(literal), Some(Ok((text.to_string(), rest))), "{literal}");
        }
        for bad in [
            r#"""#,
            r#""\"#,
            r#""\x4"#,
            r#""\xg1""#,
            r#""\x+1""#,
            r#""\400""#,
            r#""\q""#,
            r#""\'""#,
            r#""\ud800""#,
            r#""\xff""#,
            "`a",
            r#""\u00"#,
        ] {
            assert!(matches!(leading(bad), Some(Err(_))), "{bad}");
        }
        assert_eq!(leading("plain"), None);
    }
}
