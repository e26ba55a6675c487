//! What lies between a client and the server? Delays, faults and crashes: a simulation puts its own in place of the plain one.

use super::answers::Refusal;
use super::call::Call;
use futures::future::BoxFuture;

/// What becomes of a request on its way to the server.
#[derive(Clone, Debug)]
pub enum Sent {
    /// It arrives.
    Arrives,
    /// Something in between refuses it.
    Refused(Refusal),
    /// The connection breaks before it arrives.
    Broken,
}

/// What becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replied {
    /// It arrives.
    Arrives,
    /// The connection breaks: what was asked for is done, and the client does not know.
    Broken,
}

/// What becomes of an event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It arrives.
    Once,
    /// It arrives twice.
    Twice,
    /// The stream ends before it.
    Cut,
}

/// The wire of one client.
pub trait Wire: Send + Sync {
    /// A request is sent, with the bytes of its body. A future that never ends is a request that hangs.
    fn send<'a>(&'a self, call: &'a Call, body: &'a [u8]) -> BoxFuture<'a, Sent>;

    /// It was carried out; the answer is sent.
    fn reply<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Replied>;

    /// An event is sent.
    fn deliver<'a>(&'a self, watch: &'a Call, version: u64) -> BoxFuture<'a, Delivery>;

    /// A past version that a list shows in place of the present: the cache of a server that is behind.
    fn stale(&self, list: &Call) -> Option<u64>;
}

/// A wire on which all arrives at once.
pub struct Plain;

impl Wire for Plain {
    fn send<'a>(&'a self, _: &'a Call, _: &'a [u8]) -> BoxFuture<'a, Sent> {
        Box::pin(std::future::ready(Sent::Arrives))
    }

    fn reply<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Replied> {
        Box::pin(std::future::ready(Replied::Arrives))
    }

    fn deliver<'a>(&'a self, _: &'a Call, _: u64) -> BoxFuture<'a, Delivery> {
        Box::pin(std::future::ready(Delivery::Once))
    }

    fn stale(&self, _: &Call) -> Option<u64> {
        None
    }
}
