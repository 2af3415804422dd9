//! Asking: once for many, remembered, bounded, and not while the service is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use identity::remote::BreakerLimits;
use tokio::sync::Semaphore;

use super::*;

const HOLDS: Duration = Duration::from_secs(60);

fn asking(at_once: usize, failures: u32) -> Arc<Asking<u32>> {
    let breaker = BreakerLimits { failures, open: (Duration::from_millis(40), Duration::from_millis(80)) };
    Arc::new(Asking::new("test", AskingLimits { at_once, remembered: 100, breaker }))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test]
async fn a_question_of_many_is_put_once_and_its_answer_kept() {
    let (asking, calls) = (asking(4, 5), Arc::new(AtomicUsize::new(0)));
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let (asking, calls) = (Arc::clone(&asking), Arc::clone(&calls));
            tokio::spawn(async move {
                let call = move || async move {
                    calls.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok((7, HOLDS))
                };
                asking.ask([1; 32], soon(), call).await
            })
        })
        .collect();
    for one in waiting {
        assert_eq!(one.await.unwrap(), Ok(7));
    }
    assert_eq!((calls.load(Ordering::SeqCst), asking.counts()), (1, (1, 0)));
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_there_for_the_next_attempt() {
    let asking = asking(4, 5);
    let gate = Arc::new(Semaphore::new(0));
    let slow = Arc::clone(&gate);
    let call = move || async move {
        drop(slow.acquire().await);
        Ok((7, HOLDS))
    };
    let in_time = Instant::now() + Duration::from_millis(20);
    assert_eq!(asking.ask([1; 32], in_time, call).await, Err(Unanswered::Slow));
    gate.add_permits(1);
    let again = asking.ask([1; 32], soon(), || async { Err(RemoteError::Form("is asked twice")) });
    assert_eq!(again.await, Ok(7));
}

#[tokio::test]
async fn a_service_that_is_down_is_left_alone_and_tried_again() {
    let (asking, calls) = (asking(4, 3), Arc::new(AtomicUsize::new(0)));
    let failing = |n: u8| {
        let calls = Arc::clone(&calls);
        asking.ask([n; 32], soon(), move || async move {
            calls.fetch_add(1, Ordering::SeqCst);
            Err(RemoteError::Form("is missing"))
        })
    };
    for n in 0..20 {
        assert_eq!(failing(n).await, Err(Unanswered::Down));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the rest was not put");
    let until = soon();
    let well = loop {
        let answer = asking.ask([99; 32], soon(), || async { Ok((7, HOLDS)) }).await;
        if answer.is_ok() || Instant::now() > until {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(well, Ok(7));
    assert_eq!(failing(100).await, Err(Unanswered::Down));
    assert_eq!(calls.load(Ordering::SeqCst), 4, "closed again");
}

#[tokio::test]
async fn no_more_are_put_at_a_time_than_the_service_bears() {
    let asking = asking(3, 5);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let waiting: Vec<_> = (0..30)
        .map(|n| {
            let (asking, now, most) = (Arc::clone(&asking), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                let call = move || async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok((n, HOLDS))
                };
                asking.ask([u8::try_from(n).unwrap(); 32], soon(), call).await
            })
        })
        .collect();
    for (n, one) in (0..).zip(waiting) {
        assert_eq!(one.await.unwrap(), Ok(n));
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}
