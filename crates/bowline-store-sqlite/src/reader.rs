//! The connections that read, each on a thread of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bowline_store::{BoxFuture, Error, Result};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::connection::open_reader;
use crate::error::AtPath as _;
use crate::store::Reading;

/// How many reads may wait for a connection.
const READ_QUEUE_MAX: usize = 1_024;

enum Job {
    Read(Box<dyn FnOnce(&Connection) + Send>),
    /// Ends the thread that takes it.
    Stop,
}

/// A handle to the threads that read.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: mpsc::Sender<Job>,
    threads: usize,
}

// === impl Readers ===

impl Readers {
    /// Starts the threads.
    pub(crate) fn start(database: &Path, threads: usize, reading: &Reading) -> crate::Result<Self> {
        let (jobs, queue) = mpsc::channel(READ_QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let (connection, queue, reading) = (open_reader(database)?, Arc::clone(&queue), reading.clone());
            let thread = thread::Builder::new().name(format!("store-read-{number}"));
            thread.spawn(move || run(connection, &queue, reading)).at("start a thread that reads", database)?;
        }
        Ok(Self { jobs, threads })
    }

    /// Runs a query on one of the threads.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'_, T> {
        let (reply, answer) = oneshot::channel();
        // Nobody waits for the answer of a read whose future was dropped.
        let job = Job::Read(Box::new(move |connection| drop(reply.send(query(connection)))));
        let queued = self.jobs.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Unavailable { reason: "too many reads are waiting" },
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable { reason: "it is closed" },
        });
        Box::pin(async move {
            queued?;
            answer.await.map_err(|_| Error::Unavailable { reason: "it is closed" })?
        })
    }

    /// Ends the threads after the reads that wait.
    pub(crate) async fn stop(&self) {
        for _ in 0..self.threads {
            // Fails where they have ended.
            drop(self.jobs.send(Job::Stop).await);
        }
    }
}

fn run(connection: Connection, queue: &Mutex<mpsc::Receiver<Job>>, reading: Reading) {
    loop {
        // The thread that waits for a job holds the lock; the others wait for the lock, which comes to the same.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match job {
            Some(Job::Read(read)) => read(&connection),
            Some(Job::Stop) | None => break,
        }
    }
    drop(connection);
    drop(reading);
}
