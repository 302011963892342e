//! Jobs, for administrators: what is dead and why, run again, given up.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::http::StatusCode;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use shared::domain::ids::{JobId, PaymentId, RefundId};
use shared::domain::job::{JobKind, Lane as Lanes};
use shared::domain::timeline::{Actor, Step};
use shared::store::dead_letters::{self, JobError, JobFilter, JobRecord};
use shared::store::{attempts, payments, refunds};
use uuid::Uuid;

use crate::Tag;
use crate::auth::{Admin, Claims};
use crate::body::JsonBody;
use crate::envelope::request_id;
use crate::idempotency::Write;
use crate::paging::{default_limit, fetched, page};
use crate::problem::Problem;
use crate::state::State;
use crate::wire::wire_enum;

/// As many jobs as one call may redrive.
const REDRIVE_MAX: u32 = 10_000;
const RATE_MAX: u32 = 1_000;

wire_enum! {
    Lane is Lanes {
        /// Calls to Stripe that a user waits for.
        StripePayments,
        /// What Stripe tells us, and what we ask it in case it did not.
        StripeWebhooks,
        SwishPayments,
        SwishWebhooks,
    }
}

wire_enum! {
    /// What a job does. `sweep_stripe_events` reads Stripe's feed for what no webhook told, and never ends.
    Kind is JobKind {
        CreatePayment,
        ChangePayment,
        CreateRefund,
        CreateSubscription,
        ChangeSubscription,
        CreateSetup,
        UpdateCustomer,
        RemovePaymentMethod,
        ChangeDispute,
        ApplyStripeEvent,
        ApplySwishCallback,
        PollStripe,
        PollSwish,
        SweepStripeEvents,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, poem_openapi::Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Done,
    /// Its attempts are used up, or it cannot go on: a person must look.
    Dead,
    /// Given up by an administrator.
    Discarded,
}

impl JobState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

/// A piece of work.
#[derive(Debug, Object)]
#[oai(rename = "Job")]
pub struct JobBody {
    pub id: Uuid,
    pub lane: String,
    /// What it does, for example `create_payment`.
    pub kind: String,
    /// What it works on: the id of a payment, a refund, a provider event…
    pub subject_id: Uuid,
    pub state: String,
    /// How often a worker took it.
    pub attempts: i32,
    /// How often workers may take it.
    pub max_attempts: i32,
    pub run_at: DateTime<Utc>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<JobRecord> for JobBody {
    fn from(job: JobRecord) -> Self {
        Self {
            id: job.id.0,
            lane: job.lane,
            kind: job.kind,
            subject_id: job.subject_id,
            state: job.state,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            run_at: job.run_at,
            last_error: job.last_error,
            created_at: job.created_at,
            finished_at: job.finished_at,
        }
    }
}

page! {
    /// A page of jobs.
    JobList of JobBody, cursor Uuid
}

/// An error that a job met.
#[derive(Debug, Object)]
#[oai(rename = "JobError")]
pub struct JobErrorBody {
    /// The attempt that met it.
    pub attempt: i32,
    pub error: String,
    pub created_at: DateTime<Utc>,
}

impl From<JobError> for JobErrorBody {
    fn from(met: JobError) -> Self {
        Self { attempt: met.attempt, error: met.error, created_at: met.created_at }
    }
}

/// A job, and every error it met.
#[derive(Debug, Object)]
pub struct JobDetail {
    pub job: JobBody,
    /// Newest first, two hundred at most.
    pub errors: Vec<JobErrorBody>,
}

/// Why it is done: kept, with who did it and when.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: String,
}

impl Reason {
    pub(super) fn check(self) -> Result<String, Problem> {
        let good = (1..=500).contains(&self.reason.chars().count()) && !self.reason.contains('\0');
        if good { Ok(self.reason) } else { Err(Problem::invalid_field("/reason", "must be 1 to 500 characters long")) }
    }
}

/// Which dead jobs to run again, and how fast.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those of this lane.
    pub lane: Option<Lane>,
    /// How many begin each second, 1 to 1,000.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    pub per_second: u32,
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: String,
}

#[derive(Debug, Object)]
pub struct Redriven {
    pub redriven: u64,
}

#[derive(ApiResponse)]
pub enum RedriveResponse {
    /// They will run.
    #[oai(status = 202)]
    Accepted(Json<Redriven>),
}

pub struct AdminJobsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl AdminJobsApi {
    /// List jobs
    ///
    /// Newest first. `state=dead` lists what a person must look at.
    #[oai(path = "/api/admin/jobs", method = "get", tag = "Tag::Admin", operation_id = "admin_list_jobs")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the query")]
    async fn list(
        &self,
        _admin: Admin,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last job of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those in this state.
        state: Query<Option<JobState>>,
        /// Only those of this kind.
        kind: Query<Option<Kind>>,
        /// Only those of this lane.
        lane: Query<Option<Lane>>,
        /// Only those that work on this.
        subject_id: Query<Option<Uuid>>,
    ) -> Result<Json<JobList>, Problem> {
        let filter = JobFilter {
            state: state.0.map(|state| state.as_str().to_owned()),
            kind: kind.0.map(Into::into),
            lane: lane.0.map(Into::into),
            subject_id: subject_id.0,
        };
        let before = starting_after.0.map(JobId);
        let found = dead_letters::list(&self.state.db, &filter, before, fetched(limit.0)).await?;
        Ok(Json(JobList::of(found, limit.0)))
    }

    /// Get a job
    #[oai(path = "/api/admin/jobs/:id", method = "get", tag = "Tag::Admin", operation_id = "admin_get_job")]
    async fn get(&self, _admin: Admin, id: Path<Uuid>) -> Result<Json<JobDetail>, Problem> {
        let found = dead_letters::find(&self.state.db, JobId(id.0)).await?;
        let job = found.ok_or_else(|| Problem::not_found("job"))?.into();
        let errors = dead_letters::errors(&self.state.db, JobId(id.0)).await?;
        Ok(Json(JobDetail { job, errors: errors.into_iter().map(Into::into).collect() }))
    }

    /// Run a job again
    ///
    /// A dead one, with as many attempts as a new one; or one that waits, at once. It goes on under the same key at the
    /// provider: nothing is done twice.
    #[oai(path = "/api/admin/jobs/:id/retry", method = "post", tag = "Tag::Admin", operation_id = "admin_retry_job")]
    async fn retry(&self, admin: Admin, id: Path<Uuid>, body: JsonBody<Reason>) -> Result<Json<JobBody>, Problem> {
        act(&self.state, &admin.0, JobId(id.0), Act::Retry, body.0.check()?).await.map(Json)
    }

    /// Discard a dead job
    ///
    /// Gives it up. What it worked on stays as it is. One of which it is not known whether the provider carried it out is
    /// not given up (`outcome_unknown`): [settle](#operation/settle_unknown_outcome) what it works on.
    #[oai(
        path = "/api/admin/jobs/:id/discard",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "admin_discard_job"
    )]
    async fn discard(&self, admin: Admin, id: Path<Uuid>, body: JsonBody<Reason>) -> Result<Json<JobBody>, Problem> {
        act(&self.state, &admin.0, JobId(id.0), Act::Discard, body.0.check()?).await.map(Json)
    }

    /// Run dead jobs again
    ///
    /// Oldest first, so many each second that the provider can follow; ten thousand at most in one call.
    #[oai(path = "/api/admin/jobs/redrive", method = "post", tag = "Tag::Admin", operation_id = "admin_redrive_jobs")]
    async fn redrive(&self, admin: Admin, body: JsonBody<Redrive>) -> Result<RedriveResponse, Problem> {
        let Redrive { kind, lane, per_second, reason } = body.0;
        let reason = Reason { reason }.check()?;
        if !(1..=RATE_MAX).contains(&per_second) {
            return Err(Problem::invalid_field("/per_second", format!("must be between 1 and {RATE_MAX}")));
        }
        let filter = JobFilter { kind: kind.map(Into::into), lane: lane.map(Into::into), ..JobFilter::default() };
        let txn = Write::begin(&self.state, &admin.0).await?;
        let redriven = dead_letters::redrive(&*txn, &filter, per_second, REDRIVE_MAX).await?;
        let of = [filter.kind.map(JobKind::as_str), filter.lane.map(Lanes::as_str)].into_iter().flatten();
        let subject = of.fold(format!("{redriven} jobs"), |subject, only| format!("{subject}, {only}"));
        dead_letters::audit(&*txn, &admin.0.id.0, "redrive_jobs", &subject, &reason).await?;
        let redriven = Redriven { redriven };
        txn.commit(StatusCode::ACCEPTED, None, &redriven).await?;
        Ok(RedriveResponse::Accepted(Json(redriven)))
    }
}

/// What an administrator does with a dead job.
#[derive(Clone, Copy)]
enum Act {
    Retry,
    Discard,
}

async fn act(state: &State, admin: &Claims, id: JobId, act: Act, reason: String) -> Result<JobBody, Problem> {
    let txn = Write::begin(state, admin).await?;
    let job = dead_letters::lock(&*txn, id).await?.ok_or_else(|| Problem::not_found("job"))?;
    if matches!(act, Act::Discard) && attempts::may_be_made(&*txn, id).await? {
        let detail = "whether the provider carried it out is not known: run it again, or settle the outcome";
        return Err(Problem::new(StatusCode::CONFLICT, "outcome_unknown", detail));
    }
    let (done, action) = match act {
        Act::Retry => (dead_letters::retry(&*txn, id).await?, "retry_job"),
        Act::Discard => (dead_letters::discard(&*txn, id).await?, "discard_job"),
    };
    if !done {
        return Err(Problem::invalid_status("job", &job.state));
    }
    dead_letters::audit(&*txn, &admin.id.0, action, &id.to_string(), &reason).await?;
    tell_the_payment(&*txn, job.subject_id, format!("{action} {} by {}: {reason}", job.kind, admin.id)).await?;
    let now = dead_letters::find(&*txn, id).await?.ok_or_else(|| Problem::not_found("job"))?;
    let body = JobBody::from(now);
    txn.commit(StatusCode::OK, None, &body).await?;
    Ok(body)
}

/// Where what was done is about a payment, or a refund of one, the timeline says it.
pub(super) async fn tell_the_payment(
    conn: &impl ConnectionTrait,
    subject: Uuid,
    detail: String,
) -> Result<(), Problem> {
    let refund = refunds::find_for_job(conn, RefundId(subject)).await?;
    // Of what is neither there is no such payment, and no step.
    let payment = refund.map_or(PaymentId(subject), |refund| refund.payment_id);
    Ok(payments::add_step(conn, payment, &step(detail)).await?)
}

/// What an administrator did.
pub(super) fn step(detail: String) -> Step {
    Step { actor: Actor::Admin, cause: request_id().unwrap_or_default(), detail }
}
