//! Payments as they look on the wire.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use shared::domain::ids::{CustomerId, PaymentId, UserId};
use shared::domain::money::Money;
use shared::domain::payment::{
    self, CancelReason as Reason, CaptureMethod as Method, Payment, PaymentStatus as Status,
};
use shared::domain::text_rules::{check_statement_descriptor, check_text};
use shared::domain::timeline::TimelineEntry;
use shared::trace::Trace;
use uuid::Uuid;

use super::swish::{self, CreateSwish, Swish};
use crate::paging::page;
use crate::problem::{FieldError, Problem};
use crate::wire::{Failure, OperationBody, Provider, chargeable, metadata_errors, wire_enum};

wire_enum! {
    /// When the money is taken.
    CaptureMethod is Method {
        /// At once.
        Automatic,
        /// By a capture, later: it is held until then.
        Manual,
    }
}

fn automatic() -> CaptureMethod {
    CaptureMethod::Automatic
}

wire_enum! {
    CancelReason is Reason { Duplicate, Fraudulent, RequestedByCustomer, Abandoned }
}

/// A payment to be made.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreatePayment {
    pub provider: Provider,
    /// In the currency's minor unit.
    #[oai(validator(minimum(value = "1"), maximum(value = "999999999999")))]
    pub amount: i64,
    /// An ISO 4217 code, for example `sek`.
    #[oai(validator(pattern = "^[A-Za-z]{3}$"))]
    pub currency: String,
    /// For your own books and the provider's dashboard.
    #[oai(validator(max_length = 1000))]
    pub description: Option<String>,
    /// What the payer reads on the bank statement, after the account's own prefix: 5 to 22 ASCII characters with a
    /// letter, none of `< > \ ' " *`.
    #[oai(validator(min_length = 5, max_length = 22))]
    pub statement_descriptor: Option<String>,
    #[serde(default = "automatic")]
    #[oai(default = "automatic")]
    pub capture_method: CaptureMethod,
    /// A payment method at Stripe (`pm_…`), saved or new: the payment is confirmed with it at once.
    #[oai(validator(pattern = "^pm_[A-Za-z0-9_]{1,252}$"))]
    pub payment_method: Option<String>,
    /// The payer is not there: charge the saved `payment_method` without asking. Only with one that the user has saved.
    #[serde(default)]
    #[oai(default)]
    pub off_session: bool,
    /// Where the payer comes back to from a bank's page (Stripe, with `payment_method`) or from the app (Swish): a web page,
    /// which may be a link that an app opens.
    #[oai(validator(max_length = 2048, pattern = "^https?://"))]
    pub return_url: Option<String>,
    /// Only with the provider `swish`.
    pub swish: Option<CreateSwish>,
    /// Up to 48 pairs of your own: keys of up to 40 characters, values of up to 500.
    #[serde(default)]
    #[oai(default)]
    pub metadata: HashMap<String, String>,
}

/// A [`CreatePayment`] that can be accepted.
pub(super) struct WantedPayment {
    money: Money,
    body: CreatePayment,
}

impl CreatePayment {
    /// All that is wrong with it, not only the first.
    pub(super) fn check(self) -> Result<WantedPayment, Problem> {
        let mut errors = Vec::new();
        let money = chargeable(self.amount, &self.currency, &mut errors);
        let mut fault = |pointer: &str, detail: String| {
            errors.push(FieldError { pointer: pointer.to_owned(), detail });
        };
        if let Some(Err(detail)) = self.description.as_deref().map(|text| check_text(text, 1_000)) {
            fault("/description", detail);
        }
        if let Some(Err(detail)) = self.statement_descriptor.as_deref().map(check_statement_descriptor) {
            fault("/statement_descriptor", detail);
        }
        if self.payment_method.as_deref().is_some_and(|id| !is_payment_method_id(id)) {
            fault("/payment_method", "must be `pm_` and letters, digits and underscores, 255 at most".to_owned());
        }
        if let Some(url) = &self.return_url {
            if !is_web_url(url) {
                fault("/return_url", "must be an absolute http or https URL of at most 2048 characters".to_owned());
            } else if self.payment_method.is_none() && self.provider == Provider::Stripe {
                fault("/return_url", "is only used together with payment_method".to_owned());
            }
        }
        if self.off_session && self.payment_method.is_none() {
            fault("/payment_method", "is needed when the payer is not there".to_owned());
        }
        if self.swish.is_some() && self.provider == Provider::Stripe {
            fault("/swish", "is only for the provider swish".to_owned());
        }
        errors.extend(metadata_errors(&self.metadata));
        let beyond =
            if self.provider == Provider::Swish { swish::check(&self, money, &mut errors) } else { Vec::new() };
        match money {
            Some(money) if errors.is_empty() && beyond.is_empty() => Ok(WantedPayment { money, body: self }),
            _ if errors.is_empty() => Err(Problem::not_supported(beyond)),
            _ => Err(Problem::invalid(errors)),
        }
    }
}

pub(crate) fn is_payment_method_id(id: &str) -> bool {
    // Whatever else is put there by mistake, a card's number say, is not even stored.
    id.starts_with("pm_") && (4..=255).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_web_url(text: &str) -> bool {
    // The parser takes away what is around it, but it is kept as it came.
    let plain = text.len() <= 2_048 && !text.chars().any(char::is_control);
    plain && url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

impl WantedPayment {
    pub(super) fn into_payment(self, user_id: UserId, customer_id: CustomerId, now: DateTime<Utc>) -> Payment {
        let body = self.body;
        Payment {
            id: PaymentId::generate(),
            user_id,
            customer_id,
            subscription_id: None,
            provider: body.provider.into(),
            provider_payment_id: None,
            status: payment::PaymentStatus::Pending,
            retryable: false,
            money: self.money,
            amount_capturable: 0,
            amount_captured: 0,
            amount_refunded: 0,
            amount_disputed: 0,
            capture_method: body.capture_method.into(),
            description: body.description,
            statement_descriptor: body.statement_descriptor,
            payment_method: body.payment_method,
            off_session: body.off_session,
            return_url: body.return_url,
            swish: (body.provider == Provider::Swish).then(|| swish::details(body.swish)),
            client_secret: None,
            next_action: None,
            failure: None,
            last_operation: None,
            outcome_unknown_since: None,
            metadata: body.metadata.into_iter().collect(),
            version: 1,
            created_at: now,
            updated_at: now,
            completed_at: None,
            expires_at: None,
            trace: Trace::current(),
        }
    }
}

wire_enum! {
    PaymentStatus is Status {
        /// Accepted; the provider has not answered yet.
        Pending,
        /// The provider is at it.
        Processing,
        /// The payer must do something: see `next_action`.
        RequiresAction,
        /// Authorised; the money waits to be captured until `expires_at`.
        RequiresCapture,
        Succeeded,
        /// The last attempt failed; `retryable` says whether the payer may try again.
        Failed,
        Canceled,
    }
}

/// A payment.
#[derive(Debug, Object)]
#[oai(rename = "Payment")]
pub struct PaymentBody {
    pub id: Uuid,
    pub provider: Provider,
    /// The provider's id (`pi_…`, Swish's instruction); null until the provider has answered.
    pub provider_payment_id: Option<String>,
    pub status: PaymentStatus,
    /// Whether the payer may try again after a failure. The payment may still succeed.
    pub retryable: bool,
    /// In the currency's minor unit.
    pub amount: i64,
    pub currency: String,
    /// What is held and can be captured.
    pub amount_capturable: i64,
    pub amount_captured: i64,
    /// The sum of the refunds that have not failed.
    pub amount_refunded: i64,
    /// What disputes have taken back and not returned.
    pub amount_disputed: i64,
    pub capture_method: CaptureMethod,
    pub description: Option<String>,
    pub statement_descriptor: Option<String>,
    pub customer_id: Uuid,
    /// The subscription that made it, if one did.
    pub subscription_id: Option<Uuid>,
    pub payment_method: Option<String>,
    pub off_session: bool,
    /// Set where the provider is `swish`.
    pub swish: Option<Swish>,
    /// Stripe: for the payer's browser only, confirms the payment there.
    pub client_secret: Option<String>,
    /// What the payer has to do, by its `type`: `provide_payment_method`, `confirm`, `redirect_to_url`, `use_stripe_sdk`;
    /// with Swish `approve_in_swish_app`, or `open_swish_app` with its link and QR code under `swish`.
    pub next_action: Option<serde_json::Value>,
    pub failure: Option<Failure>,
    /// The last capture or cancellation that was asked for.
    pub last_operation: Option<OperationBody>,
    /// Since when we do not know whether the provider carried out a call of ours. We are finding out.
    pub outcome_unknown_since: Option<DateTime<Utc>>,
    pub metadata: HashMap<String, String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    /// Until when the money is held, or the payer can approve (Swish).
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<Payment> for PaymentBody {
    fn from(payment: Payment) -> Self {
        let next_action = swish::next_action(&payment);
        Self {
            id: payment.id.0,
            provider: payment.provider.into(),
            provider_payment_id: payment.provider_payment_id,
            status: payment.status.into(),
            retryable: payment.retryable,
            amount: payment.money.minor,
            currency: payment.money.currency.code(),
            amount_capturable: payment.amount_capturable,
            amount_captured: payment.amount_captured,
            amount_refunded: payment.amount_refunded,
            amount_disputed: payment.amount_disputed,
            capture_method: payment.capture_method.into(),
            description: payment.description,
            statement_descriptor: payment.statement_descriptor,
            customer_id: payment.customer_id.0,
            subscription_id: payment.subscription_id.map(|id| id.0),
            payment_method: payment.payment_method,
            off_session: payment.off_session,
            // Swish's token is in `next_action`, as long as it is of use.
            client_secret: match payment.swish {
                Some(_) => None,
                None => payment.client_secret.map(|secret| secret.expose_secret().to_owned()),
            },
            swish: payment.swish.map(Into::into),
            next_action,
            failure: payment.failure.map(Into::into),
            last_operation: payment.last_operation.map(Into::into),
            outcome_unknown_since: payment.outcome_unknown_since,
            metadata: payment.metadata.into_iter().collect(),
            created_at: payment.created_at,
            updated_at: payment.updated_at,
            completed_at: payment.completed_at,
            expires_at: payment.expires_at,
        }
    }
}

page! {
    /// A page of payments.
    PaymentList of PaymentBody, cursor Uuid
}

/// How much to capture.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapturePayment {
    /// In the currency's minor unit; all that is held if it is left out. The rest is released.
    #[oai(validator(minimum(value = "1"), maximum(value = "999999999999")))]
    pub amount: Option<i64>,
}

/// Why to cancel.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelPayment {
    pub reason: Option<CancelReason>,
}

/// The steps of a payment, oldest first.
#[derive(Debug, Object)]
pub struct Timeline {
    pub data: Vec<TimelineStep>,
}

/// A step of a payment.
#[derive(Debug, Object)]
pub struct TimelineStep {
    /// The payment's status after the step.
    pub status: String,
    /// Who or what caused it: `api`, `job`, `webhook` or `admin`.
    pub actor: String,
    /// The id of the request, the name of the job, or the id of the provider's event.
    pub cause: String,
    /// What happened, for people.
    pub detail: String,
    pub created_at: DateTime<Utc>,
}

impl From<TimelineEntry> for TimelineStep {
    fn from(entry: TimelineEntry) -> Self {
        Self {
            status: entry.status,
            actor: entry.actor,
            cause: entry.cause,
            detail: entry.detail,
            created_at: entry.created_at,
        }
    }
}
