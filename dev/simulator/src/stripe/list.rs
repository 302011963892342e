//! Lists: one function for all of them.

use serde_json::{Value, json};

use super::error::StripeError;
use super::form::Form;
use super::gate::Call;
use super::store::{Cursor, number};

/// A page of the operation's kind: the objects that `keep` likes, newest first.
pub(crate) fn page(call: &Call<'_>, keep: impl Fn(&Value) -> bool) -> Result<Value, StripeError> {
    let form = &call.form;
    let limit = form.integer("limit").unwrap_or(10);
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit)).ok_or_else(|| {
        StripeError::invalid("parameter_invalid_integer", Some("limit"), "limit must be between 1 and 100")
    })?;
    let cursor = match (form.get("starting_after"), form.get("ending_before")) {
        (Some(_), Some(_)) => {
            let message = "You may only specify one of starting_after and ending_before.";
            return Err(StripeError::bad(Some("ending_before"), message));
        }
        (Some(id), None) => Cursor::After(id),
        (None, Some(id)) => Cursor::Before(id),
        (None, None) => Cursor::Newest,
    };
    let keep = |object: &Value| in_time(form, object) && keep(object);
    let (data, has_more) = call.world.lock().objects.page(call.kind(), cursor, limit, &keep).ok_or_else(|| {
        let (name, id) = match cursor {
            Cursor::Before(id) => ("ending_before", id),
            Cursor::After(id) => ("starting_after", id),
            Cursor::Newest => ("starting_after", ""),
        };
        StripeError::missing_param(call.kind(), id, name)
    })?;
    Ok(json!({ "object": "list", "url": call.path, "has_more": has_more, "data": data }))
}

/// `created` and its bounds.
fn in_time(form: &Form, object: &Value) -> bool {
    let created = number(object, "created");
    form.integer("created").is_none_or(|at| created == at)
        && form.integer("created[gt]").is_none_or(|at| created > at)
        && form.integer("created[gte]").is_none_or(|at| created >= at)
        && form.integer("created[lt]").is_none_or(|at| created < at)
        && form.integer("created[lte]").is_none_or(|at| created <= at)
}

/// Whether the object has what the parameter of that name asks for, if it is given.
pub(crate) fn like(form: &Form, object: &Value, name: &str) -> bool {
    form.get(name).is_none_or(|wanted| object[name] == wanted)
}
