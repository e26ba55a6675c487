//! How is one gzip member written by several threads, always to the same bytes?
//!
//! As pigz does: the content is cut into blocks of one size, each is deflated on its own with the end of the one before as
//! its dictionary, and their outputs are joined. The cuts depend on the content alone, so one thread writes what many do.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Large enough that a cut costs nothing that could be measured, small enough for all threads to have work.
const BLOCK: usize = 512 * 1024;
/// As far back as deflate looks.
const WINDOW: usize = 32 * 1024;
/// No name, no time, no system: nothing that differs between machines (RFC 1952 section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses what is written to it. Unless it is finished, what it wrote is no whole member.
pub struct ParallelGzip<W: Write> {
    out: W,
    header: &'static [u8],
    block: Vec<u8>,
    window: Vec<u8>,
    crc: Crc,
    jobs: SyncSender<Job>,
    answers: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    most_waiting: usize,
}

struct Job {
    block: Vec<u8>,
    window: Vec<u8>,
    last: bool,
    answer: SyncSender<io::Result<Vec<u8>>>,
}

impl<W: Write> ParallelGzip<W> {
    /// `level` is 0 to 9. Memory is about 1 MB for each thread.
    pub fn new(level: u32, threads: usize, out: W) -> Self {
        let threads = threads.max(1);
        let (jobs, work) = sync_channel::<Job>(threads);
        let work = Arc::new(Mutex::new(work));
        for _ in 0..threads {
            let work = work.clone();
            // They end when the sender is gone.
            thread::spawn(move || {
                loop {
                    let job = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { block, window, last, answer }) = job else { return };
                    let _ = answer.send(deflate(level, &window, &block, last));
                }
            });
        }
        Self {
            out,
            header: &HEADER,
            block: Vec::with_capacity(BLOCK),
            window: Vec::new(),
            crc: Crc::new(),
            jobs,
            answers: VecDeque::new(),
            most_waiting: threads + 1,
        }
    }

    /// Writes the rest and the end, and gives the writer back.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.submit(true)?;
        self.collect(0)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        // The length modulo 2^32, as the format has it.
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }

    fn submit(&mut self, last: bool) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let next_window = block[block.len().saturating_sub(WINDOW)..].to_vec();
        let window = std::mem::replace(&mut self.window, next_window);
        let (answer, answered) = sync_channel(1);
        self.jobs.send(Job { block, window, last, answer }).map_err(|_| gone())?;
        self.answers.push_back(answered);
        self.collect(self.most_waiting)
    }

    /// Writes answers, in order, until only so many are awaited.
    fn collect(&mut self, awaited: usize) -> io::Result<()> {
        while self.answers.len() > awaited {
            let Some(answered) = self.answers.pop_front() else { break };
            let deflated = answered.recv().map_err(|_| gone())??;
            self.out.write_all(std::mem::take(&mut self.header))?;
            self.out.write_all(&deflated)?;
        }
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

impl<W: Write> Write for ParallelGzip<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // A full block waits for what follows: only then it is known not to be the last.
        if self.block.len() == BLOCK && !buffer.is_empty() {
            self.submit(false)?;
        }
        let taken = buffer.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&buffer[..taken]);
        self.crc.update(&buffer[..taken]);
        Ok(taken)
    }

    /// Does nothing: an early end of a block would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One block as a piece of a raw deflate stream that ends on a whole byte, or ends the stream.
fn deflate(level: u32, window: &[u8], block: &[u8], last: bool) -> io::Result<Vec<u8>> {
    let mut deflate = Compress::new(Compression::new(level.min(9)), false);
    if !window.is_empty() {
        deflate.set_dictionary(window).map_err(io::Error::other)?;
    }
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(block.len() / 2 + 1024);
    let mut taken = 0;
    loop {
        let before = deflate.total_in();
        let status = deflate.compress_vec(&block[taken..], &mut out, flush).map_err(io::Error::other)?;
        taken += usize::try_from(deflate.total_in() - before).map_err(io::Error::other)?;
        // Room that is left says that the flush is complete.
        let complete = if last { status == Status::StreamEnd } else { taken == block.len() && out.len() < out.capacity() };
        if complete {
            return Ok(out);
        }
        out.reserve(64 * 1024);
    }
}
