//! Customers, setups and saved payment methods as they look on the wire.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::MaybeUndefined;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use shared::domain::customer::Customer;
use shared::domain::saved_payment_method::{SavedPaymentMethod, SavedPaymentMethodStatus as MethodStatus};
use shared::domain::setup::{Setup, SetupStatus as Status};
use uuid::Uuid;

use crate::wire::{Failure, Provider, wire_enum};

/// The user of a token, as the payment providers know them.
#[derive(Debug, Object)]
#[oai(rename = "Customer")]
pub struct CustomerBody {
    pub id: Uuid,
    pub email: Option<String>,
    pub name: Option<String>,
    pub metadata: HashMap<String, String>,
    /// Stripe's id (`cus_…`); null until something of the user's has reached Stripe.
    pub stripe_customer_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<Customer> for CustomerBody {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.id.0,
            email: customer.email,
            name: customer.name,
            metadata: customer.metadata.into_iter().collect(),
            stripe_customer_id: customer.stripe_customer_id,
            created_at: customer.created_at,
            updated_at: customer.updated_at,
        }
    }
}

/// What is to change; what is left out stays, null clears.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateCustomer {
    #[serde(default)]
    #[oai(validator(min_length = 3, max_length = 500))]
    pub email: MaybeUndefined<String>,
    #[serde(default)]
    #[oai(validator(min_length = 1, max_length = 256))]
    pub name: MaybeUndefined<String>,
    /// Merged into what is there: null removes a key, and null in place of all of it removes them all.
    #[serde(default)]
    pub metadata: MaybeUndefined<HashMap<String, Option<String>>>,
}

wire_enum! {
    SetupStatus is Status {
        /// Accepted; the provider has not answered yet.
        Pending,
        /// The payer is to give a payment method: confirm with `client_secret`.
        RequiresPaymentMethod,
        /// The payer is to authenticate.
        RequiresAction,
        Processing,
        /// The payment method is saved.
        Succeeded,
        Canceled,
        /// The provider refused to begin.
        Failed,
    }
}

/// A payment method being saved.
#[derive(Debug, Object)]
#[oai(rename = "Setup")]
pub struct SetupBody {
    pub id: Uuid,
    pub provider: Provider,
    /// The provider's id (`seti_…`); null until the provider has answered.
    pub provider_setup_id: Option<String>,
    pub status: SetupStatus,
    /// For the payer's browser only: confirms the setup there.
    pub client_secret: Option<String>,
    /// The payment method that is saved, once it is.
    pub payment_method: Option<String>,
    /// Of the last attempt.
    pub failure: Option<Failure>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<Setup> for SetupBody {
    fn from(setup: Setup) -> Self {
        Self {
            id: setup.id.0,
            provider: setup.provider.into(),
            provider_setup_id: setup.provider_setup_id,
            status: setup.status.into(),
            client_secret: setup.client_secret.map(|secret| secret.expose_secret().to_owned()),
            payment_method: setup.payment_method,
            failure: setup.failure.map(Into::into),
            created_at: setup.created_at,
            updated_at: setup.updated_at,
        }
    }
}

wire_enum! {
    PaymentMethodStatus is MethodStatus {
        Saved,
        /// It is being removed: nothing new is paid with it.
        Removing,
        Removed,
    }
}

/// A payment method that the user has saved.
#[derive(Debug, Object)]
#[oai(rename = "PaymentMethod")]
pub struct PaymentMethodBody {
    /// The provider's id (`pm_…`): what `payment_method` takes.
    pub id: String,
    pub status: PaymentMethodStatus,
    /// `card`, or another kind of the provider's.
    pub kind: String,
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<i32>,
    pub exp_year: Option<i32>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<SavedPaymentMethod> for PaymentMethodBody {
    fn from(method: SavedPaymentMethod) -> Self {
        Self {
            id: method.id,
            status: method.status.into(),
            kind: method.card.kind,
            brand: method.card.brand,
            last4: method.card.last4,
            exp_month: method.card.exp_month,
            exp_year: method.card.exp_year,
            created_at: method.created_at,
            updated_at: method.updated_at,
        }
    }
}

/// What the user has saved, newest first, a hundred at most.
#[derive(Debug, Object)]
pub struct PaymentMethodList {
    pub data: Vec<PaymentMethodBody>,
}
