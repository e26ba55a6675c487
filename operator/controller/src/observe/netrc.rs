//! Which logins does a netrc file hold, as the go command reads it (`cmd/go/internal/auth`)?

/// The passwords of a netrc file, one for each machine that has a login and a password.
pub(super) fn passwords(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut machine, mut login, mut password) = (false, false, None);
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.is_empty();
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.chunks_exact(2) {
            match pair[0] {
                "machine" => (machine, login, password) = (true, false, None),
                "login" => login = true,
                "password" => password = Some(pair[1]),
                "macdef" => in_macro = true,
                _ => {}
            }
            if let Some(whole) = password.filter(|_| machine && login) {
                found.push(whole);
                (machine, login, password) = (false, false, None);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_read_as_go_reads_them() {
        let table: [(&str, &[&str]); 9] = [
            ("machine a.example login me password one\n", &["one"]),
            ("machine a.example\n  login me\n  password one\nmachine b.example password two login you", &["one", "two"]),
            ("machine a.example:8443 login me account x password one", &["one"]),
            ("macdef init\nmachine a login b password c\n\nmachine a.example login me password one", &["one"]),
            ("default login anonymous password guest", &[]),
            ("machine a.example login me", &[]),
            ("machine a.example password one", &[]),
            ("https://me:one@a.example", &[]),
            ("", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(passwords(text), expected, "{text:?}");
        }
    }
}
