//! Everybody's payments, for administrators: found, and read with all that is known of them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use shared::domain::ids::{PaymentId, UserId};
use shared::domain::payment::Payment;
use shared::entities::attempt;
use shared::store::payments::{self, PaymentFilter};
use shared::store::{attempts, refunds};
use uuid::Uuid;

use crate::Tag;
use crate::auth::Admin;
use crate::paging::{default_limit, fetched, page};
use crate::payments::dto::{PaymentBody, PaymentStatus, TimelineStep};
use crate::problem::Problem;
use crate::refunds::dto::RefundBody;
use crate::state::State;
use crate::wire::Provider;

/// A payment, and whose it is.
#[derive(Debug, Object)]
pub struct AdminPayment {
    pub id: Uuid,
    pub user_id: String,
    /// As its user sees it, but without what pays: `client_secret` and `next_action` are null.
    pub payment: PaymentBody,
}

impl From<Payment> for AdminPayment {
    fn from(payment: Payment) -> Self {
        let (id, user_id) = (payment.id.0, payment.user_id.0.clone());
        let payment = PaymentBody { client_secret: None, next_action: None, ..payment.into() };
        Self { id, user_id, payment }
    }
}

page! {
    /// A page of payments.
    AdminPaymentList of AdminPayment, cursor Uuid
}

/// One thing that a provider was asked to do, however often it was tried.
#[derive(Debug, Object)]
#[oai(rename = "Attempt")]
pub struct AttemptBody {
    /// The idempotency key.
    pub id: Uuid,
    pub job_id: Uuid,
    /// For example `create_payment`, `capture`.
    pub operation: String,
    pub tries: i32,
    /// `open`, `done`, `not_sent`, `unknown` or `rejected`.
    pub outcome: String,
    /// The provider's id of the last request that it answered: its support asks for it.
    pub provider_request_id: Option<String>,
    pub last_error: Option<String>,
    /// Since when an administrator has given it up.
    pub given_up_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<attempt::Model> for AttemptBody {
    fn from(row: attempt::Model) -> Self {
        Self {
            id: row.id,
            job_id: row.job_id,
            operation: row.operation,
            tries: row.tries,
            outcome: row.outcome,
            provider_request_id: row.provider_request_id,
            last_error: row.last_error,
            given_up_at: row.given_up_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// All that is known of a payment.
#[derive(Debug, Object)]
pub struct AdminPaymentDetail {
    pub user_id: String,
    /// As its user sees it, but without what pays: `client_secret` and `next_action` are null.
    pub payment: PaymentBody,
    /// Newest first, one hundred at most.
    pub refunds: Vec<RefundBody>,
    /// What its provider was asked for, newest first.
    pub attempts: Vec<AttemptBody>,
    /// Oldest first.
    pub timeline: Vec<TimelineStep>,
}

pub struct AdminPaymentsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl AdminPaymentsApi {
    /// List everybody's payments
    ///
    /// Newest first.
    #[oai(path = "/api/admin/payments", method = "get", tag = "Tag::Admin", operation_id = "admin_list_payments")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the query")]
    async fn list(
        &self,
        _admin: Admin,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last payment of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those of this user.
        user_id: Query<Option<String>>,
        /// Only those that are in this status.
        status: Query<Option<PaymentStatus>>,
        /// Only those of this provider.
        provider: Query<Option<Provider>>,
        /// Only those that were created after this time (RFC 3339).
        created_after: Query<Option<DateTime<Utc>>>,
        /// Only those that were created before this time (RFC 3339).
        created_before: Query<Option<DateTime<Utc>>>,
    ) -> Result<Json<AdminPaymentList>, Problem> {
        let filter = PaymentFilter {
            status: status.0.map(Into::into),
            provider: provider.0.map(Into::into),
            created_after: created_after.0,
            created_before: created_before.0,
            ..PaymentFilter::default()
        };
        let (before, limit) = (starting_after.0.map(PaymentId), limit.0);
        let found = match user_id.0 {
            Some(user) if user.contains('\0') => Vec::new(),
            Some(user) => payments::list(&self.state.db, &UserId(user), &filter, before, fetched(limit)).await?,
            None => payments::list_any(&self.state.db, &filter, before, fetched(limit)).await?,
        };
        Ok(Json(AdminPaymentList::of(found, limit)))
    }

    /// Get anybody's payment
    ///
    /// With its refunds, its timeline, and what its provider was asked for under which keys.
    #[oai(path = "/api/admin/payments/:id", method = "get", tag = "Tag::Admin", operation_id = "admin_get_payment")]
    async fn get(&self, _admin: Admin, id: Path<Uuid>) -> Result<Json<AdminPaymentDetail>, Problem> {
        let (db, id) = (&self.state.db, PaymentId(id.0));
        let found = payments::find_for_job(db, id).await?.ok_or_else(|| Problem::not_found("payment"))?;
        let refunds = refunds::list(db, &found.user_id, Some(id), None, 100).await?;
        let AdminPayment { user_id, payment, .. } = found.into();
        Ok(Json(AdminPaymentDetail {
            user_id,
            payment,
            refunds: refunds.into_iter().map(Into::into).collect(),
            attempts: attempts::list(db, id.0).await?.into_iter().map(Into::into).collect(),
            timeline: payments::steps(db, id).await?.into_iter().map(Into::into).collect(),
        }))
    }
}
