//! `GET /api/payments`

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem::Request;
use shared::domain::ids::PaymentId;
use shared::store::payments::{self, PaymentFilter};
use uuid::Uuid;

use super::dto::{PaymentList, PaymentStatus};
use crate::auth::Claims;
use crate::paging::fetched;
use crate::problem::Problem;
use crate::state::State;
use crate::wire::Provider;

/// The query as it came.
pub(super) struct Wanted {
    pub(super) limit: u32,
    pub(super) starting_after: Option<Uuid>,
    pub(super) status: Option<PaymentStatus>,
    pub(super) provider: Option<Provider>,
    pub(super) currency: Option<String>,
    pub(super) created: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
}

pub(super) async fn list_payments(
    state: &State,
    user: &Claims,
    request: &Request,
    wanted: Wanted,
) -> Result<PaymentList, Problem> {
    let currency = wanted.currency.map(|code| code.parse()).transpose();
    let (created_after, created_before) = wanted.created;
    let filter = PaymentFilter {
        status: wanted.status.map(Into::into),
        provider: wanted.provider.map(Into::into),
        currency: currency.map_err(|_| Problem::invalid_parameter("currency", "not an ISO 4217 currency code"))?,
        created_after,
        created_before,
        metadata: metadata(request)?,
    };
    let before = wanted.starting_after.map(PaymentId);
    let found = payments::list(&state.db, &user.id, &filter, before, fetched(wanted.limit)).await?;
    Ok(PaymentList::of(found, wanted.limit))
}

/// `metadata[key]=value`, as often as it is there.
fn metadata(request: &Request) -> Result<BTreeMap<String, String>, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let Some(rest) = name.strip_prefix("metadata") else { continue };
        let key = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|key| !key.is_empty());
        // No key of metadata has brackets.
        let key = key.filter(|key| !key.contains(['[', ']']));
        let usable = |text: &str| !text.contains('\0') && text.chars().count() <= 500;
        match key {
            Some(key) if usable(key) && usable(&value) => pairs.insert(key.to_owned(), value.into_owned()),
            Some(_) | None => {
                return Err(Problem::invalid_parameter(&name, "metadata is filtered by metadata[key]=value"));
            }
        };
    }
    Ok(pairs)
}
