//! Subscriptions: one file an operation, but for those that all change one in the same way.

mod change;
mod create;
pub mod dto;

use std::sync::Arc;

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use shared::domain::ids::SubscriptionId;
use shared::domain::operation::NotPossible;
use shared::domain::subscription::{Subscription, SubscriptionChange};
use shared::store::subscriptions;
use uuid::Uuid;

use crate::Tag;
use crate::accepted::{Changed, Created};
use crate::auth::User;
use crate::body::JsonBody;
use crate::etag::{Versioned, check, tag};
use crate::paging::{default_limit, fetched};
use crate::prefer;
use crate::problem::Problem;
use crate::state::State;
use dto::{CreateSubscription, SubscriptionBody, SubscriptionList, SubscriptionStatus, UpdateSubscription};
pub(crate) use dto::{merged, patch_errors};

pub struct SubscriptionsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl SubscriptionsApi {
    /// Create a subscription
    ///
    /// Charges again each period until it ends. With a saved `payment_method` the first period is charged at once;
    /// without one the subscription is `incomplete` until the payer has confirmed the first payment with
    /// `client_secret`, within 23 hours. Each charge is a payment of its own.
    #[oai(
        path = "/api/subscriptions",
        method = "post",
        tag = "Tag::Subscriptions",
        operation_id = "create_subscription"
    )]
    async fn create(
        &self,
        user: User,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<CreateSubscription>,
    ) -> Result<Created<SubscriptionBody>, Problem> {
        create::create_subscription(&self.state, &user.0, prefer::wait(prefer.0.as_deref()), body.0).await
    }

    /// Get a subscription
    ///
    /// With its present period and the newest of its payments.
    #[oai(
        path = "/api/subscriptions/:id",
        method = "get",
        tag = "Tag::Subscriptions",
        operation_id = "get_subscription"
    )]
    async fn get(&self, user: User, id: Path<Uuid>) -> Result<Versioned<SubscriptionBody>, Problem> {
        let found = subscriptions::find(&self.state.db, &user.0.id, SubscriptionId(id.0)).await?;
        let found = found.ok_or_else(|| Problem::not_found("subscription"))?;
        let tag = tag(found.version);
        Ok(Versioned::Found(Json(found.into()), tag))
    }

    /// List subscriptions
    ///
    /// Yours, newest first.
    #[oai(path = "/api/subscriptions", method = "get", tag = "Tag::Subscriptions", operation_id = "list_subscriptions")]
    async fn list(
        &self,
        user: User,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last subscription of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those that are in this status.
        status: Query<Option<SubscriptionStatus>>,
    ) -> Result<Json<SubscriptionList>, Problem> {
        let (status, before) = (status.0.map(Into::into), starting_after.0.map(SubscriptionId));
        let found = subscriptions::list(&self.state.db, &user.0.id, status, before, fetched(limit.0)).await?;
        Ok(Json(SubscriptionList::of(found, limit.0)))
    }

    /// Update a subscription
    ///
    /// A new `amount` counts from the next period. `metadata` is merged: null removes a key. How it went is in
    /// `last_operation`.
    #[oai(
        path = "/api/subscriptions/:id",
        method = "patch",
        tag = "Tag::Subscriptions",
        operation_id = "update_subscription"
    )]
    async fn update(
        &self,
        user: User,
        id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// The `ETag` of what was read: then nothing is overwritten that was not read.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: JsonBody<UpdateSubscription>,
    ) -> Result<Changed<SubscriptionBody>, Problem> {
        let at = (id.0, prefer::wait(prefer.0.as_deref()));
        change::change_subscription(&self.state, &user.0, at, |subscription, now| {
            check(if_match.0.as_deref(), &tag(subscription.version))?;
            let change = body.0.check(subscription).map_err(Problem::invalid)?;
            let requested = subscription.request_update(change, now);
            requested.map_err(|reason| Problem::not_possible("subscription", reason))
        })
        .await
    }

    /// Cancel a subscription
    ///
    /// At the end of the period that is paid for, or at once with `immediate=true`. How it went is in `last_operation`.
    #[oai(
        path = "/api/subscriptions/:id",
        method = "delete",
        tag = "Tag::Subscriptions",
        operation_id = "cancel_subscription"
    )]
    async fn cancel(
        &self,
        user: User,
        id: Path<Uuid>,
        /// At once, not at the end of the period. Nothing is given back for the rest of it.
        #[oai(default)]
        immediate: Query<bool>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Changed<SubscriptionBody>, Problem> {
        let at = (id.0, prefer::wait(prefer.0.as_deref()));
        let change = SubscriptionChange { cancel_at_period_end: Some(true), ..SubscriptionChange::default() };
        change::change_subscription(&self.state, &user.0, at, |subscription, now| {
            let requested =
                if immediate.0 { subscription.request_cancel(now) } else { subscription.request_update(change, now) };
            requested.map_err(|reason| Problem::not_possible("subscription", reason))
        })
        .await
    }

    /// Resume a subscription
    ///
    /// Before its end: one that was to end with its period goes on.
    #[oai(
        path = "/api/subscriptions/:id/resume",
        method = "post",
        tag = "Tag::Subscriptions",
        operation_id = "resume_subscription"
    )]
    async fn resume(
        &self,
        user: User,
        id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Changed<SubscriptionBody>, Problem> {
        let at = (id.0, prefer::wait(prefer.0.as_deref()));
        let change = SubscriptionChange { cancel_at_period_end: Some(false), ..SubscriptionChange::default() };
        change::change_subscription(&self.state, &user.0, at, |subscription: &Subscription, now| {
            let requested = if subscription.cancel_at_period_end {
                subscription.request_update(change, now)
            } else {
                Err(NotPossible::Status("not about to end"))
            };
            requested.map_err(|reason| Problem::not_possible("subscription", reason))
        })
        .await
    }
}
