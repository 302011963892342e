//! Customers: who the user is to the providers, and what they have saved. One file an operation.

pub mod dto;
pub(crate) mod ids;
mod remove_payment_method;
mod setup;
mod update;

use std::sync::Arc;

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use shared::domain::customer::Customer;
use shared::domain::ids::SetupId;
use shared::store::{customers, saved_payment_methods, setups};
use uuid::Uuid;

use crate::Tag;
use crate::accepted::{Changed, Created};
use crate::auth::User;
use crate::body::JsonBody;
use crate::etag::{Versioned, tag};
use crate::prefer;
use crate::problem::Problem;
use crate::state::State;
use dto::{CustomerBody, PaymentMethodBody, PaymentMethodList, SetupBody, UpdateCustomer};

/// Every write moves the time.
fn version(customer: &Customer) -> String {
    tag(customer.updated_at.timestamp_micros())
}

pub struct CustomersApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl CustomersApi {
    /// Get my customer
    ///
    /// The user of the token, as a customer: made at the first call, or by the first payment.
    #[oai(path = "/api/customers/me", method = "get", tag = "Tag::Customers", operation_id = "get_my_customer")]
    async fn me(&self, user: User) -> Result<Versioned<CustomerBody>, Problem> {
        let customer =
            customers::ensure(&self.state.db, &user.0.id, user.0.email.as_deref(), user.0.name.as_deref()).await?;
        let tag = version(&customer);
        Ok(Versioned::Found(Json(customer.into()), tag))
    }

    /// Update my customer
    ///
    /// Written at once; the provider is told soon after. `metadata` is merged: null removes a key.
    #[oai(path = "/api/customers/me", method = "patch", tag = "Tag::Customers", operation_id = "update_my_customer")]
    async fn update(
        &self,
        user: User,
        /// The `ETag` of what was read: then nothing is overwritten that was not read.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: JsonBody<UpdateCustomer>,
    ) -> Result<Versioned<CustomerBody>, Problem> {
        update::update_my_customer(&self.state, &user.0, if_match.0.as_deref(), body.0).await
    }

    /// Save a payment method
    ///
    /// Begins to save a payment method without taking money: confirm with `client_secret` in the payer's browser. Then
    /// it is among the payment methods, and can be paid with, also while the payer is away.
    #[oai(path = "/api/customers/me/setup", method = "post", tag = "Tag::Customers", operation_id = "create_setup")]
    async fn create_setup(
        &self,
        user: User,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Created<SetupBody>, Problem> {
        setup::create_setup(&self.state, &user.0, prefer::wait(prefer.0.as_deref())).await
    }

    /// Get a setup
    ///
    /// Once it is `succeeded`, `payment_method` is saved and can be paid with.
    #[oai(path = "/api/customers/me/setup/:id", method = "get", tag = "Tag::Customers", operation_id = "get_setup")]
    async fn get_setup(&self, user: User, id: Path<Uuid>) -> Result<Json<SetupBody>, Problem> {
        let found = setups::find(&self.state.db, &user.0.id, SetupId(id.0)).await?;
        found.map(|setup| Json(setup.into())).ok_or_else(|| Problem::not_found("setup"))
    }

    /// List my payment methods
    ///
    /// Those that are saved, newest first.
    #[oai(
        path = "/api/customers/me/payment-methods",
        method = "get",
        tag = "Tag::Customers",
        operation_id = "list_payment_methods"
    )]
    async fn payment_methods(&self, user: User) -> Result<Json<PaymentMethodList>, Problem> {
        let found = saved_payment_methods::list(&self.state.db, &user.0.id).await?;
        Ok(Json(PaymentMethodList { data: found.into_iter().map(Into::into).collect() }))
    }

    /// Remove a payment method
    ///
    /// It is not to be paid with from now on; the provider is told soon after.
    #[oai(
        path = "/api/customers/me/payment-methods/:id",
        method = "delete",
        tag = "Tag::Customers",
        operation_id = "remove_payment_method"
    )]
    async fn remove_payment_method(
        &self,
        user: User,
        /// The provider's id (`pm_…`).
        id: Path<String>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Changed<PaymentMethodBody>, Problem> {
        let wait = prefer::wait(prefer.0.as_deref());
        remove_payment_method::remove_payment_method(&self.state, &user.0, &id.0, wait).await
    }
}
