//! How does a text of others lose the secrets in it?
//!
//! Whatever a remote server, a compiler or a kubelet says passes through here before it reaches a log, an event or a status.
//! Known values are replaced in every form in which they travel; patterns catch those that nobody told us of. It is the last
//! line of defence, not the first: our own code never puts a secret into a text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use regex::Regex;
use std::sync::LazyLock;

/// What stands in a secret's place.
const MASK: &str = "***";
/// A shorter value would blank out ordinary words.
const SHORTEST_SECRET: usize = 6;
/// A line of a secret with several lines (a key) is masked by itself from this length on.
const SHORTEST_LINE: usize = 16;

/// Patterns with their replacement, in the order in which they are applied.
const PATTERNS: [(&str, &str); 10] = [
    // Private keys; also one of which only the end was kept.
    (r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)", MASK),
    (r"(?:[A-Za-z0-9+/=]+\s+)*-----END [A-Z0-9 ]*PRIVATE KEY-----", MASK),
    // Authorization headers as they are, or as a program prints a map of them.
    (r#"(?i)(authorization["']?\s*[:=]\s*["'\[]*)(?:(?:basic|bearer|digest|negotiate|token)\s+)?[^\s"',;\]]+"#, "${1}***"),
    (r"(?i)\b(bearer)\s+[A-Za-z0-9._~+/=-]{8,}", "${1} ***"),
    // User and password in a URL.
    (r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/@]+@", "${1}***@"),
    // Settings by their name: `token=...` everywhere, `"token": "..."` in JSON, `password: ...` in YAML.
    (
        r#"(?i)([a-z0-9_.-]*(?:token|password|passwd|secret|credential|api[_-]?key|access[_-]?key|private[_-]?key|signature)[a-z0-9_.-]*["']?\s*(?:=|["']\s*:)\s*["']?)[^\s"'&,;]+"#,
        "${1}***",
    ),
    (r"(?i)\b((?:password|passwd|api[_-]?key|access[_-]?key|secret[_-]?key)\s*:\s*)[^\s,;]+", "${1}***"),
    // Tokens that say what they are: AWS, GitHub, GitLab, Slack, Docker Hub, npm, JSON web tokens.
    (r"\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{16}\b", MASK),
    (
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|gl[a-z]{2,5}-[A-Za-z0-9_.-]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}|dckr_pat_[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{20,})",
        MASK,
    ),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", MASK),
];

/// The compiled [`PATTERNS`]; a test proves that each of them compiles.
static COMPILED: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| PATTERNS.iter().filter_map(|(pattern, with)| Regex::new(pattern).ok().map(|regex| (regex, *with))).collect());

/// `text` without escape sequences and control characters, and with `***` for every known secret of at least six characters
/// (as it is, in base64 and URL-encoded), for its parts of as many characters, and for whatever looks like one.
///
/// Cut a text after it was redacted, never before: half a secret is not recognised. Where others have cut it, the end of a
/// known secret at its start is recognised all the same.
pub fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = printable(text);
    let mut forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    for form in &forms {
        if text.contains(form.as_str()) {
            text = text.replace(form.as_str(), MASK);
        }
        if let Some(rest) = without_cut_secret(&text, form) {
            text = format!("{MASK}{rest}");
        }
    }
    for (regex, with) in COMPILED.iter() {
        text = regex.replace_all(&text, *with).into_owned();
    }
    text
}

/// The first `max` bytes at most, cut between characters; an ellipsis says that something is missing.
pub fn head(text: &str, max: usize) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() <= max {
        return text.to_owned();
    }
    let end = floor_boundary(text, max.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end])
}

/// The last `max` bytes at most: whole lines where there is a line break to cut at, else whole characters.
pub fn tail(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut start = text.len() - max;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let kept = &text[start..];
    let begins_a_line = text[..start].ends_with('\n');
    match kept.trim_end_matches('\n').find('\n') {
        Some(line_break) if !begins_a_line => &kept[line_break + 1..],
        _ => kept,
    }
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Drops escape sequences (ECMA-48: CSI, OSC and the two-character ones) and control characters, line break and tab aside;
/// also the invisible characters that turn the direction of writing.
fn printable(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\n' | '\t' => kept.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => kept.push(c),
        }
    }
    kept
}

/// Skips what follows an escape character. A sequence that does not end hides at most its own line.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next_if(|c| *c != '\n') {
        Some('[') => {
            while rest.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
            rest.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
        Some(']') => {
            while rest.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
            if rest.next_if(|c| matches!(c, '\u{7}' | '\u{1b}')) == Some('\u{1b}') {
                rest.next_if_eq(&'\\');
            }
        }
        _ => {}
    }
}

/// The forms in which a secret travels: as it is but for the white space around it, and encoded with and without that.
fn forms(secret: &str) -> Vec<String> {
    let trimmed = secret.trim();
    let lines = trimmed.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with("-----"));
    let literal = std::iter::once(trimmed).chain(lines).chain(parts(trimmed)).map(str::to_owned);
    let encoded = [secret, trimmed].into_iter().flat_map(|value| {
        let base64 = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|engine| engine.encode(value));
        base64.into_iter().chain([percent_encode(value, false), percent_encode(value, true)])
    });
    let mut forms: Vec<String> = if trimmed.len() < SHORTEST_SECRET { Vec::new() } else { literal.chain(encoded).collect() };
    forms.sort();
    forms.dedup();
    forms
}

/// What a program makes of a secret that takes it apart at its punctuation, as a compiler does with what it reads: `glpat-AbCd12` is `glpat`,
/// `-` and `AbCd12` to it.
fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let words = |joins: fn(char) -> bool| secret.split(move |c: char| !joins(c)).filter(|part| part.len() >= SHORTEST_SECRET);
    words(|c| c.is_alphanumeric() || c == '_').chain(words(char::is_alphanumeric))
}

/// RFC 3986: everything but the unreserved characters, with upper-case or lower-case digits.
fn percent_encode(value: &str, lower: bool) -> String {
    value.bytes().fold(String::with_capacity(value.len()), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ if lower => text.push_str(&format!("%{byte:02x}")),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

/// What follows where the text begins with the end of `secret`, as a text does whose beginning was cut off.
fn without_cut_secret<'a>(text: &'a str, secret: &str) -> Option<&'a str> {
    secret
        .char_indices()
        .map(|(at, _)| &secret[at..])
        .skip(1)
        .take_while(|end| end.len() >= SHORTEST_SECRET)
        .find_map(|end| text.strip_prefix(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(COMPILED.len(), PATTERNS.len());
    }

    #[test]
    fn known_secrets_go_in_every_form() {
        let secret = "p@ss wörd/1";
        let forms = [
            secret.to_owned(),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            "p%40ss%20w%C3%B6rd%2F1".to_owned(),
            "p%40ss%20w%c3%b6rd%2f1".to_owned(),
        ];
        for form in forms {
            assert_eq!(redact(&format!("it said {form}."), &[secret]), "it said ***.", "{form}");
        }
        assert_eq!(redact("red fox", &["red"]), "red fox", "too short to be told from a word");
        assert_eq!(redact("hunter2222 ", &["hunter2222\n"]), "*** ", "a line break at the end of a Secret's value is not part of it");
        assert_eq!(redact("ter2222 was refused", &["hunter2222"]), "*** was refused", "its beginning was cut off");
    }

    /// Go's assembler, of a token in a macro: `asm: leak_amd64.s:7: unexpected AbCdEfGhIj0123456789 evaluating expression`.
    #[test]
    fn parts_of_a_known_secret_go() {
        for (secret, said, shown) in [
            ("glpat-AbCdEfGhIj0123456789", "unexpected AbCdEfGhIj0123456789 evaluating", "unexpected *** evaluating"),
            ("glpat-AbCdEfGhIj0123456789", "undefined: AbCdEfGhIj0123456789<>(SB)", "undefined: ***<>(SB)"),
            ("user_token.Zyxwvu987", "expected ';', found user_token", "expected ';', found ***"),
            ("one_two34567.rest", "found two34567 twice: two34567", "found *** twice: ***"),
            ("red-fox-hunter2222", "a red fox", "a red fox"),
        ] {
            assert_eq!(redact(said, &[secret]), shown, "{secret}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_goes() {
        let table = [
            ("Authorization: Basic Z2l0OnBhc3M=", "Authorization: ***"),
            ("map[Authorization:[Bearer abc.def]]", "map[Authorization:[***]]"),
            ("{\"authorization\": \"token abcdef\"}", "{\"authorization\": \"***\"}"),
            ("sent Bearer abcdefgh12345", "sent Bearer ***"),
            ("clone https://git:hunter2@example.com/a.git", "clone https://***@example.com/a.git"),
            ("clone https://ghp_x@example.com/a.git", "clone https://***@example.com/a.git"),
            ("GET /x?private_token=abc123&page=2", "GET /x?private_token=***&page=2"),
            ("password=hunter2", "password=***"),
            ("DB_PASSWORD='hunter2'", "DB_PASSWORD='***'"),
            ("{\"accessToken\":\"abc\"}", "{\"accessToken\":\"***\"}"),
            ("password: hunter2", "password: ***"),
            ("AKIAIOSFODNN7EXAMPLE was used", "*** was used"),
            ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = ***"),
            ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "***"),
            ("github_pat_11ABCDEFG0abcdefghijkl_mnop", "***"),
            ("glpat-abcdefghij0123456789", "***"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "***"),
            ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY----- b", "a *** b"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "***"),
            ("QUJD\nREVG==\n-----END PRIVATE KEY-----\nrest", "***\nrest"),
        ];
        for (text, expected) in table {
            assert_eq!(redact(text, &[]), expected);
        }
    }

    #[test]
    fn ordinary_texts_stay() {
        let table = [
            "main.go:3:1: syntax error: unexpected token: expected declaration",
            "invalid token: not found in https://example.com:8443/shop/storefront.git",
            "secret \"git-credentials\" not found",
            "Basic authentication failed",
            "go: module lookup disabled by GOFLAGS=-mod=vendor\n\tmain.go:7",
            "3f786850e387550fdaab836ed7e6dc881de23001",
        ];
        for text in table {
            assert_eq!(redact(text, &["hunter2222"]), text);
        }
    }

    #[test]
    fn escapes_and_control_characters_go() {
        let table = [
            ("\u{1b}[31;1merror\u{1b}[0m: x\r\n\ty", "error: x\n\ty"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;https://x\u{1b}\\b", "ab"),
            ("\u{1b}]never ends\nnext", "\nnext"),
            ("a\u{0}b\u{8}c\u{202e}d\u{1b}", "abcd"),
            ("tok\u{1b}[0men=abc", "token=***"),
        ];
        for (text, expected) in table {
            assert_eq!(redact(text, &[]), expected);
        }
    }

    #[test]
    fn tails_begin_with_a_whole_line_or_character() {
        let table = [
            ("short", 10, "short"),
            ("one\ntwo\nthree", 9, "two\nthree"),
            ("one\ntwo\nthree", 8, "three"),
            ("one\ntwo\n", 6, "two\n"),
            ("aö", 2, "ö"),
            ("aaaö", 1, ""),
            ("abcdef\n", 3, "ef\n"),
        ];
        for (text, max, expected) in table {
            assert_eq!(tail(text, max), expected, "{text:?} cut to {max}");
        }
    }

    #[test]
    fn heads_end_with_a_whole_character() {
        assert_eq!(head("short", 5), "short");
        assert_eq!(head("abcdefgh", 6), "abc...");
        assert_eq!(head("aöööö", 5), "a...");
        assert_eq!(head("öööö", 2), "...");
    }
}
