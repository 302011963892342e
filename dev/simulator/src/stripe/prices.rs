//! `/v1/prices`.

use serde_json::{Value, json};

use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::money;
use super::params::{CREATED, METADATA, PAGE, Type, may, need};
use super::store::{Kind, text};
use super::world::random_id;

const INTERVALS: Type = Type::OneOf(&["day", "week", "month", "year"]);

pub(crate) const CREATE: Operation = Operation::post(
    "prices.create",
    "/prices",
    &[
        METADATA,
        &[
            need("currency", Type::Currency),
            need("unit_amount", Type::Integer),
            need("product", Type::Id),
            may("active", Type::Boolean),
            may("lookup_key", Type::Text),
            may("nickname", Type::Text),
            may("recurring[interval]", INTERVALS),
            may("recurring[interval_count]", Type::Integer),
            may("transfer_lookup_key", Type::Boolean),
        ],
    ],
    Gives::One(Kind::Price),
    create,
);

pub(crate) const RETRIEVE: Operation =
    Operation::get("prices.retrieve", "/prices/:id", &[], Gives::One(Kind::Price), |call| call.object());

pub(crate) const UPDATE: Operation = Operation::post(
    "prices.update",
    "/prices/:id",
    &[
        METADATA,
        &[
            may("active", Type::Boolean),
            may("lookup_key", Type::Clearable),
            may("nickname", Type::Clearable),
            may("transfer_lookup_key", Type::Boolean),
        ],
    ],
    Gives::One(Kind::Price),
    update,
);

pub(crate) const LIST: Operation = Operation::get(
    "prices.list",
    "/prices",
    &[
        PAGE,
        CREATED,
        &[
            may("active", Type::Boolean),
            may("currency", Type::Currency),
            may("lookup_keys[]", Type::Text),
            may("product", Type::Id),
            may("type", Type::OneOf(&["one_time", "recurring"])),
        ],
    ],
    Gives::List(Kind::Price),
    list,
);

fn list(call: &Call<'_>) -> Result<Value, StripeError> {
    let keys = call.form.items("lookup_keys");
    if keys.len() > 10 {
        let message = "You can specify up to 10 lookup_keys.";
        return Err(StripeError::bad(Some("lookup_keys"), message));
    }
    let active = call.form.boolean("active");
    list::page(call, |price| {
        active.is_none_or(|active| price["active"] == active)
            && ["currency", "product", "type"].iter().all(|name| like(&call.form, price, name))
            && (keys.is_empty() || keys.iter().any(|key| price["lookup_key"] == *key))
    })
}

fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    let form = &call.form;
    call.named(Kind::Product, "product")?;
    let currency = form.get("currency").unwrap_or_default().to_ascii_lowercase();
    let amount = form.integer("unit_amount").unwrap_or_default();
    if amount < 0 {
        let message = "This value must be greater than or equal to 0.";
        return Err(StripeError::invalid("parameter_invalid_integer", Some("unit_amount"), message));
    }
    money::whole(amount, &currency, "unit_amount")?;
    let recurring = recurring(call)?;
    let metadata = form.metadata()?;
    claim_lookup_key(call, "")?;
    let price = json!({
        "id": random_id("price"),
        "object": "price",
        "active": form.boolean("active").unwrap_or(true),
        "billing_scheme": "per_unit",
        "created": call.world.now(),
        "currency": currency,
        "custom_unit_amount": null,
        "livemode": false,
        "lookup_key": form.get("lookup_key"),
        "metadata": metadata,
        "nickname": form.get("nickname"),
        "product": form.get("product"),
        "tax_behavior": "unspecified",
        "tiers_mode": null,
        "transform_quantity": null,
        "type": if recurring.is_null() { "one_time" } else { "recurring" },
        "recurring": recurring,
        "unit_amount": amount,
        "unit_amount_decimal": amount.to_string(),
    });
    call.actor().save(Kind::Price, &price, "price.created");
    Ok(price)
}

fn update(call: &Call<'_>) -> Result<Value, StripeError> {
    let mut price = call.object()?;
    price["metadata"] = call.form.merged_metadata(&price["metadata"])?;
    if let Some(active) = call.form.boolean("active") {
        price["active"] = active.into();
    }
    claim_lookup_key(call, text(&price, "id"))?;
    call.form.fill(&mut price, &["lookup_key", "nickname"]);
    call.actor().change(Kind::Price, &price, "price.updated");
    Ok(price)
}

fn recurring(call: &Call<'_>) -> Result<Value, StripeError> {
    let count = call.form.integer("recurring[interval_count]");
    let Some(interval) = call.form.get("recurring[interval]") else {
        return match count {
            None => Ok(Value::Null),
            Some(_) => {
                let message = "Missing required param: recurring[interval].";
                Err(StripeError::invalid("parameter_missing", Some("recurring[interval]"), message))
            }
        };
    };
    // Three years at most.
    let most = match interval {
        "day" => 1_095,
        "week" => 156,
        "month" => 36,
        _ => 3,
    };
    let count = count.unwrap_or(1);
    if !(1..=most).contains(&count) {
        let message = format!("recurring[interval_count] must be between 1 and {most}");
        return Err(StripeError::invalid("parameter_invalid_integer", Some("recurring[interval_count]"), message));
    }
    Ok(json!({
        "interval": interval, "interval_count": count, "meter": null, "trial_period_days": null,
        "usage_type": "licensed",
    }))
}

/// A lookup key is of one price; it goes over to another only on demand.
fn claim_lookup_key(call: &Call<'_>, own: &str) -> Result<(), StripeError> {
    let Some(key) = call.form.get("lookup_key") else { return Ok(()) };
    let holders = call.world.select(Kind::Price, |price| price["lookup_key"] == key && price["id"] != own);
    for mut holder in holders {
        if call.form.boolean("transfer_lookup_key") != Some(true) {
            let message = format!(
                "A price ({}) already uses that lookup key. If you want to transfer the lookup key from that price, \
                 set `transfer_lookup_key` to true.",
                text(&holder, "id")
            );
            return Err(StripeError::invalid("resource_already_exists", Some("lookup_key"), message).after_it_began());
        }
        holder["lookup_key"] = Value::Null;
        call.actor().change(Kind::Price, &holder, "price.updated");
    }
    Ok(())
}
