//! When an apalis worker looks into its queue: on every tick, and at once when it is woken.
//!
//! apalis-core 1.0.0's own interval strategy stores a timer that it does not poll, and so sleeps through its own
//! wake-up when the machine is busy.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{PollSnapshot, PollStrategy};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

pub(crate) struct Ticker {
    period: Duration,
    sleep: Pin<Box<Sleep>>,
    wake: mpsc::Receiver<()>,
}

impl Ticker {
    pub(crate) fn new(period: Duration, wake: mpsc::Receiver<()>) -> Self {
        Self { period, sleep: Box::pin(tokio::time::sleep(period)), wake }
    }
}

impl PollStrategy for Ticker {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut fired = false;
        // Polled until it is pending: only that leaves a waker behind.
        while self.sleep.as_mut().poll(cx).is_ready() {
            fired = true;
            let next = Instant::now() + self.period;
            self.sleep.as_mut().reset(next);
        }
        while let Poll::Ready(Some(())) = self.wake.poll_recv(cx) {
            fired = true;
        }
        if fired { Poll::Ready(Some(())) } else { Poll::Pending }
    }
}
