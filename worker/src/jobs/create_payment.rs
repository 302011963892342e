//! `create_payment`: creates a payment at its provider; at Stripe also its customer, if the user has none there yet.
//!
//! If we crash: see [`crate::creation`].

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::{CustomerId, PaymentId};
use shared::domain::payment::{Payment, PaymentStatus, ProviderName, ProviderPayment};
use shared::domain::timeline::{Actor, Step};
use shared::providers::ProviderError;
use shared::providers::stripe::{Answer, NewPayment};
use shared::store::{Saved, payments};
use uuid::Uuid;

use super::poll_stripe;
use crate::context::Context;
use crate::creation::{Creation, known_from_now_on};
use crate::runner::JobError;
use crate::swish;

pub struct CreatePayment;

impl Creation for CreatePayment {
    const NAME: &'static str = "create_payment";
    type Subject = Payment;
    type Seen = ProviderPayment;

    async fn load(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Payment>, JobError> {
        let payment = payments::find_for_job(txn, PaymentId(id)).await?.ok_or(JobError::SubjectGone)?;
        // Otherwise a webhook told us first how it went.
        Ok((payment.status == PaymentStatus::Pending).then_some(payment))
    }

    fn provider(payment: &Payment) -> ProviderName {
        payment.provider
    }

    fn is_void(payment: &Payment, seen: &ProviderPayment) -> bool {
        swish::is_void(payment, seen)
    }

    fn customer(payment: &Payment) -> Option<CustomerId> {
        (payment.provider == ProviderName::Stripe).then_some(payment.customer_id)
    }

    async fn send(
        context: &Context,
        payment: &Payment,
        stripe_customer_id: &str,
        key: &str,
    ) -> Result<Answer<ProviderPayment>, ProviderError> {
        match payment.provider {
            ProviderName::Stripe => {
                let new = NewPayment { payment, stripe_customer_id, idempotency_key: key.to_owned() };
                context.stripe.create_payment(&new).await
            }
            ProviderName::Swish => swish::create_payment(context, payment, key).await,
        }
    }

    async fn find(
        context: &Context,
        payment: &Payment,
        stripe_customer_id: &str,
        key: &str,
    ) -> Result<Option<ProviderPayment>, ProviderError> {
        match payment.provider {
            ProviderName::Stripe => context.stripe.find_payment(stripe_customer_id, payment.id).await,
            ProviderName::Swish => swish::find_payment(context, payment, key).await,
        }
    }

    fn describe(seen: &ProviderPayment) -> String {
        match &seen.failure {
            Some(failure) => {
                let reason = failure.decline_code.as_deref().unwrap_or(&failure.code);
                format!("declined {}: {reason}", seen.id)
            }
            None => format!("made {}: {}", seen.id, seen.status.as_str()),
        }
    }

    async fn apply(
        txn: &DatabaseTransaction,
        payment: &Payment,
        evidence: Option<Evidence<ProviderPayment>>,
        detail: String,
    ) -> Result<Vec<Uuid>, JobError> {
        // Read again: a webhook may have been faster than the answer.
        let before = payments::find_for_job(txn, payment.id).await?.ok_or(JobError::SubjectGone)?;
        let after = match evidence {
            Some(evidence) => before.apply(evidence, Utc::now())?,
            None => before.clone(),
        };
        let step = Step { actor: Actor::Job, cause: Self::NAME.to_owned(), detail };
        if payments::tell(txn, &before, &after, &step).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        let known = after.provider_payment_id.as_deref();
        known_from_now_on(txn, before.provider_payment_id.as_deref(), known).await?;
        if before.provider_payment_id.is_none() && known.is_some() {
            match after.provider {
                ProviderName::Swish => swish::poll_from_now_on(txn, after.id.0).await?,
                ProviderName::Stripe if poll_stripe::payment_waits(after.status) => {
                    poll_stripe::poll_from_now_on(txn, after.id.0).await?;
                }
                ProviderName::Stripe => {}
            }
        }
        Ok(vec![before.id.0])
    }
}
