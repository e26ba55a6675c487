//! Which logins does a netrc file hold, as the go command reads it (`cmd/go/internal/auth`)?

/// The logins of a netrc file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Netrc<'a> {
    /// The passwords, one for each machine that has a login and a password.
    pub(super) passwords: Vec<&'a str>,
    /// Those of an entry for every other machine, which the go command passes over and git does not.
    pub(super) of_all: Vec<&'a str>,
    /// There is such an entry.
    pub(super) has_default: bool,
}

/// Reads a netrc file.
pub(super) fn read(text: &str) -> Netrc<'_> {
    let mut netrc = Netrc::default();
    let (mut machine, mut login, mut password) = (false, false, None);
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.is_empty();
            continue;
        }
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            // As curl has it, which git uses: in any letters, and a word that it does not know takes no value.
            if word.eq_ignore_ascii_case("default") {
                (netrc.has_default, machine, login, password) = (true, false, false, None);
                continue;
            }
            let keyword = word.to_ascii_lowercase();
            if !["machine", "login", "password", "account", "macdef"].contains(&keyword.as_str()) {
                continue;
            }
            let Some(value) = words.next() else { break };
            match keyword.as_str() {
                "machine" => (machine, login, password) = (true, false, None),
                "login" => login = true,
                "password" if netrc.has_default && !machine => netrc.of_all.push(value),
                "password" => password = Some(value),
                "macdef" => in_macro = true,
                _ => {}
            }
            if let Some(whole) = password.filter(|_| machine && login) {
                netrc.passwords.push(whole);
                (machine, login, password) = (false, false, None);
            }
        }
    }
    netrc
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
            assert_eq!(read(text).passwords, expected, "{text:?}");
        }
    }

    #[test]
    fn an_entry_for_every_machine_is_seen_wherever_it_stands() {
        for text in [
            "default login anonymous password guest",
            "default\nlogin anonymous\npassword guest",
            "machine a.example login me password one\n  default login anonymous password guest\n",
            "machine a.example login me password one default login anonymous password guest",
            "Default login anonymous password guest",
            "port default login anonymous password guest",
        ] {
            let netrc = read(text);
            assert_eq!((netrc.has_default, netrc.of_all), (true, vec!["guest"]), "{text:?}");
        }
        for text in ["machine default.example login me password one", "macdef default\ndefault login x password y\n\n"] {
            assert!(!read(text).has_default, "{text:?}");
        }
    }
}
