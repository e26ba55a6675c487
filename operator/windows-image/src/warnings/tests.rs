//! Which facts give which warnings on which base.

use super::*;
use crate::pclntab::tests::table;
use crate::pe_file::tests::{READ_ONLY, program};
use std::io::Cursor;

fn apis() -> WindowsApis {
    WindowsApis::shipped().clone()
}

fn nano() -> BTreeSet<Flavor> {
    BTreeSet::from([Flavor::NanoServer])
}

fn learned(functions: &[&str], flavors: &BTreeSet<Flavor>) -> Learned {
    let bytes = program(&[(".rdata", READ_ONLY, 0x2000, &table(functions))], &[]);
    Learned::read(Cursor::new(bytes), &apis(), flavors).expect("a program")
}

fn codes(functions: &[&str], flavors: &BTreeSet<Flavor>) -> Vec<String> {
    learned(functions, flavors).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn functions_lead_to_warnings_that_name_package_and_api() {
    let lookups = ["main.main", "syscall.NetUserGetInfo", "syscall.NetGetJoinInformation"];
    assert_eq!(codes(&lookups, &nano()), ["AbsentApi|netapi32.dll|os/user"]);
    let com = ["github.com/go-ole/go-ole.CoInitialize", "github.com/yusufpapurcu/wmi.Query", "runtime/cgo.init.0"];
    let expected = ["AbsentApi|COM and WMI|github.com/go-ole/go-ole", "AbsentApi|COM and WMI|github.com/yusufpapurcu/wmi", "Cgo"];
    assert_eq!(codes(&com, &nano()), expected);
    assert_eq!(codes(&["main.main", "os/user.Current"], &nano()), [""; 0]);
}

#[test]
fn what_nano_server_lacks_is_no_matter_elsewhere() {
    let functions = ["syscall.NetUserGetInfo", "net/http.(*Transport).RoundTrip"];
    assert_eq!(codes(&functions, &BTreeSet::from([Flavor::ServerCore])), ["TlsRoots"]);
    assert_eq!(codes(&functions, &BTreeSet::new()), ["TlsRoots"], "a base whose flavor is not known");
    assert_eq!(codes(&functions, &BTreeSet::from([Flavor::NanoServer, Flavor::ServerCore])).len(), 2, "the worst of several");
}

#[test]
fn a_program_that_cannot_be_read_is_a_warning_and_no_failure() {
    for bytes in [&crate::pe::tests::program()[..], b"MZ", b""] {
        let found = Learned::read(Cursor::new(bytes), &apis(), &nano()).expect("no failure");
        assert_eq!(found, Learned { warnings: vec![Warning::Unread], fallback_roots: false });
    }
}

#[test]
fn imported_dlls_are_looked_up_too() {
    let bytes = crate::imports::tests::importing(&["KERNEL32.dll", "USER32.dll"], &["winmm.dll"]);
    let found = Learned::read(Cursor::new(bytes), &apis(), &nano()).expect("a program").warnings;
    let dll = |name: &str| Warning::AbsentImport { dll: name.into() };
    assert_eq!(found, [dll("user32.dll"), dll("winmm.dll"), Warning::Unread]);
}

#[test]
fn roots_that_are_linked_are_switched_on_instead_of_missed() {
    let client = "net/http.(*Transport).RoundTrip";
    assert_eq!((learned(&[client], &nano()).fallback_roots, codes(&[client], &nano())), (false, vec!["TlsRoots".to_string()]));
    let both = learned(&[client, "golang.org/x/crypto/x509roots/fallback.init.0"], &nano());
    assert_eq!((both.fallback_roots, both.warnings), (true, vec![]));
}

#[test]
fn an_own_value_stays_and_other_settings_are_kept() {
    let merged = |items: &[&str]| {
        let mut environment: Vec<String> = items.iter().map(ToString::to_string).collect();
        use_fallback_roots(&mut environment);
        environment
    };
    assert_eq!(merged(&["A=1"]), ["A=1", "GODEBUG=x509usefallbackroots=1"]);
    assert_eq!(merged(&["GoDebug=", "A=1"]), ["GoDebug=x509usefallbackroots=1", "A=1"]);
    assert_eq!(merged(&["GODEBUG=http2client=0"]), ["GODEBUG=http2client=0,x509usefallbackroots=1"]);
    assert_eq!(merged(&["GODEBUG=x509usefallbackroots=0"]), ["GODEBUG=x509usefallbackroots=0"]);
    assert_eq!(merged(&["GODEBUG=a=1, x509usefallbackroots=0"]), ["GODEBUG=a=1, x509usefallbackroots=0"]);
}

#[test]
fn codes_are_read_back_and_texts_name_the_remedy() {
    let all = [
        (Warning::AbsentApi { api: "netapi32.dll".into(), package: "os/user".into() }, "ServerCore"),
        (Warning::AbsentImport { dll: "winmm.dll".into() }, "image.files"),
        (
            Warning::AbsentFileImport { file: r"C:\app\lib\odbc.dll".into(), dll: "user32.dll".into() },
            r"C:\app\lib\odbc.dll imports user32.dll",
        ),
        (Warning::Cgo, "C compiler"),
        (Warning::TlsRoots, "import _ \"golang.org/x/crypto/x509roots/fallback\""),
        (Warning::Unread, "newer"),
    ];
    for (warning, says) in all {
        assert_eq!(warning.to_string().parse(), Ok(warning.clone()));
        assert!(warning.text(&apis()).contains(says), "{}", warning.text(&apis()));
    }
    assert!("Nonsense".parse::<Warning>().is_err());
}

#[test]
fn names_of_strangers_stay_short_and_on_one_line() {
    let code = format!("AbsentApi|a\nb|{}", "x".repeat(5000));
    let Ok(Warning::AbsentApi { api, package }) = code.parse() else { panic!("a warning") };
    assert_eq!((api.as_str(), package.len()), ("ab", LONGEST_PART));
}
