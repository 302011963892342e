//! A circuit breaker for each provider and class of operation: when one request after the other fails, nothing is sent
//! for a while. What is not sent costs its job no attempt.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;

use super::{CallError, ProviderError};

const PAUSE_FIRST: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Of one provider: reads and writes apart, because one can fail without the other.
#[derive(Debug)]
pub struct Breakers {
    reads: Breaker,
    writes: Breaker,
}

impl Breakers {
    /// `failures` in a row open it. 0: it never opens.
    #[must_use]
    pub fn new(provider: &'static str, failures: u32) -> Self {
        let breaker = |class| Breaker { provider, class, failures, state: Mutex::new(State::Closed { failed: 0 }) };
        Self { reads: breaker("read"), writes: breaker("write") }
    }

    /// Lets a request pass, or not.
    ///
    /// # Errors
    /// [`ProviderError::NotSent`], with the time until one may try again.
    pub fn enter(&self, method: &Method) -> Result<Pass<'_>, ProviderError> {
        let breaker = if *method == Method::GET { &self.reads } else { &self.writes };
        breaker.enter(Instant::now()).map_err(|wait| ProviderError::NotSent {
            source: CallError::BreakerOpen { provider: breaker.provider, class: breaker.class },
            retry_after: Some(wait),
        })
    }
}

#[derive(Debug)]
struct Breaker {
    provider: &'static str,
    class: &'static str,
    failures: u32,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failed: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One request is trying; the others wait as before.
    Trying {
        since: Instant,
        pause: Duration,
    },
}

/// A request on its way. Dropped without a word (the job was cut off), it says nothing.
#[must_use]
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
}

impl Pass<'_> {
    /// The provider answered, whatever it said.
    pub fn answered(self) {
        self.breaker.answered();
    }

    /// No answer of the provider's: none at all, a 5xx, a gateway's page.
    pub fn failed(self) {
        self.breaker.failed(Instant::now());
    }
}

impl Breaker {
    fn enter(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Closed { .. } => {}
            State::Open { until, .. } if now < until => return Err(until.duration_since(now)),
            State::Open { pause, .. } => *state = State::Trying { since: now, pause },
            // Whoever tried was cut off: the next one tries.
            State::Trying { since, pause } if now.duration_since(since) > PAUSE_MAX => {
                *state = State::Trying { since: now, pause };
            }
            State::Trying { .. } => return Err(PAUSE_FIRST),
        }
        Ok(Pass { breaker: self })
    }

    fn answered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Closed { .. }) {
            tracing::info!(provider = self.provider, class = self.class, "the provider answers again");
        }
        *state = State::Closed { failed: 0 };
    }

    fn failed(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match *state {
            State::Closed { failed } if self.failures == 0 || failed.saturating_add(1) < self.failures => {
                State::Closed { failed: failed.saturating_add(1) }
            }
            State::Closed { .. } => {
                tracing::error!(
                    provider = self.provider,
                    class = self.class,
                    "the provider does not answer: nothing is sent for a while"
                );
                State::Open { until: now + PAUSE_FIRST, pause: PAUSE_FIRST }
            }
            State::Trying { pause, .. } => {
                let pause = pause.saturating_mul(2).min(PAUSE_MAX);
                State::Open { until: now + pause, pause }
            }
            // One that was sent before it opened.
            open @ State::Open { .. } => open,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(failures: u32) -> Breaker {
        Breaker { provider: "test", class: "write", failures, state: Mutex::new(State::Closed { failed: 0 }) }
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_answer_closes_it() {
        let breaker = breaker(3);
        let start = Instant::now();
        for _ in 0..2 {
            breaker.enter(start).expect("closed").breaker.failed(start);
        }
        breaker.answered();
        for _ in 0..3 {
            breaker.enter(start).expect("closed").breaker.failed(start);
        }
        assert_eq!(breaker.enter(start).expect_err("open"), PAUSE_FIRST);
        // One may try; the others wait until it knows.
        let later = start + PAUSE_FIRST;
        let trying = breaker.enter(later).expect("one may try");
        assert!(breaker.enter(later).is_err());
        trying.breaker.failed(later);
        assert_eq!(breaker.enter(later).expect_err("open for longer"), PAUSE_FIRST * 2);
        let much_later = later + PAUSE_FIRST * 2;
        breaker.enter(much_later).expect("one may try").breaker.answered();
        breaker.enter(much_later).expect("closed").breaker.answered();
    }

    #[test]
    fn the_pause_is_bounded_and_one_that_was_cut_off_while_trying_blocks_nobody_for_ever() {
        let breaker = breaker(1);
        let mut now = Instant::now();
        breaker.failed(now);
        for _ in 0..10 {
            now += PAUSE_MAX;
            breaker.enter(now).expect("one may try").breaker.failed(now);
        }
        assert_eq!(breaker.enter(now).expect_err("open"), PAUSE_MAX);
        now += PAUSE_MAX;
        let _cut_off = breaker.enter(now).expect("one may try");
        assert!(breaker.enter(now + PAUSE_MAX).is_err());
        assert!(breaker.enter(now + PAUSE_MAX + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn without_a_number_it_never_opens() {
        let breaker = breaker(0);
        for _ in 0..1_000 {
            breaker.enter(Instant::now()).expect("closed").breaker.failed(Instant::now());
        }
    }
}
