//! Faults on demand: what goes wrong, at which operation, how often.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stripe;

/// The operations that faults can be set on, besides `*` and the types of events.
pub const OPERATIONS: [&str; stripe::operations().len()] = stripe::operations();

/// As it is sent to `POST /_control/faults`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// One of [`OPERATIONS`]; for `webhook:…` the type of an event; or `*`.
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
            ("webhook", Some("duplicate")) => Ok(Self::WebhookDuplicate),
            ("webhook", Some("delay")) => Ok(Self::WebhookDelay),
            ("webhook", Some("reorder")) => Ok(Self::WebhookReorder),
            ("webhook", Some("lose")) => Ok(Self::WebhookLose),
            ("webhook", Some("twin")) => Ok(Self::WebhookTwin),
            _ => Err(format!(
                "`{text}` is no mode: delay_ms:N, error_before:STATUS, error_after:STATUS, drop_before, drop_after, \
                 gateway:STATUS, rate_limit, webhook:duplicate, webhook:delay, webhook:reorder, webhook:lose, \
                 webhook:twin"
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
    pub fn add(&mut self, fault: Fault) -> Result<(), String> {
        let mode: Mode = fault.mode.parse()?;
        let known = fault.operation == "*"
            || if mode.is_webhook() {
                fault.operation.contains('.')
            } else {
                OPERATIONS.contains(&fault.operation.as_str())
            };
        if !known {
            return Err(format!("`{}` is no operation: *, {}", fault.operation, OPERATIONS.join(", ")));
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

    #[must_use]
    pub fn pending(&self) -> Vec<Fault> {
        self.pending.iter().map(|(fault, _)| fault.clone()).collect()
    }
}
