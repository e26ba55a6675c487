//! Layers of ours in which one thing was made looser, at the place where it stands: so only that differs.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::io::Read;
use windows_image::descriptor::{STRICT_DIRECTORY, STRICT_FILE};
use windows_image::layer;

type Change = fn(Vec<u8>) -> Result<Vec<u8>>;

/// Where things are in both descriptors, which differ in flags alone: a head, owner, group, and a list of SYSTEM, Administrators and Users.
const CONTROL: usize = 2;
const OWNER: usize = 32;
const USERS_MASK: usize = 104;
const USERS: usize = 120;
/// The last number of `S-1-5-32-544` and `S-1-5-32-545`.
const ADMINISTRATORS_ID: u8 = 0x20;
const USERS_ID: u8 = 0x21;
/// In the first byte of the mask: write, append, and delete what is in a folder.
const WRITE: u8 = 0x2;
const APPEND: u8 = 0x4;
const DELETE_CHILD: u8 = 0x40;
/// In its third byte: delete, and change the list.
const DELETE: u8 = 0x1;
const WRITE_DAC: u8 = 0x4;
/// In the first byte of the flags: there is a list.
const DACL_PRESENT: u8 = 0x4;

/// What is changed, how, and what must be said of it.
pub const CASES: [(&str, Change, &str); 9] = [
    ("Users may write", |tar| file(tar, |raw| raw[USERS_MASK] |= WRITE), "Files/app/hello.exe: may write"),
    ("Users may append", |tar| file(tar, |raw| raw[USERS_MASK] |= APPEND), "Files/app/hello.exe: may append"),
    ("Users may delete", |tar| file(tar, |raw| raw[USERS_MASK + 2] |= DELETE), "Files/app/hello.exe: may delete"),
    ("Users may change who may", |tar| file(tar, |raw| raw[USERS_MASK + 2] |= WRITE_DAC), "Files/app/hello.exe: may write-dac"),
    ("Users may delete what is in the folder", |tar| folder(tar, |raw| raw[USERS_MASK] |= DELETE_CHILD), "Files/app: may delete-child"),
    // Wine gives an owner more than Windows' documentation does, which names the right to change the list.
    ("Users own it", |tar| file(tar, |raw| raw[OWNER] = USERS_ID), "Files/app/hello.exe: may delete, write-dac, write-owner"),
    (
        "there is no list",
        |tar| file(tar, |raw| raw[CONTROL] &= !DACL_PRESENT),
        "Files/app/hello.exe: may write, append, write-extended-attributes, delete-child, write-attributes, delete, write-dac, write-owner",
    ),
    // So the token that asks is really none of an administrator.
    ("Administrators alone", |tar| file(tar, |raw| raw[USERS] = ADMINISTRATORS_ID), "Files/app/hello.exe: may not read, execute"),
    ("there is no descriptor", |tar| replaced(tar, "MSWINDOWS.rawsd=", "MSWINDOWS.other="), "Files/app/hello.exe: no descriptor"),
];

/// The layer of a program as it should be.
pub fn strict() -> Result<Vec<u8>> {
    let (mut tar, program) = (Vec::new(), b"MZ");
    layer::tar(&"hello.exe".parse()?, &program[..], program.len() as u64, 0)?.read_to_end(&mut tar)?;
    Ok(tar)
}

fn file(tar: Vec<u8>, change: fn(&mut Vec<u8>)) -> Result<Vec<u8>> {
    changed(tar, STRICT_FILE, change)
}

fn folder(tar: Vec<u8>, change: fn(&mut Vec<u8>)) -> Result<Vec<u8>> {
    changed(tar, STRICT_DIRECTORY, change)
}

fn changed(tar: Vec<u8>, descriptor: &str, change: fn(&mut Vec<u8>)) -> Result<Vec<u8>> {
    let mut raw = BASE64.decode(descriptor)?;
    change(&mut raw);
    replaced(tar, descriptor, &BASE64.encode(raw))
}

/// Replaces the last of these texts by another one of the same length. Records of a tar have no checksum.
fn replaced(mut tar: Vec<u8>, from: &str, to: &str) -> Result<Vec<u8>> {
    ensure!(from != to && from.len() == to.len(), "{to} cannot take the place of {from}");
    let at = memchr::memmem::rfind(&tar, from.as_bytes()).with_context(|| format!("{from} is not in the layer"))?;
    tar[at..at + to.len()].copy_from_slice(to.as_bytes());
    Ok(tar)
}
