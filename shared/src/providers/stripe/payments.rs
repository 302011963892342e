//! PaymentIntents: what we ask of Stripe, and what its answers mean in our words.

use std::collections::HashMap;

use chrono::DateTime;
use secrecy::SecretString;
use serde_json::Value;
use stripe_client_core::StripeRequest as _;
use stripe_core::payment_intent::{
    CancelPaymentIntent, CancelPaymentIntentCancellationReason, CapturePaymentIntent, CreatePaymentIntent,
    CreatePaymentIntentAutomaticPaymentMethods,
    CreatePaymentIntentAutomaticPaymentMethodsAllowRedirects as AllowRedirects, CreatePaymentIntentOffSession,
    ListPaymentIntent, RetrievePaymentIntent,
};

use super::read::{Page, id_of, integer, money, required, text, time};
use super::transport::{Refusal, unreadable};
use super::{LOOK_UP_PAGES_MAX, Stripe, too_many};
use crate::domain::evidence::Failure;
use crate::domain::ids::PaymentId;
use crate::domain::money::Money;
use crate::domain::payment::{CancelReason, CaptureMethod, Payment, PaymentStatus, ProviderPayment};
use crate::domain::text_rules::PAYMENT_ID_METADATA_KEY;
use crate::providers::ProviderError;

/// What a call gave, with Stripe's `Request-Id`.
#[derive(Debug)]
pub struct Answer<T> {
    pub value: T,
    pub request_id: Option<String>,
}

/// A payment to be made, all of it from the payment's row: a retry sends the same parameters, as the key demands.
#[derive(Debug)]
pub struct NewPayment<'a> {
    pub payment: &'a Payment,
    pub stripe_customer_id: &'a str,
    /// The id of the attempt.
    pub idempotency_key: String,
}

impl Stripe {
    /// `POST /v1/payment_intents`, confirmed at once where the payment has a payment method.
    /// A decline is an answer: a failed payment.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_payment(&self, new: &NewPayment<'_>) -> Result<Answer<ProviderPayment>, ProviderError> {
        let call = self.transport.call();
        match call.request(create_request(new).build(), Some(&new.idempotency_key)).await {
            Ok(intent) => Ok(Answer { value: read(&intent)?, request_id: call.request_id() }),
            Err(Refusal::Declined { error, request_id }) => declined(&error, request_id),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    /// `POST /v1/payment_intents/{id}/capture`: takes `amount` of what is held and releases the rest.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn capture_payment(
        &self,
        provider_payment_id: &str,
        amount: i64,
        key: &str,
    ) -> Result<Answer<ProviderPayment>, ProviderError> {
        let call = self.transport.call();
        let request = CapturePaymentIntent::new(provider_payment_id).amount_to_capture(amount);
        let sent = call.request(request.build(), Some(key)).await;
        Ok(Answer { value: read(&sent.map_err(refused)?)?, request_id: call.request_id() })
    }

    /// `POST /v1/payment_intents/{id}/cancel`
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn cancel_payment(
        &self,
        provider_payment_id: &str,
        reason: Option<CancelReason>,
        key: &str,
    ) -> Result<Answer<ProviderPayment>, ProviderError> {
        use CancelPaymentIntentCancellationReason as Reason;
        let mut request = CancelPaymentIntent::new(provider_payment_id);
        if let Some(reason) = reason {
            request = request.cancellation_reason(match reason {
                CancelReason::Duplicate => Reason::Duplicate,
                CancelReason::Fraudulent => Reason::Fraudulent,
                CancelReason::RequestedByCustomer => Reason::RequestedByCustomer,
                CancelReason::Abandoned => Reason::Abandoned,
            });
        }
        let call = self.transport.call();
        let sent = call.request(request.build(), Some(key)).await;
        Ok(Answer { value: read(&sent.map_err(refused)?)?, request_id: call.request_id() })
    }

    /// `GET /v1/payment_intents/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_payment(&self, provider_payment_id: &str) -> Result<Option<ProviderPayment>, ProviderError> {
        let call = self.transport.call();
        let request = RetrievePaymentIntent::new(provider_payment_id).expand(charge());
        match call.request(request.build(), None).await {
            Ok(intent) => read(&intent).map(Some),
            Err(Refusal::Error(ProviderError::Rejected { failure, .. })) if failure.code == "resource_missing" => {
                Ok(None)
            }
            Err(refusal) => Err(refused(refusal)),
        }
    }

    /// Looks a payment up by our id in its metadata, among the customer's payments, newest first.
    /// Lists, not search: Stripe's search index lags behind its writes.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn find_payment(
        &self,
        stripe_customer_id: &str,
        id: PaymentId,
    ) -> Result<Option<ProviderPayment>, ProviderError> {
        let id = id.to_string();
        let mut last: Option<String> = None;
        for _ in 0..LOOK_UP_PAGES_MAX {
            let mut request = ListPaymentIntent::new()
                .customer(stripe_customer_id)
                .limit(100)
                .expand(vec!["data.latest_charge".to_owned()]);
            if let Some(last) = &last {
                request = request.starting_after(last.clone());
            }
            let call = self.transport.call();
            let page = Page::read(call.request(request.build(), None).await.map_err(refused)?)?;
            if let Some(intent) = page.with_metadata(PAYMENT_ID_METADATA_KEY, &id) {
                return read(intent).map(Some);
            }
            last = page.next();
            if last.is_none() {
                return Ok(None);
            }
        }
        Err(too_many())
    }
}

fn create_request(new: &NewPayment<'_>) -> CreatePaymentIntent {
    let payment = new.payment;
    let mut metadata: HashMap<String, String> =
        payment.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.insert(PAYMENT_ID_METADATA_KEY.to_owned(), payment.id.to_string());
    let mut automatic = CreatePaymentIntentAutomaticPaymentMethods::new(true);
    let mut request = CreatePaymentIntent::new(payment.money.minor, stripe_currency(payment.money))
        .customer(new.stripe_customer_id)
        .expand(charge())
        .metadata(metadata);
    if payment.capture_method == CaptureMethod::Manual {
        request = request.capture_method(stripe_shared::PaymentIntentCaptureMethod::Manual);
    }
    if payment.off_session {
        request = request.off_session(CreatePaymentIntentOffSession::Bool(true));
    }
    if let Some(description) = &payment.description {
        request = request.description(description.clone());
    }
    if let Some(descriptor) = &payment.statement_descriptor {
        // Stripe refuses `statement_descriptor` for cards and appends the suffix to the account's own prefix.
        request = request.statement_descriptor_suffix(descriptor.clone());
    }
    if let Some(method) = &payment.payment_method {
        request = request.payment_method(method.clone()).confirm(true);
        match &payment.return_url {
            Some(url) => request = request.return_url(url.clone()),
            None => automatic.allow_redirects = Some(AllowRedirects::Never),
        }
    }
    request.automatic_payment_methods(automatic)
}

/// The charge tells until when the money is held.
fn charge() -> Vec<String> {
    vec!["latest_charge".to_owned()]
}

fn stripe_currency(money: Money) -> stripe_types::Currency {
    let code = money.currency.code();
    code.parse().unwrap_or(stripe_types::Currency::Unknown(code))
}

pub(super) fn refused(refusal: Refusal) -> ProviderError {
    match refusal {
        Refusal::Error(error) => error,
        Refusal::Declined { error, request_id } => {
            ProviderError::Rejected { failure: failure_from_json(&error), param: None, request_id }
        }
    }
}

/// 402: `error.payment_intent` is the PaymentIntent as the decline left it, for the payer to try again.
fn declined(error: &Value, request_id: Option<String>) -> Result<Answer<ProviderPayment>, ProviderError> {
    match error.get("payment_intent") {
        Some(intent) => {
            let mut value = read(intent)?;
            value.failure = Some(failure_from_json(error));
            Ok(Answer { value, request_id })
        }
        None => Err(ProviderError::Rejected { failure: failure_from_json(error), param: None, request_id }),
    }
}

pub(super) fn failure_from_json(error: &Value) -> Failure {
    Failure {
        code: text(error, "code").or_else(|| text(error, "type")).unwrap_or_else(|| "unknown".to_owned()),
        decline_code: text(error, "decline_code").map(shown),
        message: text(error, "message").unwrap_or_default(),
    }
}

/// The reader is the payer, who may be a thief: Stripe asks not to tell these. Source:
/// <https://docs.stripe.com/declines/codes>.
fn shown(decline_code: String) -> String {
    match decline_code.as_str() {
        "lost_card" | "stolen_card" | "merchant_blacklist" | "fraudulent" | "pickup_card" | "restricted_card" => {
            "generic_decline".to_owned()
        }
        _ => decline_code,
    }
}

/// A PaymentIntent in our words.
pub(super) fn read(intent: &Value) -> Result<ProviderPayment, ProviderError> {
    let id = required(intent, "id")?;
    let failure = intent.get("last_payment_error").filter(|error| error.is_object()).map(failure_from_json);
    let status = match required(intent, "status")?.as_str() {
        "succeeded" => PaymentStatus::Succeeded,
        "canceled" => PaymentStatus::Canceled,
        "processing" => PaymentStatus::Processing,
        "requires_capture" => PaymentStatus::RequiresCapture,
        "requires_action" | "requires_confirmation" => PaymentStatus::RequiresAction,
        // A decline leaves it waiting for another method: failed, and still payable.
        "requires_payment_method" if failure.is_some() => PaymentStatus::Failed,
        "requires_payment_method" => PaymentStatus::RequiresAction,
        other => return Err(unreadable(format!("the status {other} of {id}"))),
    };
    Ok(ProviderPayment {
        retryable: status == PaymentStatus::Failed,
        status,
        money: money(intent, "amount")?,
        amount_capturable: integer(intent, "amount_capturable").unwrap_or(0),
        amount_captured: integer(intent, "amount_received").unwrap_or(0),
        payment_method: id_of(intent, "payment_method"),
        client_secret: text(intent, "client_secret").map(SecretString::from),
        next_action: next_action(intent),
        failure: if status == PaymentStatus::Failed { failure } else { None },
        outcome_unknown: false,
        swish: None,
        // The charge is only there whole where it was asked for.
        expires_at: intent
            .pointer("/latest_charge/payment_method_details/card/capture_before")
            .and_then(Value::as_i64)
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        created_at: time(intent, "created").unwrap_or_default(),
        id,
    })
}

/// What the payer has to do, in Stripe's words where Stripe has any.
fn next_action(intent: &Value) -> Option<Value> {
    if let Some(action) = intent.get("next_action").filter(|action| action.is_object()) {
        let mut value = serde_json::json!({ "type": action["type"] });
        if let Some(redirect) = action.get("redirect_to_url").filter(|redirect| redirect.is_object()) {
            value["redirect_to_url"] =
                serde_json::json!({ "url": redirect["url"], "return_url": redirect["return_url"] });
        }
        return Some(value);
    }
    match intent["status"].as_str() {
        Some("requires_payment_method") => Some(serde_json::json!({ "type": "provide_payment_method" })),
        Some("requires_confirmation") => Some(serde_json::json!({ "type": "confirm" })),
        _ => None,
    }
}
