//! Which trace the work at hand belongs to (W3C Trace Context): taken from a request, kept with the jobs that it makes,
//! taken up again by whoever runs them.

use std::cell::Cell;
use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::domain::ids::PaymentId;

tokio::task_local! {
    static CURRENT: Work;
}

struct Work {
    trace: Trace,
    /// The payment that the log says is worked on.
    payment: Cell<Option<PaymentId>>,
}

/// A place in a trace. As text it is a `traceparent`, version `00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace_id: u128,
    /// The span within it.
    span_id: u64,
    flags: u8,
}

impl Trace {
    /// The first of a trace of our own.
    #[must_use]
    pub fn begin() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: rand::random::<u64>().max(1), flags: 1 }
    }

    /// One that follows from it.
    #[must_use]
    pub fn follow(self) -> Self {
        Self { span_id: rand::random::<u64>().max(1), ..self }
    }

    /// `None`: it is no `traceparent`, and whoever got it begins a trace of its own.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut next = |length: usize| {
            let part = parts.next()?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (part.len() == length && is_hex).then_some(part)
        };
        let (version, trace_id, span_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // Later versions may add to the end; this one may not.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span_id, 16).ok().filter(|id| *id != 0)?;
        Some(Self { trace_id, span_id, flags: u8::from_str_radix(flags, 16).ok()? })
    }

    /// The id of the whole trace, 32 digits: what all log lines of it have in common.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The place of a new span, which follows from `parent` or begins a trace; the span's fields `trace.id` and, later,
    /// `payment.id` and `payment.trace` are filled in. Where spans are exported it is the exported one.
    #[must_use]
    pub fn of(span: &Span, parent: Option<Self>) -> Self {
        if let Some(parent) = parent {
            // Fails only where the span was told before.
            let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent.remote()));
        }
        let own = span.context();
        let own = own.span().span_context().clone();
        let trace = if own.is_valid() {
            Self {
                trace_id: u128::from_be_bytes(own.trace_id().to_bytes()),
                span_id: u64::from_be_bytes(own.span_id().to_bytes()),
                flags: own.trace_flags().to_u8(),
            }
        } else {
            parent.map_or_else(Self::begin, Self::follow)
        };
        span.record("trace.id", trace.id());
        trace
    }

    /// As the exporter knows it.
    fn remote(self) -> SpanContext {
        SpanContext::new(
            TraceId::from(self.trace_id),
            SpanId::from(self.span_id),
            TraceFlags::new(self.flags),
            true,
            TraceState::default(),
        )
    }

    /// Runs `work` as a part of the trace.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(Work { trace: self, payment: Cell::new(None) }, work).await
    }

    /// The one that the task at hand belongs to.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|work| work.trace).ok()
    }
}

/// Tells the log which payment the work at hand is about, and in which trace it was asked for, if that is another one: so a
/// webhook that settles a payment is found from the request that made it.
pub(crate) fn works_on(payment: PaymentId, asked_for_in: Option<Trace>) {
    let _ = CURRENT.try_with(|work| {
        if work.payment.replace(Some(payment)) == Some(payment) {
            return;
        }
        let span = Span::current();
        span.record("payment.id", tracing::field::display(payment));
        if let Some(trace) = asked_for_in.filter(|trace| trace.trace_id != work.trace.trace_id) {
            span.record("payment.trace", trace.id());
            span.add_link(trace.remote());
        }
    });
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let trace = Trace::parse(GIVEN).expect("a trace");
        assert_eq!((trace.to_string().as_str(), trace.id().as_str()), (GIVEN, "4bf92f3577b34da6a3ce929d0e0e4736"));
        let next = trace.follow();
        assert_eq!(next.id(), trace.id());
        assert_ne!(next, trace);
        assert_eq!(Trace::parse(&next.to_string()), Some(next));
        assert_ne!(Trace::begin().id(), Trace::begin().id());
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("{}-more", GIVEN.replacen("00", "01", 1));
        assert_eq!(Trace::parse(&later), Trace::parse(GIVEN));
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }
}
