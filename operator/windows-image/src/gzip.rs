//! How is gzip written by several threads, always to the same bytes?
//!
//! As bgzip and stargz do: the content is cut into blocks of one size, and each becomes a gzip member of its own; members in a row are
//! one file to every reader (RFC 1952 section 2.2). The cuts depend on the content alone, so one thread writes what many do. libdeflate
//! is several times as fast as zlib for the same size.

use libdeflater::{CompressionLvl, Compressor};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Large enough that a cut costs a thousandth of the size, small enough for all threads to have work.
const BLOCK: usize = 1024 * 1024;

/// Compresses what is written to it. Unless it is finished, what it wrote is not all.
pub struct ParallelGzip<W: Write> {
    out: W,
    block: Vec<u8>,
    jobs: SyncSender<Job>,
    answers: VecDeque<Receiver<io::Result<Member>>>,
    most_waiting: usize,
    /// Buffers are used again: pages that are new to a process cost nearly as much as hashing what is in them.
    spare: Vec<Member>,
}

struct Job {
    block: Vec<u8>,
    packed: Vec<u8>,
    answer: SyncSender<io::Result<Member>>,
}

#[derive(Default)]
struct Member {
    block: Vec<u8>,
    packed: Vec<u8>,
    /// So much of it is used.
    size: usize,
}

impl<W: Write> ParallelGzip<W> {
    /// `level` is 0 to 9. Memory is about 4 MB for each thread.
    pub fn new(level: u32, threads: usize, out: W) -> Self {
        let threads = threads.max(1);
        let (jobs, work) = sync_channel::<Job>(threads);
        let work = Arc::new(Mutex::new(work));
        for _ in 0..threads {
            let work = work.clone();
            // They end when the sender is gone.
            thread::spawn(move || {
                let mut compressor = compressor(level);
                loop {
                    let job = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { block, packed, answer }) = job else { return };
                    let _ = answer.send(member(&mut compressor, block, packed));
                }
            });
        }
        Self { out, block: Vec::new(), jobs, answers: VecDeque::new(), most_waiting: threads + 1, spare: Vec::new() }
    }

    /// Writes the rest, and gives the writer back.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.submit()?;
        self.collect(0)?;
        Ok(self.out)
    }

    fn submit(&mut self) -> io::Result<()> {
        let Member { block: mut next, packed, size: _ } = self.spare.pop().unwrap_or_default();
        next.clear();
        let block = std::mem::replace(&mut self.block, next);
        let (answer, answered) = sync_channel(1);
        self.jobs.send(Job { block, packed, answer }).map_err(|_| gone())?;
        self.answers.push_back(answered);
        self.collect(self.most_waiting)
    }

    /// Writes answers, in order, until only so many are awaited.
    fn collect(&mut self, awaited: usize) -> io::Result<()> {
        while self.answers.len() > awaited {
            let Some(answered) = self.answers.pop_front() else { break };
            let member = answered.recv().map_err(|_| gone())??;
            self.out.write_all(&member.packed[..member.size])?;
            self.spare.push(member);
        }
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

impl<W: Write> Write for ParallelGzip<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // A full block waits for what follows: after the last one there is no empty member.
        if self.block.len() == BLOCK && !buffer.is_empty() {
            self.submit()?;
        }
        let taken = buffer.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&buffer[..taken]);
        Ok(taken)
    }

    /// Does nothing: an early end of a block would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn compressor(level: u32) -> Compressor {
    let level = i32::try_from(level).ok().and_then(|level| CompressionLvl::new(level).ok());
    Compressor::new(level.unwrap_or_default())
}

fn member(compressor: &mut Compressor, block: Vec<u8>, mut packed: Vec<u8>) -> io::Result<Member> {
    let most = compressor.gzip_compress_bound(block.len());
    if packed.len() < most {
        packed = vec![0; most];
    }
    let size = compressor.gzip_compress(&block, &mut packed).map_err(io::Error::other)?;
    Ok(Member { block, packed, size })
}
