//! Plain threads with a bounded queue.
//!
//! Whoever has logged in does not wait for those who want to: the threads hash in what time of a core nobody else wants
//! (Linux's `SCHED_IDLE`), and give it up at once. A nice value alone would not do that: since version 6.6 the scheduler
//! lets a thread that has begun run on for some 3 ms whoever comes, and a request beside log-ins took as much longer. Where
//! nothing is left of any core they would stand still; so one thread more, with the tenth of a core that its nice value
//! gets it, takes what waits while the others do not get on.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::oneshot;

use super::Busy;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// How much sooner other threads get a core than the one that helps: it gets a tenth of a core that requests want all
/// of.
const NICE: i32 = 10;
/// No job was begun or done for so long although one waits: nothing is left of the cores. A job takes some 20 ms.
const STARVED: Duration = Duration::from_millis(500);
/// A thread that has had nothing to do for so long gives up what it keeps for the next job. Log-ins that come in a row
/// come sooner.
const KEPT: Duration = Duration::from_millis(200);

struct Queue<S> {
    jobs: VecDeque<Job<S>>,
    /// When one of the threads began or ended a job, or the first job came to wait.
    moved: Instant,
    stopped: bool,
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    wake: Condvar,
    /// Wakes the thread that helps, when there is something to wait for.
    help: Condvar,
    most: usize,
    starved: Duration,
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
        Self::helped_after(STARVED, threads, most)
    }

    fn helped_after(starved: Duration, threads: usize, most: usize) -> std::io::Result<Self> {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), moved: Instant::now(), stopped: false });
        let shared = Shared { queue, wake: Condvar::new(), help: Condvar::new(), most, starved };
        let pool = Self { shared: Arc::new(shared) };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new().name(format!("password-{number}")).spawn(move || work(&shared))?;
        }
        let shared = Arc::clone(&pool.shared);
        std::thread::Builder::new().name("password-help".to_owned()).spawn(move || help(&shared))?;
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
        let is_first = queue.jobs.is_empty();
        if is_first {
            queue.moved = Instant::now();
        }
        queue.jobs.push_back(Box::new(move |kept| {
            let _ = done.send(job(kept));
        }));
        drop(queue);
        self.shared.wake.notify_one();
        if is_first {
            self.shared.help.notify_one();
        }
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
        self.shared.help.notify_all();
    }
}

fn work<S: Default>(shared: &Shared<S>) {
    // Where it is not allowed or not known, log-ins have the priority that all have.
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _as_it_is = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
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
        // Empty is also what the thread that helps has left.
        let Some(job) = queue.jobs.pop_front() else {
            if queue.stopped {
                return;
            }
            continue;
        };
        queue.moved = Instant::now();
        drop(queue);
        job(&mut kept);
        shared.lock().moved = Instant::now();
    }
}

/// Takes what waits while [`work`] does not get on.
fn help<S: Default>(shared: &Shared<S>) {
    // On Linux it is about the calling thread.
    let _as_it_is = rustix::process::nice(NICE);
    let mut queue = shared.lock();
    while !queue.stopped {
        if queue.jobs.is_empty() {
            queue = shared.help.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let left = shared.starved.saturating_sub(queue.moved.elapsed());
        if !left.is_zero() {
            let waited = shared.help.wait_timeout(queue, left);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let Some(job) = queue.jobs.pop_front() else { continue };
        drop(queue);
        job(&mut S::default());
        queue = shared.lock();
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
        let pool: Pool<()> = Pool::helped_after(Duration::MAX, 1, 2).unwrap();
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

    /// Scheduling policy and nice value of the calling thread: fields 41 and 19 of proc(5)'s `stat`.
    #[cfg(target_os = "linux")]
    fn standing() -> (u32, i32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        (fields[41 - 3].parse().unwrap(), fields[19 - 3].parse().unwrap())
    }

    /// Longer than any machine takes, however busy.
    const DEADLINE: Duration = Duration::from_secs(60);

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn requests_come_before_log_ins() {
        let (policy, nice) = standing();
        let pool: Pool<()> = Pool::helped_after(Duration::from_millis(1), 1, 2).unwrap();
        // Each waits until the other has begun, so that one thread alone does not get on, and another helps it; which of
        // them has which job is theirs.
        let meet = |tell: std::sync::mpsc::Sender<()>, told: std::sync::mpsc::Receiver<()>| {
            move |(): &mut ()| {
                tell.send(()).unwrap();
                told.recv_timeout(DEADLINE).unwrap();
                (std::thread::current().name().unwrap().to_owned(), standing())
            }
        };
        let (to_first, first_told) = std::sync::mpsc::channel();
        let (to_second, second_told) = std::sync::mpsc::channel();
        let first = pool.submit(meet(to_second, first_told)).unwrap();
        let second = pool.submit(meet(to_first, second_told)).unwrap();
        let mut threads = [first.await.unwrap(), second.await.unwrap()];
        threads.sort_unstable();
        let [(worker, (worker_policy, _)), (helper, helper_standing)] = threads;
        assert_eq!((worker.as_str(), worker_policy), ("password-0", 5), "SCHED_IDLE");
        assert_eq!((helper.as_str(), helper_standing), ("password-help", (policy, (nice + NICE).min(19))));
        assert_eq!(standing(), (policy, nice));
    }

    #[tokio::test]
    async fn nobody_helps_while_the_threads_get_on() {
        let pool: Pool<()> = Pool::helped_after(Duration::MAX, 1, 100).unwrap();
        let name = |(): &mut ()| std::thread::current().name().unwrap_or_default().to_owned();
        let jobs: Vec<_> = (0..50).map(|_| pool.submit(name).unwrap()).collect();
        for job in jobs {
            assert_eq!(job.await.unwrap(), "password-0");
        }
    }

    #[tokio::test]
    async fn a_thread_keeps_its_own_while_there_is_work() {
        let pool: Pool<Vec<u8>> = Pool::helped_after(Duration::MAX, 1, 2).unwrap();
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
        // Where others want all of the cores the thread may come late to giving it up, but it does not keep it.
        let began = Instant::now();
        while pool.submit(used).unwrap().await.unwrap() != 1 {
            assert!(began.elapsed() < DEADLINE, "never given up");
            tokio::time::sleep(4 * KEPT).await;
        }
    }
}
