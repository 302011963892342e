//! Events, read in the worker from the raw bytes that the API stored.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::api_version;
use super::payments::read;
use super::read::{id_of, metadata_id, text};
use crate::domain::ids::{PaymentId, RefundId, SetupId, SubscriptionId};
use crate::domain::payment::ProviderPayment;
use crate::domain::provider_event::EventLabel;
use crate::domain::text_rules::{
    PAYMENT_ID_METADATA_KEY, REFUND_ID_METADATA_KEY, SETUP_ID_METADATA_KEY, SUBSCRIPTION_ID_METADATA_KEY,
};
use crate::domain::transitions::Transitions as _;

#[derive(Debug)]
pub struct Event {
    pub event_type: String,
    pub api_version: Option<String>,
    pub subject: Subject,
}

/// What an event is about: Stripe's id, and ours where the object carries it in its metadata.
#[derive(Debug)]
pub enum Subject {
    Payment {
        provider_payment_id: String,
        payment_id: Option<PaymentId>,
        /// The object as the event shows it, if it is in a final state and of our version: then nothing newer can
        /// contradict it. Otherwise events may come in any order, and the object must be read again.
        final_state: Option<Box<ProviderPayment>>,
    },
    Refund {
        provider_refund_id: String,
        provider_payment_id: Option<String>,
        refund_id: Option<RefundId>,
    },
    Dispute {
        provider_dispute_id: String,
        provider_payment_id: Option<String>,
    },
    Subscription {
        provider_subscription_id: String,
        subscription_id: Option<SubscriptionId>,
    },
    Invoice {
        provider_invoice_id: String,
    },
    Setup {
        provider_setup_id: String,
        setup_id: Option<SetupId>,
    },
    PaymentMethod {
        provider_payment_method_id: String,
    },
    CustomerDeleted {
        provider_customer_id: String,
    },
    /// A type that we do not use: another one tells the same, or it does not concern us.
    Unused,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableEvent(String);

#[derive(Deserialize)]
struct Envelope {
    object: String,
    #[serde(rename = "type")]
    event_type: String,
    api_version: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
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
        let (event_type, version) = (envelope.event_type, envelope.api_version);
        let subject = match (kind(&event_type), envelope.data) {
            (Kind::Unused, _) => Subject::Unused,
            (_, None) => return Err(UnreadableEvent("it has no data".to_owned())),
            (kind, Some(data)) => {
                let ours = version.as_deref() == Some(api_version());
                subject(kind, &data.object, ours)
                    .ok_or_else(|| UnreadableEvent(format!("the object of a {event_type}")))?
            }
        };
        Ok(Self { event_type, api_version: version, subject })
    }

    /// What can be told of an event at the door. One without an id of its own has its digest, so that it too is stored
    /// once.
    #[must_use]
    pub fn label(body: &[u8]) -> EventLabel {
        let top: Top<'_> = serde_json::from_slice(body).unwrap_or_default();
        let short = |field: Option<&RawValue>| {
            let text = field.and_then(|field| serde_json::from_str::<String>(field.get()).ok());
            text.filter(|text| (1..=255).contains(&text.len()) && !text.contains('\0'))
        };
        EventLabel {
            provider_event_id: short(top.id).unwrap_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(body)))),
            event_type: short(top.r#type),
            api_version: short(top.api_version),
            // What has no type, or is no event of the kind that we know, is a worker's, who says so.
            used: short(top.object).as_deref() != Some("event")
                || short(top.r#type).is_none_or(|event_type| !matches!(kind(&event_type), Kind::Unused)),
        }
    }
}

/// The fields of an event that its label is made of, whatever is in them. The rest is not even unpacked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Top<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    api_version: Option<&'a RawValue>,
}

/// The types that we use, and what the webhook endpoint at Stripe is to be sent. Others do no harm: they are kept, and that
/// is all. (`docs/deployment.md`, Upgrade, has what is to be done where a release uses more.)
pub const EVENT_TYPES: &[&str] = &[
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refund.updated",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.voided",
    "invoice_payment.paid",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "setup_intent.canceled",
    "setup_intent.created",
    "setup_intent.requires_action",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
];

#[derive(Clone, Copy)]
enum Kind {
    Payment,
    Refund,
    Dispute,
    Subscription,
    Invoice,
    InvoicePayment,
    Setup,
    PaymentMethod,
    CustomerDeleted,
    Unused,
}

/// Source: <https://docs.stripe.com/api/events/types>. Unused are, among others, `charge.*` but disputes (the PaymentIntent
/// tells), `customer.created` and `.updated`, payouts, checkout sessions, early fraud warnings, what tells of an invoice
/// for the second time (`invoice.updated`, `.payment_succeeded`), and what cannot be read again (`invoice.upcoming`).
fn kind(event_type: &str) -> Kind {
    match event_type {
        _ if EVENT_TYPES.binary_search(&event_type).is_err() => Kind::Unused,
        "customer.deleted" => Kind::CustomerDeleted,
        "charge.refund.updated" => Kind::Refund,
        "invoice_payment.paid" => Kind::InvoicePayment,
        _ if event_type.starts_with("payment_intent.") => Kind::Payment,
        _ if event_type.starts_with("refund.") => Kind::Refund,
        _ if event_type.starts_with("charge.dispute.") => Kind::Dispute,
        _ if event_type.starts_with("customer.subscription.") => Kind::Subscription,
        _ if event_type.starts_with("invoice.") => Kind::Invoice,
        _ if event_type.starts_with("setup_intent.") => Kind::Setup,
        _ if event_type.starts_with("payment_method.") => Kind::PaymentMethod,
        _ => Kind::Unused,
    }
}

fn subject(kind: Kind, object: &Value, our_version: bool) -> Option<Subject> {
    let id = text(object, "id")?;
    Some(match kind {
        Kind::Payment => {
            // All of it must be readable: what is not is for a person to see.
            let seen = read(object).ok()?;
            let final_state = (our_version && seen.status.is_final()).then(|| Box::new(seen));
            let payment_id = metadata_id(object, PAYMENT_ID_METADATA_KEY);
            Subject::Payment { provider_payment_id: id, payment_id, final_state }
        }
        Kind::Refund => Subject::Refund {
            provider_refund_id: id,
            provider_payment_id: id_of(object, "payment_intent"),
            refund_id: metadata_id(object, REFUND_ID_METADATA_KEY),
        },
        Kind::Dispute => {
            Subject::Dispute { provider_dispute_id: id, provider_payment_id: id_of(object, "payment_intent") }
        }
        Kind::Subscription => {
            let subscription_id = metadata_id(object, SUBSCRIPTION_ID_METADATA_KEY);
            Subject::Subscription { provider_subscription_id: id, subscription_id }
        }
        Kind::Invoice => Subject::Invoice { provider_invoice_id: id },
        Kind::InvoicePayment => Subject::Invoice { provider_invoice_id: id_of(object, "invoice")? },
        Kind::Setup => Subject::Setup { provider_setup_id: id, setup_id: metadata_id(object, SETUP_ID_METADATA_KEY) },
        Kind::PaymentMethod => Subject::PaymentMethod { provider_payment_method_id: id },
        Kind::CustomerDeleted => Subject::CustomerDeleted { provider_customer_id: id },
        Kind::Unused => Subject::Unused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_asked_for_is_used() {
        for event_type in EVENT_TYPES {
            assert!(!matches!(kind(event_type), Kind::Unused), "{event_type}");
        }
        assert!(EVENT_TYPES.is_sorted());
    }

    #[test]
    fn what_the_endpoint_is_not_sent_makes_no_work() {
        let used = |body: &str| Event::label(body.as_bytes()).used;
        for unused in ["charge.succeeded", "invoice.updated", "invoice.payment_succeeded", "payment_intent.", "x"] {
            assert!(!used(&format!(r#"{{"object":"event","type":"{unused}"}}"#)), "{unused}");
        }
        let looked_at = [
            r#"{"object":"event","type":"payment_intent.succeeded"}"#,
            r#"{"object":"v2.core.event","type":"charge.succeeded"}"#,
            r#"{"object":"event","type":7}"#,
            r#"{"object":"event"}"#,
            "[]",
        ];
        for body in looked_at {
            assert!(used(body), "{body}");
        }
    }
}
