//! What is said to a git server, in its own protocol?
//!
//! Version 2 is asked for; a server that only knows version 0 or 1 is understood. There is no repository on our side: no
//! configuration is read, no credential helper, hook or other program is run, and no `GIT_*` variable matters.

use super::error::{GitError, remote_text};
use super::exchange::{Exchanges, Failure};
use super::https::{AGENT, Door, Https};
use super::stop::Stop;
use gix::ObjectId;
use gix::odb::pack;
use gix::progress::Discard;
use gix::protocol::fetch::{Arguments, Response};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
use gix::protocol::transport::client::blocking_io::http::Transport;
use gix::protocol::transport::{Protocol, Service};
use gix::protocol::{Command, Handshake, LsRefsCommand};
use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::path::Path;

/// No single object of a repository may need more memory than this.
const OBJECT_LIMIT: usize = 512 << 20;

/// A conversation with one server; it lives on a thread that may block.
pub(super) struct Session {
    door: Door,
    stop: Stop,
    failure: Failure,
    transport: Transport<Exchanges>,
    handshake: Handshake,
}

impl Session {
    /// Says hello. `limit` is that of the bytes in one answer.
    pub fn open(door: Door, stop: Stop, limit: u64) -> Result<Self, GitError> {
        let url = gix::url::parse(door.url()).map_err(|_| GitError::Address { url: door.url().to_owned() })?;
        let failure = Failure::default();
        let http = Exchanges::new(Https::new(door.clone(), stop.clone(), limit), failure.clone());
        let mut transport = Transport::new_http(http, url, Protocol::V2, false);
        // Credentials go out with the first request; there is nothing to ask a person or a helper for.
        let nobody = |_| Ok(None);
        let said = gix::protocol::handshake(&mut transport, Service::UploadPack, nobody, Vec::new(), &mut Discard);
        let handshake = said.map_err(|error| explain(&door, &failure, error))?;
        let session = Self { door, stop, failure, transport, handshake };
        match session.handshake.capabilities.capability("object-format").and_then(|format| format.value().map(ToString::to_string)) {
            Some(format) if format != "sha1" => Err(session.answer(format!("its object ids are {format}, only sha1 is supported"))),
            _ => Ok(session),
        }
    }

    /// The references that begin with one of `prefixes`, annotated tags with what they were made for. Nothing is downloaded.
    pub fn list(&mut self, prefixes: &[String]) -> Result<Vec<Ref>, GitError> {
        if let Some(all) = &self.handshake.refs {
            let wanted = |found: &&Ref| prefixes.iter().any(|prefix| found.unpack().0.starts_with(prefix.as_bytes()));
            return Ok(all.iter().filter(wanted).cloned().collect());
        }
        let mut wanted = RefPrefixes::new();
        wanted.extend(prefixes.iter().map(|prefix| prefix.as_str().into()));
        let command = LsRefsCommand::new(Some(wanted), &self.handshake.capabilities, agent());
        let listed = command.invoke_blocking(&mut self.transport, &mut Discard, false);
        listed.map_err(|error| explain(&self.door, &self.failure, error))
    }

    /// Downloads what `wants` need into a pack in the folder `into`: only the newest commit of each if `shallow`.
    pub fn fetch(&mut self, wants: &[ObjectId], shallow: bool, into: &Path) -> Result<(), GitError> {
        let fetched = self.fetch_pack(wants, shallow, into);
        fetched.map_err(|error| match self.stop.is_stopped() {
            true => GitError::Stopped { url: self.door.url().to_owned() },
            false => explain(&self.door, &self.failure, error),
        })
    }

    fn fetch_pack(&mut self, wants: &[ObjectId], shallow: bool, into: &Path) -> gix::Result {
        let version = self.handshake.server_protocol_version;
        let mut features = Command::Fetch.default_features(version, &self.handshake.capabilities);
        features.push(agent());
        Response::check_required_features(version, &features)?;
        let everything_in_one = features.iter().any(|(name, _)| *name == "sideband-all");
        let mut arguments = Arguments::new(version, features, false);
        if shallow && arguments.can_use_deepen() {
            arguments.deepen(1);
        }
        for want in wants {
            arguments.want(want);
        }
        let mut reader = arguments.send(&mut self.transport, true).map_err(gix::Error::from_error)?;
        let stop = &self.stop;
        let listen = || {
            Box::new(move |_is_error: bool, _text: &[u8]| match stop.is_stopped() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        };
        if everything_in_one {
            reader.set_progress_handler(Some(listen()));
        }
        let response = Response::from_line_reader(version, &mut reader, true, false)?;
        if !response.has_pack() {
            return Err(gix::Error::from_error(io::Error::other("it sent no pack")));
        }
        if !everything_in_one {
            reader.set_progress_handler(Some(listen()));
        }
        write_pack(&mut reader, into, stop)?;
        io::copy(&mut reader, &mut io::sink()).map_err(gix::Error::from_error)?;
        Ok(())
    }

    fn answer(&self, detail: String) -> GitError {
        GitError::Answer { url: self.door.url().to_owned(), detail }
    }
}

/// Checks the pack while it comes and writes it with its index: every object is what its id says.
fn write_pack(mut reader: impl BufRead, into: &Path, stop: &Stop) -> gix::Result {
    let options = pack::bundle::write::Options { alloc_limit_bytes: Some(OBJECT_LIMIT), ..Default::default() };
    let no_bases = None::<gix::odb::Handle>;
    pack::Bundle::write_to_directory(&mut reader, Some(into), &mut Discard, stop.flag(), no_bases, gix::hash::Kind::Sha1, options)?;
    Ok(())
}

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(AGENT.to_owned()))
}

/// What our own requests met, if they met something; else the disk, or an answer that gix did not understand.
fn explain(door: &Door, failure: &Failure, error: gix::Error) -> GitError {
    let from_the_disk =
        |error: &(dyn std::error::Error + 'static)| error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error().is_some());
    failure.borrow_mut().take().unwrap_or_else(|| {
        let (url, detail) = (door.url().to_owned(), remote_text(&format!("{error:#}"), &door.secrets()));
        match error.iter_errors().any(from_the_disk) {
            true => GitError::Prepare { url, detail },
            false => GitError::Answer { url, detail },
        }
    })
}
