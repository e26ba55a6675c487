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
use gix::protocol::transport::client::blocking_io::{ExtendedBufRead, HandleProgress};
use gix::protocol::transport::{Protocol, Service};
use gix::protocol::{Command, Handshake, LsRefsCommand};
use std::cell::RefCell;
use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

/// No single object of a repository may need more memory than this.
const OBJECT_LIMIT: usize = 512 << 20;
/// How much of a server's complaint is listened to.
const COMPLAINT_LIMIT: usize = 4096;

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

    /// Downloads what `wants` need into a pack in the folder `into`: only the newest commit of each if `shallow`. The server's
    /// refusal is [`GitError::Answer`], what goes wrong after that is not.
    pub fn fetch(&mut self, wants: &[ObjectId], shallow: bool, into: &Path) -> Result<(), GitError> {
        let Self { door, stop, failure, transport, handshake } = self;
        let refused = |error| explain(door, failure, error);
        let version = handshake.server_protocol_version;
        let mut features = Command::Fetch.default_features(version, &handshake.capabilities);
        features.push(agent());
        Response::check_required_features(version, &features).map_err(refused)?;
        let everything_in_one = features.iter().any(|(name, _)| *name == "sideband-all");
        let mut arguments = Arguments::new(version, features, false);
        if shallow && arguments.can_use_deepen() {
            arguments.deepen(1);
        }
        for want in wants {
            arguments.want(want);
        }
        let mut reader = arguments.send(transport, true).map_err(|error| refused(gix::Error::from_error(error)))?;
        let complaint = Complaint::default();
        if everything_in_one {
            reader.set_progress_handler(Some(complaint.listener(stop)));
        }
        let response = Response::from_line_reader(version, &mut reader, true, false).map_err(refused)?;
        if let Some(text) = refusal(version, &response, &mut reader) {
            return Err(GitError::Answer { url: door.url().to_owned(), detail: remote_text(&text, &door.secrets()) });
        }
        // From here on the answer comes in bands, of which the pack is one; without a listener they would not be told apart.
        reader.set_progress_handler(Some(complaint.listener(stop)));
        write_pack(&mut reader, into, stop).map_err(|error| match (stop.is_stopped(), explain(door, failure, error)) {
            (true, _) => GitError::Stopped { url: door.url().to_owned() },
            (false, GitError::Answer { url, detail }) => {
                let said = remote_text(&complaint.text.borrow(), &door.secrets());
                let detail = if said.is_empty() { detail } else { format!("{detail}; it said: {said}") };
                GitError::ReadPack { url, detail }
            }
            (false, error) => error,
        })
    }

    fn answer(&self, detail: String) -> GitError {
        GitError::Answer { url: self.door.url().to_owned(), detail }
    }
}

/// Why the server sends no pack, where it sends none. Before version 2, gix takes a refusal for the beginning of the pack.
fn refusal<'a>(version: Protocol, response: &Response, reader: &mut dyn ExtendedBufRead<'a>) -> Option<String> {
    if !response.has_pack() {
        return Some("it sent no pack".to_owned());
    }
    if version == Protocol::V2 {
        return None;
    }
    let line = reader.peek_data_line()?.ok()?.ok()?;
    line.strip_prefix(b"ERR ").map(|text| String::from_utf8_lossy(text).into_owned())
}

/// What a server says before it gives up in the middle of a pack.
#[derive(Clone, Debug, Default)]
struct Complaint {
    text: Rc<RefCell<String>>,
}

impl Complaint {
    /// Hears progress and complaints; asks for an end when the work is stopped.
    fn listener(&self, stop: &Stop) -> HandleProgress<'static> {
        let (complaint, stop) = (self.text.clone(), stop.clone());
        Box::new(move |is_error, text| {
            let mut complaint = complaint.borrow_mut();
            if is_error && complaint.len() < COMPLAINT_LIMIT {
                complaint.push_str(&String::from_utf8_lossy(text));
            }
            if stop.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }
}

/// Checks the pack while it comes, to the end of the answer, and writes it with its index: every object is what its id says.
fn write_pack(mut reader: impl BufRead, into: &Path, stop: &Stop) -> gix::Result {
    let options = pack::bundle::write::Options { alloc_limit_bytes: Some(OBJECT_LIMIT), ..Default::default() };
    let no_bases = None::<gix::odb::Handle>;
    pack::Bundle::write_to_directory(&mut reader, Some(into), &mut Discard, stop.flag(), no_bases, gix::hash::Kind::Sha1, options)?;
    io::copy(&mut reader, &mut io::sink()).map_err(gix::Error::from_error)?;
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
        let texts: Vec<String> = error.iter_errors().map(ToString::to_string).collect();
        let (url, detail) = (door.url().to_owned(), remote_text(&texts.join(": "), &door.secrets()));
        match error {
            error if error.is_resource_exhausted() => GitError::TooLarge { url, what: "a file", limit: OBJECT_LIMIT as u64 },
            error if error.iter_errors().any(from_the_disk) => GitError::Prepare { url, detail },
            _ => GitError::Answer { url, detail },
        }
    })
}
