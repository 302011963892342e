//! `PATCH /api/customers/me`: written at once, and a job tells the provider.

use poem::http::StatusCode;
use poem_openapi::payload::Json;
use poem_openapi::types::MaybeUndefined;
use shared::domain::customer::Customer;
use shared::domain::job::JobKind;
use shared::domain::payment::ProviderName;
use shared::domain::text_rules::check_text;
use shared::store::{Saved, customers, jobs};

use super::dto::{CustomerBody, UpdateCustomer};
use super::version;
use crate::auth::Claims;
use crate::etag::{Versioned, check};
use crate::idempotency::Write;
use crate::problem::{FieldError, Problem};
use crate::state::State;
use crate::subscriptions::{merged, patch_errors};
use crate::wire::metadata_errors;

pub(super) async fn update_my_customer(
    state: &State,
    user: &Claims,
    if_match: Option<&str>,
    patch: UpdateCustomer,
) -> Result<Versioned<CustomerBody>, Problem> {
    let txn = Write::begin(state, user).await?;
    let before = customers::ensure(&*txn, &user.id, user.email.as_deref(), user.name.as_deref()).await?;
    check(if_match, &version(&before))?;
    let after = patched(&before, patch).map_err(Problem::invalid)?;
    if after == before {
        // Nobody needs to be told. But it may have been made just now.
        let (tag, before) = (version(&before), CustomerBody::from(before));
        txn.commit(StatusCode::OK, None, &before).await?;
        return Ok(Versioned::Found(Json(before), tag));
    }
    if customers::save(&*txn, &before, &after).await? == Saved::Stale {
        return Err(Problem::invalid_status("customer", "changing at this moment; try again"));
    }
    let now = customers::find_for_job(&*txn, after.id).await?.unwrap_or(after);
    let job = match now.stripe_customer_id {
        Some(_) => Some(jobs::enqueue(&*txn, JobKind::UpdateCustomer, ProviderName::Stripe, now.id.0).await?),
        // The one that will be made is made from what is known then; who is making one at this moment looks again.
        None => None,
    };
    let (tag, now) = (version(&now), CustomerBody::from(now));
    txn.commit(StatusCode::OK, None, &now).await?;
    if let Some(job) = job {
        state.ringer.ring(job);
    }
    Ok(Versioned::Found(Json(now), tag))
}

fn patched(before: &Customer, patch: UpdateCustomer) -> Result<Customer, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut fault = |pointer: &str, detail: &str| {
        errors.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() });
    };
    let mut after = before.clone();
    match patch.email {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => after.email = None,
        MaybeUndefined::Value(email) => {
            // Only what is certainly none: whether it is one, only a message to it can tell.
            let parts: Vec<&str> = email.split('@').collect();
            let plausible = parts.len() == 2 && parts.iter().all(|part| !part.is_empty());
            if !plausible || email.contains(char::is_whitespace) || check_text(&email, 500).is_err() {
                fault("/email", "is not an email address");
            }
            after.email = Some(email);
        }
    }
    match patch.name {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => after.name = None,
        MaybeUndefined::Value(name) => {
            if name.trim().is_empty() || check_text(&name, 256).is_err() {
                fault("/name", "must be 1 to 256 characters long, without control characters");
            }
            after.name = Some(name);
        }
    }
    let unusable = patch_errors(&patch.metadata);
    if let Some(metadata) = merged(&before.metadata, patch.metadata) {
        errors.extend(metadata_errors(&metadata));
        after = after.with_metadata(metadata);
    }
    errors.extend(unusable);
    if errors.is_empty() { Ok(after) } else { Err(errors) }
}
