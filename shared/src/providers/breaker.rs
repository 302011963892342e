//! What every request to a provider passes: it is measured, and stopped by a circuit breaker for each provider and class
//! of operation. When one request after the other fails, nothing is sent for a while. What is not sent costs its job no
//! attempt.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use tracing::Span;

use super::{CallError, ProviderError};
use crate::domain::payment::ProviderName;
use crate::metrics::ProviderMetrics;

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
    pub fn new(provider: ProviderName, failures: u32, metrics: ProviderMetrics) -> Self {
        let breaker = |class| {
            metrics.breaker(provider, class, false);
            let state = Mutex::new(State::Closed { failed: 0 });
            Breaker { provider, class, failures, metrics: metrics.clone(), state }
        };
        Self { reads: breaker("read"), writes: breaker("write") }
    }

    /// Lets a request pass, or not.
    ///
    /// # Errors
    /// [`ProviderError::NotSent`], with the time until one may try again.
    pub fn enter(&self, method: &Method, path: &str) -> Result<Pass<'_>, ProviderError> {
        let breaker = if *method == Method::GET { &self.reads } else { &self.writes };
        let (began, operation) = (Instant::now(), format!("{method} {}", template(path)));
        match breaker.enter(began) {
            Ok(()) => Ok(Pass { breaker, began, operation }),
            Err(wait) => Err(ProviderError::NotSent {
                source: CallError::BreakerOpen { provider: breaker.provider.title(), class: breaker.class },
                retry_after: Some(wait),
            }),
        }
    }
}

/// A path without ids: `/refunds/re_1/cancel` is `/refunds/{id}/cancel`. Providers' paths are a collection, an id, what is
/// wanted of it; Swish's begin with a version.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
    segments.next_if(|first| first.strip_prefix('v').is_some_and(|number| number.parse::<u8>().is_ok()));
    segments.enumerate().map(|(at, segment)| format!("/{}", if at % 2 == 1 { "{id}" } else { segment })).collect()
}

#[derive(Debug)]
struct Breaker {
    provider: ProviderName,
    class: &'static str,
    failures: u32,
    metrics: ProviderMetrics,
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
    began: Instant,
    operation: String,
}

impl Pass<'_> {
    /// Of the request, for the log and the trace.
    pub fn span(&self) -> Span {
        tracing::info_span!("provider_request", provider = self.breaker.provider.as_str(), operation = self.operation)
    }

    /// What came of it: `answered` or `declined`, or how it failed.
    pub fn ended(self, answer: Result<&str, &ProviderError>) {
        let (result, fails) = match answer {
            Ok(result) => (result, false),
            Err(ProviderError::Rejected { .. }) => ("rejected", false),
            // An answer that tells nothing of the money is the provider's all the same.
            Err(ProviderError::Unknown { look_up, .. }) => ("unknown", !look_up),
            Err(ProviderError::NotSent { source, .. }) => ("not_sent", matches!(source, CallError::Transport(_))),
        };
        let breaker = self.breaker;
        breaker.metrics.request(breaker.provider, &self.operation, result, self.began.elapsed());
        if fails {
            breaker.failed(Instant::now());
        } else {
            breaker.answered();
        }
    }
}

impl Breaker {
    fn enter(&self, now: Instant) -> Result<(), Duration> {
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
        Ok(())
    }

    fn answered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Closed { .. }) {
            tracing::info!(provider = self.provider.as_str(), class = self.class, "the provider answers again");
            self.metrics.breaker(self.provider, self.class, false);
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
                self.metrics.breaker(self.provider, self.class, true);
                tracing::error!(
                    provider = self.provider.as_str(),
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
    use crate::metrics::Registry;

    fn breaker(failures: u32) -> Breaker {
        let metrics = ProviderMetrics::new(&Registry::new("test"));
        let state = Mutex::new(State::Closed { failed: 0 });
        Breaker { provider: ProviderName::Stripe, class: "write", failures, metrics, state }
    }

    #[test]
    fn operations_have_no_ids() {
        let of = |path, expected: &str| assert_eq!(template(path), expected);
        of("/payment_intents", "/payment_intents");
        of("/payment_intents/pi_1/capture", "/payment_intents/{id}/capture");
        of("/customers/cus_1/payment_methods/pm_1?limit=3", "/customers/{id}/payment_methods/{id}");
        of("v2/paymentrequests/0123456789ABCDEF", "/paymentrequests/{id}");
        of("v1/refunds/0123456789ABCDEF", "/refunds/{id}");
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_answer_closes_it() {
        let breaker = breaker(3);
        let start = Instant::now();
        for _ in 0..2 {
            breaker.enter(start).expect("closed");
            breaker.failed(start);
        }
        breaker.answered();
        for _ in 0..3 {
            breaker.enter(start).expect("closed");
            breaker.failed(start);
        }
        assert_eq!(breaker.enter(start).expect_err("open"), PAUSE_FIRST);
        // One may try; the others wait until it knows.
        let later = start + PAUSE_FIRST;
        breaker.enter(later).expect("one may try");
        assert!(breaker.enter(later).is_err());
        breaker.failed(later);
        assert_eq!(breaker.enter(later).expect_err("open for longer"), PAUSE_FIRST * 2);
        let much_later = later + PAUSE_FIRST * 2;
        breaker.enter(much_later).expect("one may try");
        breaker.answered();
        breaker.enter(much_later).expect("closed");
    }

    #[test]
    fn the_pause_is_bounded_and_one_that_was_cut_off_while_trying_blocks_nobody_for_ever() {
        let breaker = breaker(1);
        let mut now = Instant::now();
        breaker.failed(now);
        for _ in 0..10 {
            now += PAUSE_MAX;
            breaker.enter(now).expect("one may try");
            breaker.failed(now);
        }
        assert_eq!(breaker.enter(now).expect_err("open"), PAUSE_MAX);
        now += PAUSE_MAX;
        breaker.enter(now).expect("one may try, and is cut off");
        assert!(breaker.enter(now + PAUSE_MAX).is_err());
        assert!(breaker.enter(now + PAUSE_MAX + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn without_a_number_it_never_opens() {
        let breaker = breaker(0);
        for _ in 0..1_000 {
            breaker.enter(Instant::now()).expect("closed");
            breaker.failed(Instant::now());
        }
    }
}
