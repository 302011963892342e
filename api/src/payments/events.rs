//! `GET /api/payments/{id}/events`: the payment, and again each time that it has changed, as server-sent events.
//!
//! A stream keeps nothing but the version that it sent last; a client that comes back names it (`Last-Event-ID`). There
//! is no task behind it: what waits is the body of the answer, and it is gone with the connection. That a client is gone
//! shows when the server writes in vain, half a minute later at most. A stream ends with the token that it was asked with.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::stream;
use poem::http::header;
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::EventStream;
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::types::ToJSON as _;
use shared::domain::ids::PaymentId;
use shared::domain::payment::Payment;
use shared::store::payments;

use super::dto::PaymentBody;
use crate::auth::Claims;
use crate::problem::Problem;
use crate::state::State;

/// How often a stream says something, so that nobody in between takes it for dead. It reads anew as often: the net under
/// the wake-ups, for when Redis is away.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) struct PaymentEvents(Body);

/// What the document says of it.
type Documented = EventStream<stream::BoxStream<'static, PaymentBody>>;

pub(super) async fn payment_events(
    state: Arc<State>,
    user: Claims,
    id: PaymentId,
    last_event_id: Option<&str>,
) -> Result<PaymentEvents, Problem> {
    let payment = payments::find(&state.db, &user.id, id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    let known = last_event_id.is_some_and(|last| last.trim() == payment.version.to_string());
    let first = if known { None } else { Some(event(&payment)) };
    let watched = Watched { state, user, id, seen: payment.version };
    let events = stream::unfold((first, watched), async |(first, mut watched)| {
        let text = match first {
            Some(first) => first,
            None => watched.next().await?,
        };
        Some((Ok::<_, std::io::Error>(text), (None, watched)))
    });
    Ok(PaymentEvents(Body::from_bytes_stream(events)))
}

struct Watched {
    state: Arc<State>,
    user: Claims,
    id: PaymentId,
    /// The version that the client has.
    seen: i32,
}

impl Watched {
    /// What is sent next. `None`: the service stops, or the token has run out.
    async fn next(&mut self) -> Option<String> {
        // Before the look, or a change in between is missed.
        let mut waiter = self.state.waiting.register(self.id.0, Some(KEEP_ALIVE))?;
        loop {
            if self.state.waiting.is_closed() || Utc::now().timestamp() > self.user.expires {
                return None;
            }
            match payments::find(&self.state.db, &self.user.id, self.id).await {
                Ok(payment) => {
                    let payment = payment?;
                    if payment.version != self.seen {
                        self.seen = payment.version;
                        return Some(event(&payment));
                    }
                }
                Err(error) => tracing::debug!(%error, "a stream of events could not read"),
            }
            if !waiter.changed_in_time().await {
                return Some(": keep-alive\n\n".to_owned());
            }
        }
    }
}

fn event(payment: &Payment) -> String {
    let body = PaymentBody::from(payment.clone());
    format!("event: payment\nid: {}\ndata: {}\n\n", payment.version, body.to_json_string())
}

impl IntoResponse for PaymentEvents {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("text/event-stream")
            // It has what only the payer may see.
            .header(header::CACHE_CONTROL, "private, no-store")
            // nginx would hold it back.
            .header("X-Accel-Buffering", "no")
            .body(self.0)
    }
}

impl ApiResponse for PaymentEvents {
    fn meta() -> MetaResponses {
        let mut meta = Documented::meta();
        for response in &mut meta.responses {
            response.description = "Events named `payment`: the payment as JSON, and its version as the event's id.";
        }
        meta
    }

    fn register(registry: &mut Registry) {
        <Documented as ApiResponse>::register(registry);
    }
}
