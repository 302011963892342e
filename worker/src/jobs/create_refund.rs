//! `create_refund`: gives money back at the payment's provider.
//!
//! If we crash: see [`crate::creation`]. The amount is set aside in Postgres from the request on, until the refund
//! has failed for certain.

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::{CustomerId, RefundId};
use shared::domain::payment::{Payment, ProviderName};
use shared::domain::refund::{ProviderRefund, Refund, RefundStatus};
use shared::domain::timeline::{Actor, Step};
use shared::providers::ProviderError;
use shared::providers::stripe::Answer;
use shared::providers::swish::instruction;
use shared::store::{Saved, payments, refunds};
use uuid::Uuid;

use super::poll_stripe;
use crate::context::Context;
use crate::creation::{Creation, known_from_now_on};
use crate::runner::JobError;
use crate::swish;

pub struct CreateRefund;

pub struct Subject {
    refund: Refund,
    payment: Payment,
}

impl Subject {
    fn provider_payment_id(&self) -> &str {
        self.payment.provider_payment_id.as_deref().unwrap_or_default()
    }
}

impl Creation for CreateRefund {
    const NAME: &'static str = "create_refund";
    type Subject = Subject;
    type Seen = ProviderRefund;

    async fn load(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Subject>, JobError> {
        let refund = refunds::find_for_job(txn, RefundId(id)).await?.ok_or(JobError::SubjectGone)?;
        if refund.status != RefundStatus::Pending {
            return Ok(None);
        }
        let payment = payments::find_for_job(txn, refund.payment_id).await?.ok_or(JobError::SubjectGone)?;
        Ok(Some(Subject { refund, payment }))
    }

    fn provider(subject: &Subject) -> ProviderName {
        subject.refund.provider
    }

    fn customer(_: &Subject) -> Option<CustomerId> {
        None
    }

    async fn send(
        context: &Context,
        subject: &Subject,
        _: &str,
        key: &str,
    ) -> Result<Answer<ProviderRefund>, ProviderError> {
        match subject.refund.provider {
            ProviderName::Stripe => {
                context.stripe.create_refund(&subject.refund, subject.provider_payment_id(), key).await
            }
            ProviderName::Swish => swish::create_refund(context, &subject.refund, &subject.payment, key).await,
        }
    }

    async fn find(
        context: &Context,
        subject: &Subject,
        _: &str,
        key: &str,
    ) -> Result<Option<ProviderRefund>, ProviderError> {
        match subject.refund.provider {
            ProviderName::Stripe => context.stripe.find_refund(subject.provider_payment_id(), subject.refund.id).await,
            ProviderName::Swish => context.swish()?.fetch_refund(&instruction(key)).await,
        }
    }

    fn describe(seen: &ProviderRefund) -> String {
        format!("made {}: {}", seen.id, seen.status.as_str())
    }

    async fn apply(
        txn: &DatabaseTransaction,
        subject: &Subject,
        evidence: Option<Evidence<ProviderRefund>>,
        detail: String,
    ) -> Result<Vec<Uuid>, JobError> {
        let before = refunds::find_for_job(txn, subject.refund.id).await?.ok_or(JobError::SubjectGone)?;
        let after = match evidence {
            Some(evidence) => before.apply(evidence, Utc::now())?,
            None => before.clone(),
        };
        if after.differs_from(&before) && refunds::save(txn, &before, &after).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        let (cause, detail) = (Self::NAME.to_owned(), format!("refund {}: {detail}", before.id));
        let step = Step { actor: Actor::Job, cause, detail };
        payments::add_step(txn, before.payment_id, &step).await?;
        let known = after.provider_refund_id.as_deref();
        known_from_now_on(txn, before.provider_refund_id.as_deref(), known).await?;
        if before.provider_refund_id.is_none() && known.is_some() {
            match after.provider {
                ProviderName::Swish => swish::poll_from_now_on(txn, after.id.0).await?,
                ProviderName::Stripe if poll_stripe::refund_waits(after.status) => {
                    poll_stripe::poll_from_now_on(txn, after.id.0).await?;
                }
                ProviderName::Stripe => {}
            }
        }
        Ok(vec![before.id.0, before.payment_id.0])
    }
}
