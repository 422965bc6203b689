//! The thread beside the ingest thread: compresses full blocks and rescues what must outlive its segment.

use super::block::Block;
use super::held::Held;
use super::segment::Segment;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Jobs that may wait. When they do, the ingest thread does the next one itself: slower, never unbounded.
const WAITING: usize = 64;

enum Job {
    Pack(Arc<Block>),
    Evict(Arc<Segment>),
    /// Answered when everything before it is done.
    Settle(SyncSender<()>),
}

pub(crate) struct Sealer {
    held: Arc<Held>,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    pub fn start(held: Arc<Held>) -> Self {
        let (jobs, receiver) = sync_channel(WAITING);
        let of_thread = held.clone();
        // Without a thread (none to be had), every job is done in place.
        let thread = std::thread::Builder::new().name("watchfire-seal".into()).spawn(move || work(&of_thread, &receiver)).ok();
        Sealer { held, jobs: thread.is_some().then_some(jobs), thread }
    }

    pub fn pack(&self, block: Arc<Block>) {
        self.give(Job::Pack(block));
    }

    pub fn evict(&self, segment: Arc<Segment>) {
        self.give(Job::Evict(segment));
    }

    fn give(&self, job: Job) {
        let back = match &self.jobs {
            Some(jobs) => match jobs.try_send(job) {
                Ok(()) => return,
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job,
            },
            None => job,
        };
        perform(&self.held, back);
    }

    /// Returns when all jobs given so far are done.
    pub fn settle(&self) {
        let (done, wait) = sync_channel(1);
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job::Settle(done)).is_ok()) {
            // The thread ends only after this sender is dropped; an error means that there is nothing left to wait for.
            let _ = wait.recv();
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(held: &Held, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        perform(held, job);
    }
}

fn perform(held: &Held, job: Job) {
    match job {
        Job::Pack(block) => held.saved(block.pack(&held.spare)),
        Job::Evict(segment) => held.rescue(&segment),
        Job::Settle(done) => {
            let _ = done.send(());
        }
    }
}
