//! How are passes run? So many at a time as there are seats, by whose turn it is; a seat that somebody waits outside with is free for others.

use super::turns::Turns;
use crate::observe::{Guarded, Seat};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use kube::runtime::reflector::ObjectRef;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// Passes that are worked on at the same time; without a bound, a start with many objects would flood the API server.
const SEATS: usize = 16;
/// Passes at the same time, those that wait outside included: their worlds are in memory.
const UNDER_WAY: usize = 2_000;

/// Runs a pass whenever one is due, once it is `ready` and until `queue` ends; those under way are finished. A pass says when to look again at
/// the latest.
pub(super) async fn run<F>(
    mut queue: impl Stream<Item = ObjectRef<Guarded>> + Unpin,
    ready: impl Future<Output = ()>,
    pass: impl Fn(ObjectRef<Guarded>, Seat) -> F,
) where
    F: Future<Output = Option<Duration>>,
{
    let (mut turns, seats, mut passes) = (Turns::default(), Arc::new(Semaphore::new(SEATS)), FuturesUnordered::new());
    let (mut open, mut waits) = (true, true);
    let mut ready = pin!(ready);
    while open || turns.is_busy() {
        let due = turns.next().filter(|_| open && !waits && passes.len() < UNDER_WAY);
        let seat = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
            seats.clone().acquire_owned().await
        };
        tokio::select! {
            biased;
            Some((object, again)) = passes.next(), if !passes.is_empty() => {
                let again: Option<Duration> = again;
                turns.end(object, again.and_then(|wait| Instant::now().checked_add(wait)));
            }
            event = queue.next(), if open => match event {
                Some(object) => turns.ask(object, Instant::now()),
                None => open = false,
            },
            () = &mut ready, if waits => waits = false,
            Ok(permit) = seat => if let Some(object) = turns.begin(Instant::now()) {
                let pass = pass(object.clone(), Seat::new(seats.clone(), permit));
                passes.push(async move { (object, pass.await) });
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::sync::Mutex;

    fn objects(count: usize) -> Vec<ObjectRef<Guarded>> {
        (0..count).map(|number| ObjectRef::new(&format!("shop-{number:04}")).within("team")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_served_in_its_order_beside_passes_that_wait_outside() {
        let (hangs, served, most) = (objects(200), Mutex::new(Vec::new()), Mutex::new((0, 0)));
        let burst: Vec<ObjectRef<Guarded>> = objects(1200).split_off(200);
        let queue = stream::iter(hangs.iter().chain(&burst).cloned().collect::<Vec<_>>());
        let queue =
            queue.chain(stream::once(Box::pin(tokio::time::sleep(Duration::from_secs(40)))).filter_map(|()| std::future::ready(None)));
        let start = Instant::now();
        let pass = |object: ObjectRef<Guarded>, seat: Seat| {
            let (hangs, served, most) = (hangs.contains(&object), &served, &most);
            async move {
                if hangs {
                    seat.outside(tokio::time::sleep(Duration::from_secs(45))).await;
                    return None;
                }
                {
                    let mut most = most.lock().expect("unpoisoned");
                    most.0 += 1;
                    most.1 = most.1.max(most.0);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                most.lock().expect("unpoisoned").0 -= 1;
                served.lock().expect("unpoisoned").push((object, start.elapsed()));
                None
            }
        };
        run(Box::pin(queue), std::future::ready(()), pass).await;
        let served = served.into_inner().expect("unpoisoned");
        assert_eq!(served.iter().map(|(object, _)| object.clone()).collect::<Vec<_>>(), burst, "the oldest first");
        let last = served.last().expect("the last").1;
        assert!(last < Duration::from_secs(1), "nobody waits for a server that hangs: {last:?}");
        assert_eq!(most.into_inner().expect("unpoisoned").1, SEATS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_is_repeated_when_it_says_and_never_beside_itself() {
        let times = Mutex::new(Vec::new());
        let start = Instant::now();
        let queue = stream::iter(objects(1)).chain(stream::iter([3, 10]).then(|seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            objects(1).remove(0)
        }));
        let pass = |_, _| async {
            times.lock().expect("unpoisoned").push(start.elapsed().as_secs());
            tokio::time::sleep(Duration::from_secs(5)).await;
            Some(Duration::from_secs(2))
        };
        run(Box::pin(queue), std::future::ready(()), pass).await;
        assert_eq!(times.into_inner().expect("unpoisoned"), [0, 5, 12], "at 3 it is under way, and from 13 on nothing begins any more");
    }
}
