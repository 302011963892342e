//! Customers and PaymentIntents: what we ask of Stripe, and what its answers mean in our words.

use std::collections::HashMap;

use secrecy::SecretString;
use stripe_client_core::{IdempotencyKey, RequestStrategy, StripeRequest as _};
use stripe_core::customer::CreateCustomer;
use stripe_core::payment_intent::{
    CreatePaymentIntent, CreatePaymentIntentAutomaticPaymentMethods,
    CreatePaymentIntentAutomaticPaymentMethodsAllowRedirects as AllowRedirects, ListPaymentIntent,
    RetrievePaymentIntent,
};
use stripe_shared::{PaymentIntent, PaymentIntentStatus};

use super::Stripe;
use super::transport::Refusal;
use crate::domain::customer::Customer;
use crate::domain::ids::PaymentId;
use crate::domain::money::Money;
use crate::domain::payment::{Failure, Payment, PaymentStatus, ProviderPayment};
use crate::domain::text_rules::PAYMENT_ID_METADATA_KEY;
use crate::providers::{CallError, ProviderError};

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

/// Look-ups read at most this many pages of a hundred payments.
const LOOK_UP_PAGES_MAX: usize = 10;

impl Stripe {
    /// `POST /v1/customers`. The key is the customer's own id: however many jobs ask, Stripe makes one.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_customer(&self, customer: &Customer) -> Result<Answer<String>, ProviderError> {
        let mut request = CreateCustomer::new().metadata(HashMap::from([
            ("customer_id".to_owned(), customer.id.to_string()),
            ("user_id".to_owned(), customer.user_id.0.clone()),
        ]));
        if let Some(email) = &customer.email {
            request = request.email(email.clone());
        }
        if let Some(name) = &customer.name {
            request = request.name(name.clone());
        }
        let call = self.transport.call();
        let strategy = idempotent(&format!("customer-{}", customer.id))?;
        let made = request.customize().request_strategy(strategy).send(&call).await.map_err(refused)?;
        Ok(Answer { value: made.id.to_string(), request_id: call.request_id() })
    }

    /// `POST /v1/payment_intents`, confirmed at once where the payment has a payment method.
    /// A decline is an answer: a failed payment.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_payment(&self, new: &NewPayment<'_>) -> Result<Answer<ProviderPayment>, ProviderError> {
        let call = self.transport.call();
        let strategy = idempotent(&new.idempotency_key)?;
        match create_request(new).customize().request_strategy(strategy).send(&call).await {
            Ok(intent) => Ok(Answer { value: read(&intent)?, request_id: call.request_id() }),
            Err(Refusal::Declined { error, request_id }) => declined(&error, request_id),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    /// `GET /v1/payment_intents/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_payment(&self, provider_payment_id: &str) -> Result<Option<ProviderPayment>, ProviderError> {
        let call = self.transport.call();
        match RetrievePaymentIntent::new(provider_payment_id).customize().send(&call).await {
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
            let mut request = ListPaymentIntent::new().customer(stripe_customer_id).limit(100);
            if let Some(last) = &last {
                request = request.starting_after(last.clone());
            }
            let call = self.transport.call();
            let page = request.customize().send(&call).await.map_err(refused)?;
            if let Some(intent) = page.data.iter().find(|i| i.metadata.get(PAYMENT_ID_METADATA_KEY) == Some(&id)) {
                return read(intent).map(Some);
            }
            last = page.data.last().map(|intent| intent.id.to_string());
            if !page.has_more {
                break;
            }
        }
        Ok(None)
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
        .metadata(metadata);
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

fn stripe_currency(money: Money) -> stripe_types::Currency {
    let code = money.currency.code();
    code.parse().unwrap_or(stripe_types::Currency::Unknown(code))
}

fn idempotent(key: &str) -> Result<RequestStrategy, ProviderError> {
    IdempotencyKey::new(key)
        .map(RequestStrategy::Idempotent)
        .map_err(|error| ProviderError::NotSent { source: CallError::Unreadable(error.to_string()), retry_after: None })
}

fn refused(refusal: Refusal) -> ProviderError {
    match refusal {
        Refusal::Error(error) => error,
        Refusal::Declined { error, request_id } => {
            ProviderError::Rejected { failure: failure_from_json(&error), request_id }
        }
    }
}

/// 402: `error.payment_intent` is the PaymentIntent as the decline left it, for the payer to try again.
fn declined(error: &serde_json::Value, request_id: Option<String>) -> Result<Answer<ProviderPayment>, ProviderError> {
    let intent = error
        .get("payment_intent")
        .and_then(|intent| miniserde::json::from_str::<PaymentIntent>(&intent.to_string()).ok());
    match intent {
        Some(intent) => {
            let mut value = read(&intent)?;
            value.failure = Some(failure_from_json(error));
            Ok(Answer { value, request_id })
        }
        None => Err(ProviderError::Rejected { failure: failure_from_json(error), request_id }),
    }
}

fn failure_from_json(error: &serde_json::Value) -> Failure {
    let text = |key: &str| error.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    Failure {
        code: text("code").or_else(|| text("type")).unwrap_or_else(|| "unknown".to_owned()),
        decline_code: text("decline_code"),
        message: text("message").unwrap_or_default(),
    }
}

/// A PaymentIntent in our words.
pub(super) fn read(intent: &PaymentIntent) -> Result<ProviderPayment, ProviderError> {
    let unreadable = |what: &str| ProviderError::Unknown {
        source: CallError::Unreadable(format!("{what} of {}", intent.id)),
        look_up: false,
    };
    let failure = intent.last_payment_error.as_ref().map(|error| Failure {
        code: error.code.as_ref().map_or_else(|| error.type_.to_string(), ToString::to_string),
        decline_code: error.decline_code.clone(),
        message: error.message.clone().unwrap_or_default(),
    });
    let status = match &intent.status {
        PaymentIntentStatus::Succeeded => PaymentStatus::Succeeded,
        PaymentIntentStatus::Canceled => PaymentStatus::Canceled,
        PaymentIntentStatus::Processing => PaymentStatus::Processing,
        PaymentIntentStatus::RequiresCapture => PaymentStatus::RequiresCapture,
        PaymentIntentStatus::RequiresAction | PaymentIntentStatus::RequiresConfirmation => {
            PaymentStatus::RequiresAction
        }
        // A decline leaves it waiting for another method: failed, and still payable.
        PaymentIntentStatus::RequiresPaymentMethod if failure.is_some() => PaymentStatus::Failed,
        PaymentIntentStatus::RequiresPaymentMethod => PaymentStatus::RequiresAction,
        PaymentIntentStatus::Unknown(_) | _ => return Err(unreadable("the status")),
    };
    let currency = intent.currency.to_string().parse().map_err(|_| unreadable("the currency"))?;
    Ok(ProviderPayment {
        id: intent.id.to_string(),
        retryable: status == PaymentStatus::Failed,
        status,
        money: Money { minor: intent.amount, currency },
        amount_captured: intent.amount_received,
        client_secret: intent.client_secret.clone().map(SecretString::from),
        next_action: next_action(intent),
        failure: if status == PaymentStatus::Failed { failure } else { None },
    })
}

/// What the payer has to do, in Stripe's words where Stripe has any.
fn next_action(intent: &PaymentIntent) -> Option<serde_json::Value> {
    if let Some(action) = &intent.next_action {
        let mut value = serde_json::json!({ "type": action.type_ });
        if let Some(redirect) = &action.redirect_to_url {
            value["redirect_to_url"] = serde_json::json!({ "url": redirect.url, "return_url": redirect.return_url });
        }
        return Some(value);
    }
    match intent.status {
        PaymentIntentStatus::RequiresPaymentMethod => Some(serde_json::json!({ "type": "provide_payment_method" })),
        PaymentIntentStatus::RequiresConfirmation => Some(serde_json::json!({ "type": "confirm" })),
        _ => None,
    }
}
