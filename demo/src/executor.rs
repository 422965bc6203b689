//! Tasks on simulated time: a future sleeps until an instant of the simulation, never of the machine. One thread, one queue of wake-ups
//! ordered by (time, order of registration): the same seed gives the same run.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// One of several futures that run beside each other.
pub(crate) type Branch<T> = Pin<Box<dyn Future<Output = T>>>;

/// The tasks of one simulation and their clock. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Executor(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<Duration>,
    current: Cell<u64>,
    next: Cell<u64>,
    order: Cell<u64>,
    wakes: RefCell<BinaryHeap<Reverse<(Duration, u64, u64)>>>,
    tasks: RefCell<BTreeMap<u64, Task>>,
}

impl Executor {
    /// Time since the simulation began.
    pub(crate) fn now(&self) -> Duration {
        self.0.now.get()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let id = self.0.next.get();
        self.0.next.set(id + 1);
        self.0.tasks.borrow_mut().insert(id, Box::pin(task));
        self.wake(id, self.now());
    }

    fn wake(&self, task: u64, at: Duration) {
        let order = self.0.order.get();
        self.0.order.set(order + 1);
        self.0.wakes.borrow_mut().push(Reverse((at, order, task)));
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        Sleep { executor: self.clone(), until: self.now() + duration, registered: false }
    }

    /// Runs everything that is due up to and including `until`.
    pub(crate) fn run_until(&self, until: Duration) {
        loop {
            let due = match self.0.wakes.borrow().peek() {
                Some(Reverse((at, _, task))) if *at <= until => (*at, *task),
                _ => break,
            };
            self.0.wakes.borrow_mut().pop();
            self.0.now.set(due.0.max(self.now()));
            // Taken out while it runs, so that it can spawn others.
            let Some(mut task) = self.0.tasks.borrow_mut().remove(&due.1) else { continue };
            self.0.current.set(due.1);
            if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                self.0.tasks.borrow_mut().insert(due.1, task);
            }
        }
        self.0.now.set(until.max(self.now()));
    }

    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        self.0.tasks.borrow().len()
    }
}

/// Ready at its instant.
pub(crate) struct Sleep {
    executor: Executor,
    until: Duration,
    registered: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.until {
            return Poll::Ready(());
        }
        if !self.registered {
            self.registered = true;
            self.executor.wake(self.executor.0.current.get(), self.until);
        }
        Poll::Pending
    }
}

/// A value that one task leaves for another.
pub(crate) struct Answer<T>(Rc<AnswerCell<T>>);

struct AnswerCell<T> {
    value: Cell<Option<T>>,
    waiter: Cell<Option<u64>>,
    executor: Executor,
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Answer(Rc::clone(&self.0))
    }
}

impl<T> Answer<T> {
    pub(crate) fn new(executor: &Executor) -> Self {
        Answer(Rc::new(AnswerCell { value: Cell::new(None), waiter: Cell::new(None), executor: executor.clone() }))
    }

    pub(crate) fn give(&self, value: T) {
        self.0.value.set(Some(value));
        if let Some(task) = self.0.waiter.take() {
            self.0.executor.wake(task, self.0.executor.now());
        }
    }

    /// The value, or `None` if it has not come within `limit`.
    pub(crate) async fn within(&self, limit: Duration) -> Option<T> {
        let mut sleep = self.0.executor.sleep(limit);
        std::future::poll_fn(|context| {
            if let Some(value) = self.0.value.take() {
                return Poll::Ready(Some(value));
            }
            self.0.waiter.set(Some(self.0.executor.0.current.get()));
            Pin::new(&mut sleep).poll(context).map(|()| None)
        })
        .await
    }
}

/// Runs futures beside each other; results in their order.
pub(crate) async fn together<T>(futures: Vec<Branch<T>>) -> Vec<T> {
    let mut slots: Vec<(Option<Branch<T>>, Option<T>)> = futures.into_iter().map(|f| (Some(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut all = true;
        for (future, result) in &mut slots {
            if let Some(running) = future {
                match running.as_mut().poll(context) {
                    Poll::Ready(value) => {
                        *result = Some(value);
                        *future = None;
                    }
                    Poll::Pending => all = false,
                }
            }
        }
        if all { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    slots.into_iter().filter_map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn tasks_run_in_the_order_of_their_time() {
        let executor = Executor::default();
        let log = Rc::new(RefCell::new(Vec::new()));
        for (name, at) in [("c", 3), ("a", 1), ("b", 2)] {
            let (inner, log) = (executor.clone(), Rc::clone(&log));
            executor.spawn(async move {
                inner.sleep(seconds(at)).await;
                log.borrow_mut().push((name, inner.now()));
            });
        }
        executor.run_until(seconds(2));
        assert_eq!(*log.borrow(), [("a", seconds(1)), ("b", seconds(2))]);
        assert_eq!(executor.tasks(), 1);
        executor.run_until(seconds(10));
        assert_eq!(log.borrow().last(), Some(&("c", seconds(3))));
        assert_eq!((executor.tasks(), executor.now()), (0, seconds(10)));
    }

    #[test]
    fn an_answer_comes_or_the_wait_ends() {
        let executor = Executor::default();
        let seen = Rc::new(RefCell::new(Vec::new()));
        for limit in [1, 5] {
            let answer = Answer::new(&executor);
            let (giver, waiter, seen) = (answer.clone(), executor.clone(), Rc::clone(&seen));
            let inner = executor.clone();
            executor.spawn(async move {
                inner.sleep(seconds(3)).await;
                giver.give(7);
            });
            executor.spawn(async move {
                let value = answer.within(seconds(limit)).await;
                seen.borrow_mut().push((value, waiter.now()));
            });
        }
        executor.run_until(seconds(10));
        assert_eq!(*seen.borrow(), [(None, seconds(1)), (Some(7), seconds(3))]);
    }

    #[test]
    fn futures_beside_each_other_take_as_long_as_the_slowest() {
        let executor = Executor::default();
        let done = Rc::new(Cell::new(Duration::ZERO));
        let (inner, seen) = (executor.clone(), Rc::clone(&done));
        executor.spawn(async move {
            let sleeps = [2, 4, 1].map(|n| Box::pin(inner.sleep(seconds(n))) as Pin<Box<dyn Future<Output = ()>>>);
            together(sleeps.into()).await;
            seen.set(inner.now());
        });
        executor.run_until(seconds(10));
        assert_eq!(done.get(), seconds(4));
    }
}
