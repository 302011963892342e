//! `/v1/products`.

use serde_json::{Value, json};

use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list;
use super::params::{CREATED, METADATA, PAGE, Type, may, need};
use super::store::Kind;
use super::world::random_id;

pub(crate) const CREATE: Operation = Operation::post(
    "products.create",
    "/products",
    &[
        METADATA,
        &[need("name", Type::Text), may("id", Type::Id), may("active", Type::Boolean), may("description", Type::Text)],
    ],
    Gives::One(Kind::Product),
    create,
);

pub(crate) const RETRIEVE: Operation =
    Operation::get("products.retrieve", "/products/:id", &[], Gives::One(Kind::Product), |call| call.object());

pub(crate) const LIST: Operation = Operation::get(
    "products.list",
    "/products",
    &[PAGE, CREATED, &[may("active", Type::Boolean), may("ids[]", Type::Id)]],
    Gives::List(Kind::Product),
    |call| {
        let (active, ids) = (call.form.boolean("active"), call.form.items("ids"));
        list::page(call, |product| {
            active.is_none_or(|active| product["active"] == active)
                && (ids.is_empty() || ids.iter().any(|id| product["id"] == *id))
        })
    },
);

fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    let id = call.form.get("id").map_or_else(|| random_id("prod"), str::to_owned);
    if call.world.get(Kind::Product, &id).is_some() {
        let message = format!("Product already exists with id={id}.");
        return Err(StripeError::invalid("resource_already_exists", Some("id"), message).after_it_began());
    }
    let now = call.world.now();
    let product = json!({
        "id": id,
        "object": "product",
        "active": call.form.boolean("active").unwrap_or(true),
        "created": now,
        "default_price": null,
        "description": call.form.get("description"),
        "images": [],
        "livemode": false,
        "marketing_features": [],
        "metadata": call.form.metadata()?,
        "name": call.form.get("name"),
        "package_dimensions": null,
        "shippable": null,
        "statement_descriptor": null,
        "tax_code": null,
        "type": "service",
        "unit_label": null,
        "updated": now,
        "url": null,
    });
    call.actor().save(Kind::Product, &product, "product.created");
    Ok(product)
}
