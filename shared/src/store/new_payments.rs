//! New payments: many in one statement, which is one commit. Each with its first step, its job, and the answer that is
//! kept under the client's key.

use std::collections::HashSet;
use std::sync::LazyLock;

use sea_orm::{ConnectionTrait, DbErr, Iden as _, Iterable as _, TryIntoModel as _};
use serde::Serialize;
use uuid::Uuid;

use super::idempotency_keys::{KeptAnswer, KeyedRequest};
use super::jobs::{Enqueued, RING_TTL};
use super::{json, payments, seconds, sql};
use crate::domain::ids::JobId;
use crate::domain::job::{JobKind, Lane, MAX_ATTEMPTS};
use crate::domain::payment::Payment;
use crate::entities::payment;

/// A payment to be accepted.
#[derive(Debug, Clone)]
pub struct NewPayment {
    pub payment: Payment,
    pub job_id: JobId,
    /// What asked for it: the id of the request.
    pub cause: String,
    /// The key it was asked for under, and the answer that it gives from now on.
    pub keyed: Option<(KeyedRequest, KeptAnswer)>,
}

/// What stands beside the payment. `key` and what follows: null without a key.
#[derive(Serialize)]
struct Beside<'a> {
    id: Uuid,
    job_id: Uuid,
    lane: &'static str,
    rung: bool,
    cause: &'a str,
    trace_parent: Option<String>,
    user_id: &'a str,
    payment_method: Option<&'a str>,
    off_session: bool,
    key: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<&'a str>,
    fingerprint: Option<String>,
    answer_status: Option<u16>,
    location: Option<&'a str>,
    answer: Option<&'a str>,
}

/// The columns that this release writes: the schema may be of a newer one.
static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<String> = payment::Column::iter().map(|column| column.to_string()).collect();
    names.join(", ")
});

static ACCEPT: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.as_str();
    format!(
        "-- new_payments::accept
         WITH beside AS (
             SELECT * FROM jsonb_to_recordset($2) AS beside (
                 id uuid, job_id uuid, lane text, rung bool, cause text, trace_parent text, user_id text,
                 payment_method text, off_session bool, key text, method text, path text, fingerprint text,
                 answer_status smallint, location text, answer text)),
         -- A payment method that we know must be the user's and still be saved; without the payer, only such a one will do.
         usable AS (
             SELECT beside.* FROM beside
             LEFT JOIN saved_payment_methods AS saved ON saved.provider_payment_method_id = beside.payment_method
             WHERE CASE WHEN saved.id IS NULL THEN NOT beside.off_session
                        ELSE saved.user_id = beside.user_id AND saved.status = 'saved' END),
         claimed AS (
             INSERT INTO idempotency_keys AS known (user_id, method, path, key, fingerprint, status, location, body)
             -- In one order, so that two who claim the same keys cannot wait for each other.
             SELECT DISTINCT ON (user_id, key) user_id, method, path, key, decode(fingerprint, 'hex'), answer_status, location, answer
             FROM usable WHERE key IS NOT NULL ORDER BY user_id, key, id
             ON CONFLICT (user_id, key, method, path) DO UPDATE
             SET fingerprint = excluded.fingerprint, status = excluded.status, location = excluded.location, body = excluded.body,
                 created_at = now()
             WHERE known.created_at < now() - interval '24 hours'
             RETURNING location),
         accepted AS (
             SELECT * FROM usable WHERE key IS NULL OR location IN (SELECT location FROM claimed)),
         payment AS (
             INSERT INTO payments ({columns})
             SELECT {columns} FROM jsonb_populate_recordset(NULL::payments, $1) WHERE id IN (SELECT id FROM accepted)),
         step AS (
             INSERT INTO payment_timeline (payment_id, status, actor, cause, detail)
             SELECT id, 'pending', 'api', cause, 'accepted' FROM accepted)
         INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until, trace_parent)
         SELECT job_id, lane, 'create_payment', id, $3, CASE WHEN rung THEN now() + make_interval(secs => $4) END, trace_parent
         FROM accepted
         RETURNING id"
    )
});

/// Stores payments. Gives the job of each, to be rung if its lane has room by `has_room`; `None`: its key is taken
/// or its payment method is not the user's, and nothing was stored.
///
/// # Errors
/// The database's own; then nothing is stored.
pub async fn accept(
    conn: &impl ConnectionTrait,
    new: &[NewPayment],
    has_room: impl Fn(Lane) -> bool,
) -> Result<Vec<Option<Enqueued>>, DbErr> {
    let lane = |new: &NewPayment| JobKind::CreatePayment.lane(new.payment.provider);
    let rows: Vec<payment::Model> =
        new.iter().map(|new| payments::row(&new.payment)?.try_into_model()).collect::<Result<_, DbErr>>()?;
    let beside: Vec<Beside<'_>> = new.iter().map(|new| beside(new, lane(new), &has_room)).collect();
    let values = [json(&rows)?.into(), json(&beside)?.into(), MAX_ATTEMPTS.into(), seconds(RING_TTL)];
    let made = conn.query_all_raw(sql(&ACCEPT, values)).await?;
    let made: HashSet<Uuid> = made.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?;
    let job = |(new, beside): (&NewPayment, &Beside<'_>)| {
        made.contains(&new.job_id.0).then(|| Enqueued { id: new.job_id, lane: lane(new), rung: beside.rung })
    };
    Ok(new.iter().zip(&beside).map(job).collect())
}

fn beside<'a>(new: &'a NewPayment, lane: Lane, has_room: impl Fn(Lane) -> bool) -> Beside<'a> {
    let (request, answer) = new.keyed.as_ref().map(|(request, answer)| (request, answer)).unzip();
    Beside {
        id: new.payment.id.0,
        job_id: new.job_id.0,
        lane: lane.as_str(),
        rung: has_room(lane),
        cause: &new.cause,
        trace_parent: new.payment.trace.map(|trace| trace.to_string()),
        user_id: &new.payment.user_id.0,
        payment_method: new.payment.payment_method.as_deref(),
        off_session: new.payment.off_session,
        key: request.map(|request| request.key.as_str()),
        method: request.map(|request| request.method.as_str()),
        path: request.map(|request| request.path.as_str()),
        fingerprint: request.map(|request| hex::encode(request.fingerprint)),
        answer_status: answer.map(|answer| answer.status),
        location: answer.and_then(|answer| answer.location.as_deref()),
        answer: answer.map(|answer| answer.body.as_str()),
    }
}
