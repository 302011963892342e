//! Stripe, at the version that this service is pinned to.

pub(crate) mod cards;
mod charges;
pub(crate) mod clock;
mod customers;
pub(crate) mod disputes;
pub(crate) mod error;
pub(crate) mod events;
mod expand;
mod form;
mod gate;
mod holds;
mod invoice_payments;
mod invoices;
mod list;
mod money;
mod params;
pub(crate) mod payment_intents;
pub(crate) mod payment_methods;
mod prices;
mod products;
pub(crate) mod refunds;
pub(crate) mod setup_intents;
pub(crate) mod store;
pub(crate) mod subscriptions;
mod webhook_endpoints;
mod webhooks;
pub(crate) mod world;

use std::collections::BTreeMap;

use poem::{Route, RouteMethod};

use crate::faults::Operations;
use gate::{Gate, Operation};

/// Every operation. What is not here has no route, and no fault can be set on it.
const ALL: [&Operation; 55] = [
    &charges::LIST,
    &charges::RETRIEVE,
    &customers::CREATE,
    &customers::DELETE,
    &customers::LIST,
    &customers::RETRIEVE,
    &customers::UPDATE,
    &disputes::CLOSE,
    &disputes::LIST,
    &disputes::RETRIEVE,
    &disputes::UPDATE,
    &events::LIST,
    &events::RETRIEVE,
    &invoice_payments::LIST,
    &invoice_payments::RETRIEVE,
    &invoices::LIST,
    &invoices::PAY,
    &invoices::RETRIEVE,
    &invoices::VOID,
    &payment_intents::CANCEL,
    &payment_intents::CAPTURE,
    &payment_intents::CONFIRM,
    &payment_intents::CREATE,
    &payment_intents::LIST,
    &payment_intents::RETRIEVE,
    &payment_methods::ATTACH,
    &payment_methods::DETACH,
    &payment_methods::LIST,
    &payment_methods::LIST_OF_CUSTOMER,
    &payment_methods::RETRIEVE,
    &payment_methods::UPDATE,
    &prices::CREATE,
    &prices::LIST,
    &prices::RETRIEVE,
    &prices::UPDATE,
    &products::CREATE,
    &products::LIST,
    &products::RETRIEVE,
    &refunds::CANCEL,
    &refunds::CREATE,
    &refunds::LIST,
    &refunds::RETRIEVE,
    &refunds::UPDATE,
    &setup_intents::CANCEL,
    &setup_intents::CONFIRM,
    &setup_intents::CREATE,
    &setup_intents::LIST,
    &setup_intents::RETRIEVE,
    &subscriptions::CANCEL,
    &subscriptions::CREATE,
    &subscriptions::LIST,
    &subscriptions::RESUME,
    &subscriptions::RETRIEVE,
    &subscriptions::UPDATE,
    &webhook_endpoints::LIST,
];

/// What faults can be set on: the operations, and the types of events.
pub(crate) const OPERATIONS: Operations =
    Operations { names: &names(), tells: |_, event_type| event_type == "*" || event_type.contains('.') };

const fn names() -> [&'static str; ALL.len()] {
    let mut names = [""; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        names[index] = ALL[index].name;
        index += 1;
    }
    names
}

pub(crate) fn routes() -> Route {
    let mut paths: BTreeMap<&str, RouteMethod> = BTreeMap::new();
    for operation in ALL {
        let methods = paths.remove(operation.path).unwrap_or_default();
        paths.insert(operation.path, methods.method(operation.method(), Gate(operation)));
    }
    let routes = paths.into_iter().fold(Route::new(), |routes, (path, methods)| routes.at(path, methods));
    routes.at("/*rest", gate::NotFound)
}
