//! Faults on demand: what goes wrong, at which operation, how often.

use std::str::FromStr;
use std::time::Duration;

use poem::Response;
use poem::http::StatusCode;
use serde::{Deserialize, Serialize};

/// What faults can be set on in one simulator, besides `*`.
pub(crate) struct Operations {
    pub(crate) names: &'static [&'static str],
    /// Whether a `webhook:` mode can be set on that name.
    pub(crate) tells: fn(Mode, &str) -> bool,
}

/// As it is sent to `POST /_control/faults`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// An operation of the simulator; for `webhook:…` what it tells of (Stripe: the type of an event, Swish: `payments` or
    /// `refunds`); or `*`.
    pub operation: String,
    /// See [`Mode`].
    pub mode: String,
    /// How many times it happens.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `delay_ms:N`: the operation takes so much longer.
    Delay(Duration),
    /// `error_before:500`: fails before the operation began; nothing is stored, the key may be sent again.
    ErrorBefore(u16),
    /// `error_after:500`: the operation is carried out, then fails; the failure is stored under the key.
    ErrorAfter(u16),
    /// `drop_before`: the connection is cut before the operation began.
    DropBefore,
    /// `drop_after`: the operation is carried out and stored, then the connection is cut.
    DropAfter,
    /// `gateway:502`: a proxy's HTML page with that status; nothing was done.
    Gateway(u16),
    /// `rate_limit`: 429; nothing is stored.
    RateLimit,
    /// `garbage`: 200 with a body that is no JSON; nothing was done.
    Garbage,
    /// `garbage_after`: the operation is carried out, then answered like that.
    GarbageAfter,
    /// `webhook:duplicate`: the event is sent twice.
    WebhookDuplicate,
    /// `webhook:delay`: the event is sent two seconds late.
    WebhookDelay,
    /// `webhook:reorder`: the event is sent after the next one (or after two seconds).
    WebhookReorder,
    /// `webhook:lose`: the event is never sent.
    WebhookLose,
    /// `webhook:twin`: the same change is sent under two ids of events.
    WebhookTwin,
}

impl Mode {
    #[must_use]
    pub fn is_webhook(self) -> bool {
        matches!(
            self,
            Self::WebhookDuplicate | Self::WebhookDelay | Self::WebhookReorder | Self::WebhookLose | Self::WebhookTwin
        )
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, argument) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let status = || {
            argument
                .and_then(|status| status.parse().ok())
                .filter(|status| (400..600).contains(status))
                .ok_or_else(|| format!("`{text}` needs a status from 400 to 599"))
        };
        match (name, argument) {
            ("delay_ms", Some(ms)) => {
                ms.parse().map(|ms| Self::Delay(Duration::from_millis(ms))).map_err(|_| format!("`{ms}` is no number"))
            }
            ("error_before", _) => status().map(Self::ErrorBefore),
            ("error_after", _) => status().map(Self::ErrorAfter),
            ("gateway", _) => status().map(Self::Gateway),
            ("drop_before", None) => Ok(Self::DropBefore),
            ("drop_after", None) => Ok(Self::DropAfter),
            ("rate_limit", None) => Ok(Self::RateLimit),
            ("garbage", None) => Ok(Self::Garbage),
            ("garbage_after", None) => Ok(Self::GarbageAfter),
            ("webhook", Some("duplicate")) => Ok(Self::WebhookDuplicate),
            ("webhook", Some("delay")) => Ok(Self::WebhookDelay),
            ("webhook", Some("reorder")) => Ok(Self::WebhookReorder),
            ("webhook", Some("lose")) => Ok(Self::WebhookLose),
            ("webhook", Some("twin")) => Ok(Self::WebhookTwin),
            _ => Err(format!(
                "`{text}` is no mode: delay_ms:N, error_before:STATUS, error_after:STATUS, drop_before, drop_after, \
                 gateway:STATUS, rate_limit, garbage, garbage_after, webhook:duplicate, webhook:delay, \
                 webhook:reorder, webhook:lose, webhook:twin"
            )),
        }
    }
}

/// The faults that are still to happen.
#[derive(Debug, Default)]
pub struct Faults {
    pending: Vec<(Fault, Mode)>,
}

impl Faults {
    /// # Errors
    /// An operation or a mode that does not exist: then nothing would ever happen.
    pub(crate) fn add(&mut self, fault: Fault, operations: &Operations) -> Result<(), String> {
        let mode: Mode = fault.mode.parse()?;
        let name = fault.operation.as_str();
        let known = if mode.is_webhook() {
            (operations.tells)(mode, name)
        } else {
            name == "*" || operations.names.contains(&name)
        };
        if !known {
            return Err(format!("`{}` cannot be set on `{name}`: *, {}", fault.mode, operations.names.join(", ")));
        }
        self.pending.push((fault, mode));
        Ok(())
    }

    /// The first fault that is set for the operation, which is one fewer then.
    pub(crate) fn take(&mut self, operation: &str, webhook: bool) -> Option<Mode> {
        let index = self.pending.iter().position(|(fault, mode)| {
            mode.is_webhook() == webhook && (fault.operation == "*" || fault.operation == operation)
        })?;
        let (fault, mode) = self.pending.get_mut(index)?;
        let mode = *mode;
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            self.pending.remove(index);
        }
        Some(mode)
    }

    /// Takes back what is still to happen.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    #[must_use]
    pub fn pending(&self) -> Vec<Fault> {
        self.pending.iter().map(|(fault, _)| fault.clone()).collect()
    }
}

/// Ends the connection without an answer: the server's task for it unwinds, and with it the socket closes.
pub(crate) fn cut_connection() -> ! {
    std::panic::resume_unwind(Box::new("the connection is cut, as a fault asked for"))
}

/// A page of something that stands between the caller and the provider.
pub(crate) fn gateway(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
    Response::builder().status(status).content_type("text/html").body(page)
}

/// An answer that says it is fine and is none.
pub(crate) fn nonsense() -> Response {
    Response::builder().content_type("application/json").body("[\"%\u{fffd}\u{1}")
}
