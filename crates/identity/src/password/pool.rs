//! Plain threads with a bounded queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Busy;

type Job = Box<dyn FnOnce() + Send>;

/// How much sooner other threads get a core: these get a tenth of one that requests want all of, and all of one that
/// nobody else wants. Whoever has logged in does not wait for those who want to.
const NICE: i32 = 10;

struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    most: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads that take jobs in the order in which they came. They end when the pool is dropped.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
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
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Busy> {
        let (done, answer) = oneshot::channel();
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.shared.most {
            return Err(Busy);
        }
        queue.jobs.push_back(Box::new(move || {
            let _ = done.send(job());
        }));
        drop(queue);
        self.shared.wake.notify_one();
        Ok(answer)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.stopped = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.wake.notify_all();
    }
}

fn work(shared: &Shared) {
    // On Linux it is about the calling thread. Where it is not allowed, log-ins have the priority that all have.
    let _as_it_is = rustix::process::nice(NICE);
    loop {
        let mut queue = shared.lock();
        while queue.jobs.is_empty() && !queue.stopped {
            queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(job) = queue.jobs.pop_front() else { return };
        drop(queue);
        job();
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
        let pool = Pool::start(1, 2).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let first = pool.submit(move || {
            started.send(()).unwrap();
            held.recv().unwrap();
        });
        running.await.unwrap();
        let second = pool.submit(|| 2).unwrap();
        let third = pool.submit(|| 3).unwrap();
        assert!(pool.submit(|| 4).is_err());
        release.send(()).unwrap();
        first.unwrap().await.unwrap();
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (2, 3));
    }

    #[tokio::test]
    async fn requests_come_before_log_ins() {
        let own = rustix::process::getpriority_process(None).unwrap();
        let pool = Pool::start(1, 2).unwrap();
        let of_pool =
            pool.submit(|| rustix::process::getpriority_process(None).unwrap()).unwrap().await.unwrap();
        assert_eq!(of_pool, (own + NICE).min(19));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }
}
