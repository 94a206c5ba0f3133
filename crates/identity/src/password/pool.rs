//! Plain threads with a bounded queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Busy;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// How much sooner other threads get a core: these get a tenth of one that requests want all of, and all of one that
/// nobody else wants. Whoever has logged in does not wait for those who want to.
const NICE: i32 = 10;
/// A thread that has had nothing to do for so long gives up what it keeps for the next job. Log-ins that come in a row
/// come sooner.
const KEPT: Duration = Duration::from_millis(200);

struct Queue<S> {
    jobs: VecDeque<Job<S>>,
    stopped: bool,
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    wake: Condvar,
    most: usize,
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads that take jobs in the order in which they came. They end when the pool is dropped. Each keeps an `S` from one job
/// to the next, while there are some.
pub(crate) struct Pool<S: 'static> {
    shared: Arc<Shared<S>>,
}

impl<S: Default + 'static> Pool<S> {
    pub(crate) fn start(threads: usize, most: usize) -> std::io::Result<Self> {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), stopped: false });
        let pool = Self { shared: Arc::new(Shared { queue, wake: Condvar::new(), most }) };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new().name(format!("password-{number}")).spawn(move || work(&shared))?;
        }
        Ok(pool)
    }

    /// Queues a job; the answer is dropped unsent if the pool ends first.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Busy> {
        let (done, answer) = oneshot::channel();
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.shared.most {
            return Err(Busy);
        }
        queue.jobs.push_back(Box::new(move |kept| {
            let _ = done.send(job(kept));
        }));
        drop(queue);
        self.shared.wake.notify_one();
        Ok(answer)
    }
}

impl<S> Drop for Pool<S> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.stopped = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.wake.notify_all();
    }
}

fn work<S: Default>(shared: &Shared<S>) {
    // On Linux it is about the calling thread. Where it is not allowed, log-ins have the priority that all have.
    let _as_it_is = rustix::process::nice(NICE);
    let mut kept = S::default();
    loop {
        let is_idle = |queue: &mut Queue<S>| queue.jobs.is_empty() && !queue.stopped;
        let waited = shared.wake.wait_timeout_while(shared.lock(), KEPT, is_idle);
        let (mut queue, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            drop(queue);
            kept = S::default();
            queue = shared.wake.wait_while(shared.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(job) = queue.jobs.pop_front() else { return };
        drop(queue);
        job(&mut kept);
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    #[tokio::test]
    async fn the_queue_is_bounded_and_served_in_order() {
        let pool: Pool<()> = Pool::start(1, 2).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let first = pool.submit(move |()| {
            started.send(()).unwrap();
            held.recv().unwrap();
        });
        running.await.unwrap();
        let second = pool.submit(|()| 2).unwrap();
        let third = pool.submit(|()| 3).unwrap();
        assert!(pool.submit(|()| 4).is_err());
        release.send(()).unwrap();
        first.unwrap().await.unwrap();
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (2, 3));
    }

    #[tokio::test]
    async fn requests_come_before_log_ins() {
        let own = rustix::process::getpriority_process(None).unwrap();
        let pool: Pool<()> = Pool::start(1, 2).unwrap();
        let of_pool =
            pool.submit(|()| rustix::process::getpriority_process(None).unwrap()).unwrap().await.unwrap();
        assert_eq!(of_pool, (own + NICE).min(19));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }

    #[tokio::test]
    async fn a_thread_keeps_its_own_while_there_is_work() {
        let pool: Pool<Vec<u8>> = Pool::start(1, 2).unwrap();
        let used = |kept: &mut Vec<u8>| {
            kept.push(1);
            kept.len()
        };
        let (queued, wait) = std::sync::mpsc::channel::<()>();
        let first = pool.submit(move |kept| {
            wait.recv().unwrap();
            used(kept)
        });
        let second = pool.submit(used).unwrap();
        queued.send(()).unwrap();
        assert_eq!((first.unwrap().await.unwrap(), second.await.unwrap()), (1, 2));
        tokio::time::sleep(4 * KEPT).await;
        assert_eq!(pool.submit(used).unwrap().await.unwrap(), 1, "given up meanwhile");
    }
}
