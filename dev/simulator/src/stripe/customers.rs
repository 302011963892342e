//! `/v1/customers`.

use serde_json::{Value, json};

use super::error::StripeError;
use super::gate::Call;
use super::world::random_id;

pub(crate) fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    call.form.only(&["email", "name", "description", "phone", "metadata[]", "expand[]"])?;
    let email = call.form.get("email");
    if email.is_some_and(|email| !email.contains('@') || email.chars().count() > 512) {
        let message = format!("Invalid email address: {}", email.unwrap_or_default());
        return Err(StripeError::invalid("email_invalid", Some("email"), message));
    }
    let customer = json!({
        "id": random_id("cus"),
        "object": "customer",
        "created": call.world.now(),
        "email": email,
        "name": call.form.get("name"),
        "description": call.form.get("description"),
        "phone": call.form.get("phone"),
        "metadata": call.form.metadata()?,
        "livemode": false,
        "delinquent": false,
        "balance": 0,
        "currency": null,
        "default_source": null,
        "discount": null,
        "invoice_prefix": "SIMULATE",
        "invoice_settings": { "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null },
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    });
    call.world.put_customer(&customer);
    call.world.emit("customer.created", &customer, call);
    Ok(customer)
}

pub(crate) fn retrieve(call: &Call<'_>) -> Result<Value, StripeError> {
    call.world.customer(&call.id).ok_or_else(|| StripeError::missing("customer", &call.id))
}
