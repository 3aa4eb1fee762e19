//! The compile worker: one thread that turns copied bytes into host code while the guest goes on.
//!
//! Invariant: the worker sees nothing but the request that it owns, never guest memory; what it returns is
//! installed by the processor's thread, which looks whether the bytes are still the same.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use jit::{CompiledUnit, Compiler, TranslateError};

use crate::cache::TranslationKey;
use crate::compile::Job;
use crate::times::since;

/// A compilation that is done.
pub struct Finished {
    /// What was asked for.
    pub job: Job,
    /// What came of it.
    pub unit: Result<CompiledUnit, TranslateError>,
    /// How long it took.
    pub compile_ns: u64,
}

/// The worker and its two queues.
pub struct Worker {
    jobs: Option<SyncSender<Job>>,
    results: Receiver<Finished>,
    ready: Arc<AtomicUsize>,
    pending: HashSet<TranslationKey>,
    room: usize,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the host says to a new thread.
    pub fn start(compiler: Compiler, queue: usize) -> std::io::Result<Self> {
        let (jobs, job_queue) = sync_channel(queue);
        let (result_queue, results) = channel();
        let ready = Arc::new(AtomicUsize::new(0));
        let done = Arc::clone(&ready);
        let thread = std::thread::Builder::new()
            .name("marq-compile".to_owned())
            .spawn(move || compile_all(compiler, &job_queue, &result_queue, &done))?;
        Ok(Self {
            jobs: Some(jobs),
            results,
            ready,
            pending: HashSet::default(),
            room: queue,
            thread: Some(thread),
        })
    }

    /// Whether it has room for another job.
    pub fn has_room(&self) -> bool {
        self.pending.len() < self.room
    }

    /// Whether a compilation is done: one atomic load.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) != 0
    }

    /// Whether it would take a job under this key: it has room, and none such is on its way.
    pub fn wants(&self, key: &TranslationKey) -> bool {
        self.has_room() && !self.pending.contains(key)
    }

    /// Hands a job over; gives it back when the queue is full or the worker is gone.
    pub fn submit(&mut self, job: Job) -> Option<Job> {
        let Some(jobs) = &self.jobs else { return Some(job) };
        let key = job.spot.key;
        match jobs.try_send(job) {
            Ok(()) => {
                self.pending.insert(key);
                None
            }
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Some(job),
        }
    }

    /// A compilation that is done, if there is one; costs one atomic load when there is none.
    pub fn take(&mut self) -> Option<Finished> {
        if !self.is_ready() {
            return None;
        }
        let finished = self.results.try_recv().ok()?;
        self.ready.fetch_sub(1, Ordering::AcqRel);
        self.pending.remove(&finished.job.spot.key);
        Some(finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has nothing left to give.
            let _outcome = thread.join();
        }
    }
}

fn compile_all(
    mut compiler: Compiler,
    jobs: &Receiver<Job>,
    results: &Sender<Finished>,
    ready: &AtomicUsize,
) {
    while let Ok(job) = jobs.recv() {
        let started = Instant::now();
        let unit = compiler.compile(&job.request);
        let compile_ns = since(started);
        if results.send(Finished { job, unit, compile_ns }).is_err() {
            return;
        }
        ready.fetch_add(1, Ordering::AcqRel);
    }
}
