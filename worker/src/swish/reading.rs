//! Reading at Swish what became of a payment or a refund of ours.

use chrono::{DateTime, Utc};
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::{Evidence, Failure};
use shared::domain::ids::{PaymentId, RefundId};
use shared::domain::payment::{Payment, PaymentStatus, ProviderPayment};
use shared::domain::refund::{ProviderRefund, Refund, RefundStatus};
use shared::domain::timeline::{Actor, Step};
use shared::providers::ProviderError;
use shared::providers::swish::instruction;
use shared::store::{Saved, attempts, payments, refunds};
use uuid::Uuid;

use super::poll_from_now_on;
use crate::context::Context;
use crate::creation::known_from_now_on;
use crate::runner::JobError;

/// Something of ours that may be at Swish under an instruction, as it was before Swish was asked.
pub struct Target {
    instruction: String,
    of: Of,
}

enum Of {
    Payment(Box<Payment>),
    Refund(Box<Refund>),
}

/// What Swish showed. `None`: it has no such object.
pub enum Seen {
    Payment(Option<ProviderPayment>),
    Refund(Option<ProviderRefund>),
}

impl Seen {
    /// Whether it has not ended, by what is shown.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Payment(seen) => seen.as_ref().is_some_and(|seen| {
                seen.status == PaymentStatus::RequiresAction
                    || (seen.status == PaymentStatus::Processing && !seen.outcome_unknown)
            }),
            Self::Refund(seen) => {
                seen.as_ref().is_some_and(|seen| seen.status == RefundStatus::Processing && !seen.outcome_unknown)
            }
        }
    }

    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Payment(None) | Self::Refund(None))
    }
}

impl Target {
    /// By our id. `None`: nothing was ever sent for it.
    pub async fn find(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Self>, JobError> {
        let Some(of) = Of::find(txn, id).await? else { return Ok(None) };
        let instruction = match of.known_as() {
            Some(known) => known.to_owned(),
            None => match attempts::find_last(txn, id).await? {
                Some(attempt) => instruction(&attempt.to_string()),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { instruction, of }))
    }

    /// By Swish's id, which is the id of an attempt of ours: so it is also found where we do not know yet, or do not
    /// believe, that Swish took it.
    pub async fn find_by_instruction(txn: &DatabaseTransaction, instruction: &str) -> Result<Option<Self>, JobError> {
        let Ok(attempt) = Uuid::try_parse(instruction) else { return Ok(None) };
        let Some(subject) = attempts::find_subject(txn, attempt).await? else { return Ok(None) };
        let of = Of::find(txn, subject).await?;
        Ok(of.map(|of| Self { instruction: instruction.to_owned(), of }))
    }

    /// Whether nothing more will come from Swish: what it does not know itself, a person finds out. What was refused
    /// is looked at once more, in case an earlier try arrived after all.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match &self.of {
            Of::Payment(payment) => match payment.status {
                PaymentStatus::Succeeded | PaymentStatus::Canceled => true,
                PaymentStatus::Failed => payment.provider_payment_id.is_some(),
                PaymentStatus::Processing => payment.outcome_unknown_since.is_some(),
                _ => false,
            },
            Of::Refund(refund) => match refund.status {
                RefundStatus::Succeeded | RefundStatus::Canceled => true,
                RefundStatus::Failed => refund.provider_refund_id.is_some(),
                RefundStatus::Processing => refund.outcome_unknown_since.is_some(),
                RefundStatus::Pending | RefundStatus::RequiresAction => false,
            },
        }
    }

    /// Whether Swish has refused it, as far as we know.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let failed = match &self.of {
            Of::Payment(payment) => payment.status == PaymentStatus::Failed,
            Of::Refund(refund) => refund.status == RefundStatus::Failed,
        };
        failed && self.of.known_as().is_none()
    }

    #[must_use]
    pub fn is_refund(&self) -> bool {
        matches!(self.of, Of::Refund(_))
    }

    pub async fn fetch(&self, context: &Context) -> Result<Seen, ProviderError> {
        let swish = context.swish()?;
        match self.of {
            Of::Payment(_) => swish.fetch_payment(&self.instruction).await.map(Seen::Payment),
            Of::Refund(_) => swish.fetch_refund(&self.instruction).await.map(Seen::Refund),
        }
    }

    /// Writes what was seen, and the step, if it says anything new. Gives what changed; `None`: Swish did not show it.
    ///
    /// # Errors
    /// Money that moved under an instruction that was given up is a contradiction, for a person to see.
    pub async fn record(
        self,
        txn: &DatabaseTransaction,
        seen: Seen,
        actor: Actor,
        cause: &str,
    ) -> Result<Option<Vec<Uuid>>, JobError> {
        let before = self.of.known_as().map(str::to_owned);
        let step = |detail| Step { actor, cause: cause.to_owned(), detail };
        let written = match (self.of, seen) {
            (Of::Payment(payment), Seen::Payment(Some(seen))) => write_payment(txn, &payment, seen, step).await?,
            (Of::Refund(refund), Seen::Refund(Some(seen))) => write_refund(txn, &refund, seen, step).await?,
            _ => return Ok(None),
        };
        let Some(Written { subject, payment, settled }) = written else { return Ok(Some(Vec::new())) };
        if before.is_none() {
            known_from_now_on(txn, None, Some(&self.instruction)).await?;
            if !settled {
                poll_from_now_on(txn, subject).await?;
            }
        }
        let mut changed = vec![subject, payment];
        changed.dedup();
        Ok(Some(changed))
    }
}

impl Of {
    async fn find(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Self>, JobError> {
        if let Some(payment) = payments::find_for_job(txn, PaymentId(id)).await? {
            return Ok(Some(Self::Payment(Box::new(payment))));
        }
        let refund = refunds::find_for_job(txn, RefundId(id)).await?;
        Ok(refund.map(|refund| Self::Refund(Box::new(refund))))
    }

    /// The instruction that we know Swish to have taken.
    fn known_as(&self) -> Option<&str> {
        match self {
            Self::Payment(payment) => payment.provider_payment_id.as_deref(),
            Self::Refund(refund) => refund.provider_refund_id.as_deref(),
        }
    }
}

struct Written {
    subject: Uuid,
    payment: Uuid,
    settled: bool,
}

/// `None`: nothing new.
async fn write_payment(
    txn: &DatabaseTransaction,
    before: &Payment,
    seen: ProviderPayment,
    step: impl Fn(String) -> Step,
) -> Result<Option<Written>, JobError> {
    let paid = seen.status == PaymentStatus::Succeeded;
    let over = matches!(seen.status, PaymentStatus::Failed | PaymentStatus::Canceled);
    let news = match before.provider_payment_id.as_deref() {
        Some(known) if known == seen.id => true,
        // A request that was given up for another one may end as it likes, but not as paid.
        Some(_) => paid,
        // The job that creates it decides, unless the money has moved: this may be a request that it gives up.
        None if before.status == PaymentStatus::Pending => paid || seen.outcome_unknown,
        // It was refused, as we thought.
        None => !over,
    };
    if !news {
        return Ok(None);
    }
    let settled = paid || over || seen.outcome_unknown;
    let after = before.apply(Evidence::Observed(seen), Utc::now())?;
    if !after.differs_from(before) {
        return Ok(None);
    }
    let what = format!("Swish: {}", after.provider_payment_id.as_deref().unwrap_or_default());
    let detail = word(&what, after.status.as_str(), after.failure.as_ref(), after.outcome_unknown_since);
    match payments::save(txn, before, &after, &step(detail)).await? {
        Saved::Saved => Ok(Some(Written { subject: after.id.0, payment: after.id.0, settled })),
        Saved::Stale => Err(JobError::Stale),
    }
}

/// `None`: nothing new.
async fn write_refund(
    txn: &DatabaseTransaction,
    before: &Refund,
    seen: ProviderRefund,
    step: impl Fn(String) -> Step,
) -> Result<Option<Written>, JobError> {
    let over = matches!(seen.status, RefundStatus::Succeeded | RefundStatus::Failed);
    if before.status == RefundStatus::Failed && seen.status == RefundStatus::Failed {
        return Ok(None);
    }
    let settled = over || seen.outcome_unknown;
    let after = before.apply(Evidence::Observed(seen), Utc::now())?;
    if !after.differs_from(before) {
        return Ok(None);
    }
    if refunds::save(txn, before, &after).await? == Saved::Stale {
        return Err(JobError::Stale);
    }
    let what = format!("Swish: refund {}", after.id);
    let detail = word(&what, after.status.as_str(), after.failure.as_ref(), after.outcome_unknown_since);
    payments::add_step(txn, before.payment_id, &step(detail)).await?;
    Ok(Some(Written { subject: after.id.0, payment: before.payment_id.0, settled }))
}

/// For the timeline, and for the log where a person must act.
fn word(what: &str, status: &str, failure: Option<&Failure>, unknown_since: Option<DateTime<Utc>>) -> String {
    if unknown_since.is_some() {
        tracing::error!(what, "Swish does not know whether the money moved (DS24): ask the bank");
        return format!("{what} is unknown to Swish itself (DS24): a person must ask the bank");
    }
    match failure {
        Some(failure) => format!("{what} is {status}: {}", failure.decline_code.as_deref().unwrap_or(&failure.code)),
        None => format!("{what} is {status}"),
    }
}
