//! `invoice.*`: each charge of a subscription becomes a payment of its own.

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::PaymentId;
use shared::domain::payment::{CaptureMethod, Payment, PaymentStatus, ProviderPayment};
use shared::domain::subscription::Subscription;
use shared::providers::ProviderError;
use shared::providers::stripe::{ProviderInvoice, Stripe};
use shared::store::{payments, provider_events, subscriptions};
use shared::trace::Trace;
use uuid::{NoContext, Timestamp, Uuid};

use super::payment::add_step;
use super::{Applied, News};
use crate::creation::known_from_now_on;
use crate::jobs::poll_stripe;
use crate::runner::JobError;

/// The invoice with the payments that it was to be paid with.
pub(super) async fn fetch(
    stripe: &Stripe,
    id: &str,
) -> Result<Option<(ProviderInvoice, Vec<ProviderPayment>)>, ProviderError> {
    let Some(invoice) = stripe.fetch_invoice(id).await? else { return Ok(None) };
    let mut payments = Vec::new();
    // An invoice that no subscription made is not ours.
    if invoice.provider_subscription_id.is_some() {
        for payment in &invoice.provider_payment_ids {
            payments.extend(stripe.fetch_payment(payment).await?);
        }
    }
    Ok(Some((invoice, payments)))
}

pub(super) async fn record(
    txn: &DatabaseTransaction,
    news: &News<'_>,
    invoice: &ProviderInvoice,
    seen: Vec<ProviderPayment>,
) -> Result<Applied, JobError> {
    let Some(subscription) = find_subscription(txn, invoice).await? else {
        return Ok(Applied::NotOurs(format!("{} is not ours", invoice.id), invoice.provider_subscription_id.clone()));
    };
    let mut changed = vec![subscription.id.0];
    for seen in seen {
        // One that is here already has events of its own, which are surer than what we read before we looked.
        if payments::find_by_provider_id(txn, &seen.id).await?.is_some() {
            continue;
        }
        let payment = payment_of(&subscription, seen)?;
        if !payments::insert_found(txn, &payment).await? {
            return Err(JobError::Stale);
        }
        let detail = format!("{}: a charge of subscription {}", news.event_type, subscription.id);
        add_step(txn, news, payment.id, detail).await?;
        known_from_now_on(txn, None, payment.provider_payment_id.as_deref()).await?;
        if poll_stripe::payment_waits(payment.status) {
            poll_stripe::poll_from_now_on(txn, payment.id.0).await?;
        }
        changed.push(payment.id.0);
    }
    Ok(Applied::Changed(changed))
}

/// Ours, if it is; looked for again once whoever may be making it ours has finished.
async fn find_subscription(
    txn: &DatabaseTransaction,
    invoice: &ProviderInvoice,
) -> Result<Option<Subscription>, JobError> {
    let Some(id) = &invoice.provider_subscription_id else { return Ok(None) };
    if let Some(found) = subscriptions::find_by_provider_id(txn, id).await? {
        return Ok(Some(found));
    }
    provider_events::lock_object(txn, id).await?;
    Ok(subscriptions::find_by_provider_id(txn, id).await?)
}

fn payment_of(subscription: &Subscription, seen: ProviderPayment) -> Result<Payment, JobError> {
    let now = Utc::now();
    let seconds = u64::try_from(seen.created_at.timestamp()).unwrap_or_default();
    let payment = Payment {
        swish: None,
        // By Stripe's time: the newest is the latest, in whatever order events come.
        id: PaymentId(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0))),
        user_id: subscription.user_id.clone(),
        customer_id: subscription.customer_id,
        subscription_id: Some(subscription.id),
        provider: subscription.provider,
        provider_payment_id: None,
        status: PaymentStatus::Pending,
        retryable: false,
        money: seen.money,
        amount_capturable: 0,
        amount_captured: 0,
        amount_refunded: 0,
        amount_disputed: 0,
        capture_method: CaptureMethod::Automatic,
        description: Some(subscription.product_name.clone()),
        statement_descriptor: None,
        payment_method: None,
        off_session: false,
        return_url: None,
        client_secret: None,
        next_action: None,
        failure: None,
        last_operation: None,
        outcome_unknown_since: None,
        metadata: std::collections::BTreeMap::new(),
        version: 1,
        created_at: seen.created_at,
        updated_at: now,
        completed_at: None,
        expires_at: None,
        trace: Trace::current(),
    };
    Ok(payment.apply(Evidence::Observed(seen), now)?)
}
