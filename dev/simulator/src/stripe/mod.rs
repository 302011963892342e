//! Stripe: customers and PaymentIntents, at the version that this service is pinned to.

pub(crate) mod cards;
mod customers;
mod error;
mod form;
mod gate;
pub(crate) mod payment_intents;
mod webhooks;
pub(crate) mod world;

use poem::Route;
use poem::{get, post};

pub(crate) fn routes() -> Route {
    Route::new()
        .at("/customers", post(gate::Operation::new("customers.create", customers::create)))
        .at("/customers/:id", get(gate::Operation::new("customers.retrieve", customers::retrieve)))
        .at(
            "/payment_intents",
            get(gate::Operation::new("payment_intents.list", payment_intents::list))
                .post(gate::Operation::new("payment_intents.create", payment_intents::create)),
        )
        .at("/payment_intents/:id", get(gate::Operation::new("payment_intents.retrieve", payment_intents::retrieve)))
        .at(
            "/payment_intents/:id/confirm",
            post(gate::Operation::new("payment_intents.confirm", payment_intents::confirm)),
        )
        .at(
            "/payment_intents/:id/cancel",
            post(gate::Operation::new("payment_intents.cancel", payment_intents::cancel)),
        )
        .at(
            "/payment_intents/:id/capture",
            post(gate::Operation::new("payment_intents.capture", payment_intents::capture)),
        )
        .at("/*rest", gate::NotFound)
}
