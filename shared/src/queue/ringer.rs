//! Rings after a commit, in the background: a request never waits for Redis.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::DatabaseConnection;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::doorbell::Doorbell;
use crate::domain::ids::JobId;
use crate::domain::job::Lane;
use crate::store::jobs::{self, Enqueued};

/// What waits here at most. What does not fit is rung by the relay, once the ring it was born with runs out.
const WAITING_MAX: usize = 10_000;
const BATCH_MAX: usize = 200;
const UNRING_MAX: Duration = Duration::from_secs(3);

enum Ring {
    Job(Enqueued),
    Changed(Uuid),
}

/// A lane that was full is left to the relay for so long: it looks as often.
const FULL: Duration = Duration::from_millis(250);

/// The handle: cheap to clone, never blocks, never fails.
#[derive(Debug, Clone)]
pub struct Ringer {
    sender: mpsc::Sender<Ring>,
    full: Arc<Full>,
}

/// Until when each lane is taken to be full, in milliseconds from the beginning.
#[derive(Debug)]
struct Full {
    began: Instant,
    until: [AtomicU64; Lane::ALL.len()],
}

impl Default for Full {
    fn default() -> Self {
        Self { began: Instant::now(), until: Default::default() }
    }
}

impl Full {
    fn until(&self, lane: Lane) -> Option<&AtomicU64> {
        Lane::ALL.iter().zip(&self.until).find_map(|(of, until)| (*of == lane).then_some(until))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn found(&self, lane: Lane) {
        if let Some(until) = self.until(lane) {
            until.store(self.now() + u64::try_from(FULL.as_millis()).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(job) => job.fmt(f),
            Self::Changed(id) => id.fmt(f),
        }
    }
}

impl Ringer {
    /// Starts the task that rings. It ends when the last handle is gone and everything waiting was tried.
    #[must_use]
    pub fn start(db: DatabaseConnection, doorbell: Doorbell) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let full = Arc::new(Full::default());
        (Self { sender, full: full.clone() }, tokio::spawn(ring_all(db, doorbell, receiver, full)))
    }

    /// One that rings nothing.
    #[must_use]
    pub fn deaf() -> Self {
        Self { sender: mpsc::channel(1).0, full: Arc::default() }
    }

    /// Whether the lane's window in Redis may have room. A job that is made where it has none is not counted as rung, and
    /// not rung: the relay will, oldest first.
    #[must_use]
    pub fn has_room(&self, lane: Lane) -> bool {
        self.full.until(lane).is_none_or(|until| until.load(Ordering::Relaxed) <= self.full.now())
    }

    /// Hands a committed job to the workers, if it counts as rung.
    pub fn ring(&self, job: Enqueued) {
        if job.rung && self.sender.try_send(Ring::Job(job)).is_err() {
            tracing::debug!(job.id = %job.id, "not rung at once; the relay will");
        }
    }

    /// Wakes whoever waits for this thing.
    pub fn announce(&self, changed: Uuid) {
        // Lost, the waiting request finds out by itself a moment later.
        let _ = self.sender.try_send(Ring::Changed(changed));
    }
}

async fn ring_all(db: DatabaseConnection, mut doorbell: Doorbell, mut receiver: mpsc::Receiver<Ring>, full: Arc<Full>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut jobs: HashMap<Lane, Vec<JobId>> = HashMap::new();
        let mut changed = Vec::new();
        for ring in batch.drain(..) {
            match ring {
                Ring::Job(job) => jobs.entry(job.lane).or_default().push(job.id),
                Ring::Changed(id) => changed.push(id),
            }
        }
        if let Err(error) = doorbell.announce(&changed).await {
            tracing::debug!(%error, "waiting requests were not told of changes");
        }
        for (lane, ids) in jobs {
            if !ring_lane(&db, &mut doorbell, lane, &ids).await {
                full.found(lane);
            }
        }
    }
}

/// Pushes what the window has room for and gives the rest back to the relay. Whether there was room.
async fn ring_lane(db: &DatabaseConnection, doorbell: &mut Doorbell, lane: Lane, ids: &[JobId]) -> bool {
    let room = doorbell.room(lane).await.unwrap_or(0);
    let (now, later) = ids.split_at(room.min(ids.len()));
    let had_room = later.is_empty();
    let mut not_rung = later.to_vec();
    if let Err(error) = doorbell.push(lane, now).await {
        tracing::warn!(%error, lane = lane.as_str(), jobs = now.len(), "jobs were not rung; the relay will ring them");
        not_rung.extend_from_slice(now);
    }
    if !not_rung.is_empty() {
        match tokio::time::timeout(UNRING_MAX, jobs::unring(db, &not_rung)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::debug!("rings were not taken back; they run out by themselves"),
        }
    }
    had_room
}
