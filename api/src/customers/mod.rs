//! Customers.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use shared::domain::customer;
use shared::store::customers;
use uuid::Uuid;

use crate::Tag;
use crate::auth::User;
use crate::problem::Problem;
use crate::state::State;

pub struct CustomersApi {
    pub(crate) state: Arc<State>,
}

/// The user of a token, as the payment providers know them.
#[derive(Debug, Object)]
#[oai(rename = "Customer")]
pub struct CustomerBody {
    pub id: Uuid,
    pub email: Option<String>,
    pub name: Option<String>,
    /// Stripe's id (`cus_…`); null until the first payment has reached Stripe.
    pub stripe_customer_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<customer::Customer> for CustomerBody {
    fn from(customer: customer::Customer) -> Self {
        Self {
            id: customer.id.0,
            email: customer.email,
            name: customer.name,
            stripe_customer_id: customer.stripe_customer_id,
            created_at: customer.created_at,
            updated_at: customer.updated_at,
        }
    }
}

#[OpenApi]
impl CustomersApi {
    /// Get my customer
    ///
    /// The user of the token, as a customer: made at the first call, or by the first payment.
    #[oai(path = "/api/customers/me", method = "get", tag = "Tag::Customers", operation_id = "get_my_customer")]
    async fn me(&self, user: User) -> Result<Json<CustomerBody>, Problem> {
        let customer =
            customers::ensure(&self.state.db, &user.0.id, user.0.email.as_deref(), user.0.name.as_deref()).await?;
        Ok(Json(customer.into()))
    }
}
