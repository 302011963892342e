//! Events, read in the worker from the raw bytes that the API stored.

use serde::Deserialize;
use stripe_shared::PaymentIntent;

use super::payments::read;
use crate::domain::ids::PaymentId;
use crate::domain::payment::{PaymentStatus, ProviderPayment};
use crate::domain::text_rules::PAYMENT_ID_METADATA_KEY;

/// What an event is about.
#[derive(Debug)]
pub enum Event {
    /// `payment_intent.*`
    Payment(Box<PaymentNews>),
    /// A type that we do not use, yet or at all. Holds its name.
    Other(String),
}

#[derive(Debug)]
pub struct PaymentNews {
    pub event_type: String,
    /// Our id, from the metadata. `None`: a PaymentIntent that somebody else made in this account.
    pub payment_id: Option<PaymentId>,
    pub provider_payment_id: String,
    /// The object as the event shows it, if it is in a final state: then nothing newer can contradict it.
    /// Otherwise events may come in any order, and the object must be read again.
    pub final_state: Option<ProviderPayment>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableEvent(String);

#[derive(Deserialize)]
struct Envelope {
    object: String,
    #[serde(rename = "type")]
    event_type: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    object: serde_json::Value,
}

impl Event {
    /// # Errors
    /// Says what cannot be read. The event is genuine: keep it for a person to see.
    pub fn parse(body: &[u8]) -> Result<Self, UnreadableEvent> {
        let unreadable = |error: serde_json::Error| UnreadableEvent(format!("the envelope: {error}"));
        let envelope: Envelope = serde_json::from_slice(body).map_err(unreadable)?;
        if envelope.object != "event" {
            return Err(UnreadableEvent(format!("`{}` is not a snapshot event", envelope.object)));
        }
        if !envelope.event_type.starts_with("payment_intent.") {
            return Ok(Self::Other(envelope.event_type));
        }
        let object = envelope.data.ok_or_else(|| UnreadableEvent("it has no data".to_owned()))?.object;
        let intent: PaymentIntent = miniserde::json::from_str(&object.to_string())
            .map_err(|_| UnreadableEvent(format!("the PaymentIntent of a {}", envelope.event_type)))?;
        let seen = read(&intent).ok();
        Ok(Self::Payment(Box::new(PaymentNews {
            event_type: envelope.event_type,
            payment_id: intent.metadata.get(PAYMENT_ID_METADATA_KEY).and_then(|id| id.parse().ok()),
            provider_payment_id: intent.id.to_string(),
            final_state: seen.filter(|p| matches!(p.status, PaymentStatus::Succeeded | PaymentStatus::Canceled)),
        })))
    }

    /// The provider's id of an event; of a body that has none, its digest, so that it too is stored once.
    #[must_use]
    pub fn id_of(body: &[u8]) -> String {
        use sha2::{Digest as _, Sha256};
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        match serde_json::from_slice::<Id>(body) {
            Ok(Id { id }) if (1..=255).contains(&id.len()) && !id.contains('\0') => id,
            Ok(_) | Err(_) => format!("sha256:{}", hex::encode(Sha256::digest(body))),
        }
    }
}
