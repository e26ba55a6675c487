//! How do our requests look to gix?
//!
//! gix knows git's protocol and leaves HTTP to an implementation of [`Http`]. Its own one would follow a redirect to any host,
//! take no private authority from its options, have neither a deadline nor a limit, and bury the status code; so [`Https`]
//! stands in. This module is only the form that gix wants: an answer is two readers, and a POST goes out when its body has been
//! written and its answer is first looked at. The first failure is kept aside, because in gix's errors it could not be told
//! from the others.

use super::error::GitError;
use super::https::{Https, Reply};
use gix::protocol::transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method, Request};
use std::any::Any;
use std::cell::RefCell;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::rc::Rc;

/// Where the first failure of a session is kept.
pub(super) type Failure = Rc<RefCell<Option<GitError>>>;

/// HTTP for gix.
pub(super) struct Exchanges {
    https: Rc<Https>,
    failure: Failure,
    /// Where the repository is, after a redirect within its host.
    moved_to: Option<String>,
}

impl Exchanges {
    pub fn new(https: Https, failure: Failure) -> Self {
        Self { https: Rc::new(https), failure, moved_to: None }
    }

    /// Puts what a redirect has found in place of the address that gix was given.
    fn moved(&self, url: &str, base_url: &str) -> String {
        match (&self.moved_to, url.strip_prefix(base_url)) {
            (Some(moved_to), Some(tail)) if !url.starts_with(moved_to.as_str()) => format!("{moved_to}{tail}"),
            _ => url.to_owned(),
        }
    }

    fn exchange(&self, state: State) -> Exchange {
        Exchange { https: self.https.clone(), failure: self.failure.clone(), state: Rc::new(RefCell::new(state)) }
    }
}

impl Http for Exchanges {
    type Headers = Headers;
    type ResponseBody = ResponseBody;
    type PostBody = Exchange;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Self::Headers, Self::ResponseBody>> {
        let tail = url.strip_prefix(base_url).unwrap_or(url);
        let answered =
            self.https.request(Method::GET, &self.moved(url, base_url), headers).and_then(|request| self.https.get(request, tail));
        let (reply, moved_to) = answered.map_err(|error| gix::Error::from_error(keep(&self.failure, error)))?;
        self.moved_to = moved_to.or(self.moved_to.take());
        Ok(self.exchange(State::Answered(reply)).into_post().into())
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _kind: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let request = self.https.request(Method::POST, &self.moved(url, base_url), headers);
        let request = request.map_err(|error| gix::Error::from_error(keep(&self.failure, error)))?;
        Ok(self.exchange(State::Unsent(Box::new(request), Vec::new())).into_post())
    }

    fn configure(&mut self, _config: &dyn Any) -> gix::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.moved_to.clone()
    }
}

/// Keeps the first failure and gives gix something in its place.
fn keep(failure: &Failure, error: GitError) -> io::Error {
    let text = error.to_string();
    failure.borrow_mut().get_or_insert(error);
    io::Error::other(text)
}

/// A request and its answer. As a writer, it takes the request's body.
#[derive(Clone)]
pub(super) struct Exchange {
    https: Rc<Https>,
    failure: Failure,
    state: Rc<RefCell<State>>,
}

enum State {
    /// The request and as much of its body as was written; such bodies are lists of ids, and short.
    Unsent(Box<Request>, Vec<u8>),
    Answered(Reply),
    Failed,
}

impl Exchange {
    fn into_post(self) -> PostResponse<Headers, ResponseBody, Self> {
        PostResponse {
            headers: Headers { exchange: self.clone(), lines: None },
            body: ResponseBody { exchange: self.clone(), chunk: Cursor::default() },
            post_body: self,
        }
    }

    /// Lets `look` see the answer; the request goes out before, if it has not.
    fn answered<T>(&self, look: impl FnOnce(&Https, &mut Reply) -> Result<T, GitError>) -> io::Result<T> {
        let mut state = self.state.borrow_mut();
        let seen = match std::mem::replace(&mut *state, State::Failed) {
            State::Unsent(mut request, body) => {
                *request.body_mut() = Some(Body::from(body));
                self.https.send(*request)
            }
            State::Answered(reply) => Ok(reply),
            State::Failed => return Err(io::Error::other("the request has failed already")),
        };
        let done = seen.and_then(|mut reply| {
            let done = look(&self.https, &mut reply)?;
            *state = State::Answered(reply);
            Ok(done)
        });
        done.map_err(|error| keep(&self.failure, error))
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.state.borrow_mut() {
            State::Unsent(_, body) => body.write(bytes),
            State::Answered(_) | State::Failed => Err(io::Error::other("the request has been sent already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The header of the answer that gix looks at, as a line.
pub(super) struct Headers {
    exchange: Exchange,
    lines: Option<Cursor<Vec<u8>>>,
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.lines.is_none() {
            let line = self.exchange.answered(|_, reply| Ok(format!("content-type: {}\n", reply.header(CONTENT_TYPE))))?;
            self.lines = Some(Cursor::new(line.into_bytes()));
        }
        self.lines.as_mut().map_or(Ok(&[]), Cursor::fill_buf)
    }

    fn consume(&mut self, amount: usize) {
        if let Some(lines) = &mut self.lines {
            lines.consume(amount);
        }
    }
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

/// The body of the answer.
pub(super) struct ResponseBody {
    exchange: Exchange,
    chunk: Cursor<Vec<u8>>,
}

impl BufRead for ResponseBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.position() >= self.chunk.get_ref().len() as u64 {
            self.chunk = Cursor::new(self.exchange.answered(Https::next)?);
        }
        self.chunk.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.consume(amount);
    }
}

impl Read for ResponseBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

fn read_buffered(from: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let read = from.fill_buf()?.read(buffer)?;
    from.consume(read);
    Ok(read)
}
