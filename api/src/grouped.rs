//! What many requests ask of Postgres at the same time is asked together: one statement, one commit. While it is at work
//! the next ones gather; nobody waits for others to come.
//!
//! One statement at a time: with two or more, each has fewer and all together cost more (measured: 8.1, 7.3, 6.4 thousand
//! events a second with one, two, three; a second one only where it has much to do: no more than one).

use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr};
use shared::store::{is_blocked, is_refusal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// As many as one statement takes.
const MOST: usize = 64;
/// As many as wait; who comes then waits to wait.
const WAITING_MAX: usize = 1_024;

type Answer<O> = Result<O, Arc<DbErr>>;
type Waiting<I, O> = (I, oneshot::Sender<Answer<O>>);

/// The door to what writes, which ends when it is gone.
pub struct Grouped<I, O> {
    sender: mpsc::Sender<Waiting<I, O>>,
}

impl<I: Clone + Send + Sync + 'static, O: Send + 'static> Grouped<I, O> {
    /// `write` does all or nothing, and gives an answer for each in their order.
    pub fn start<W, F>(background: &mut JoinSet<()>, write: W) -> Self
    where
        W: Fn(Arc<[I]>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Vec<O>, DbErr>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        background.spawn(write_all(receiver, write));
        Self { sender }
    }

    /// One behind which nothing writes.
    #[must_use]
    pub fn closed() -> Self {
        Self { sender: mpsc::channel(1).0 }
    }

    /// What nobody waits for any more when its turn comes is not done.
    ///
    /// # Errors
    /// The database's own: then it was not done. (As ever with a connection that is cut during a commit, it may have been.)
    pub async fn ask(&self, item: I) -> Answer<O> {
        let (answer, answered) = oneshot::channel();
        let gone = || Arc::new(DbErr::Conn(RuntimeErr::Internal("what writes has ended".to_owned())));
        self.sender.send((item, answer)).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn write_all<I, O, W, F>(mut receiver: mpsc::Receiver<Waiting<I, O>>, write: W)
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
    W: Fn(Arc<[I]>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Vec<O>, DbErr>> + Send + 'static,
{
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, MOST).await > 0 {
        // Who has gone may ask again: it must not be done twice.
        batch.retain(|(_, waits): &Waiting<I, O>| !waits.is_closed());
        if batch.is_empty() {
            continue;
        }
        let (items, waiting): (Vec<I>, Vec<_>) = batch.drain(..).unzip();
        // In a task of its own: a panic ends the batch, not all writing.
        let Ok(answers) = tokio::spawn(answer_all(items.into(), write.clone())).await else { continue };
        for (answer, waits) in answers.into_iter().zip(waiting) {
            // Whoever asked may be gone.
            let _ = waits.send(answer);
        }
    }
}

async fn answer_all<I, O, W, F>(items: Arc<[I]>, write: W) -> Vec<Answer<O>>
where
    I: Clone,
    W: Fn(Arc<[I]>) -> F,
    F: Future<Output = Result<Vec<O>, DbErr>>,
{
    let error = match write(items.clone()).await {
        Ok(answers) => return answers.into_iter().map(Ok).collect(),
        Err(error) => error,
    };
    if items.len() == 1 || !is_of_one(&error) {
        let error = Arc::new(error);
        return items.iter().map(|_| Err(error.clone())).collect();
    }
    // Postgres will not have one of them, or it waits for somebody: the others must not suffer for it.
    let mut answers: Vec<Answer<O>> = Vec::with_capacity(items.len());
    let (mut away, mut blocked) = (None, 0);
    for item in items.iter() {
        let alone = match &away {
            Some(error) => Err(Arc::clone(error)),
            None => write(Arc::from([item.clone()])).await.map_err(Arc::new),
        };
        if let Err(error) = &alone {
            // A second one that waits in vain: it is a whole table that is locked.
            blocked += u32::from(is_blocked(error));
            if !is_of_one(error) || blocked > 1 {
                away = Some(error.clone());
            }
        }
        let missing = || Arc::new(DbErr::RecordNotFound("an answer".to_owned()));
        answers.push(alone.and_then(|mut answers| answers.pop().ok_or_else(missing)));
    }
    answers
}

/// Whether the error may be that of one among several: a value that Postgres refuses, a lock that somebody else holds.
fn is_of_one(error: &DbErr) -> bool {
    is_refusal(error) || is_blocked(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses batches with a `0`, as Postgres refuses a value, and panics at a `1`.
    async fn write(items: Arc<[u32]>) -> Result<Vec<(u32, usize)>, DbErr> {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        assert!(!items.contains(&1), "a panic");
        if items.contains(&0) {
            return Err(DbErr::Conn(RuntimeErr::Internal("away".to_owned())));
        }
        Ok(items.iter().map(|item| (*item, items.len())).collect())
    }

    #[tokio::test]
    async fn what_comes_at_once_is_written_together_and_each_gets_its_own_answer() {
        let mut writers = JoinSet::new();
        let grouped = Arc::new(Grouped::start(&mut writers, write));
        let ask = |item: u32| {
            let grouped = grouped.clone();
            async move { grouped.ask(item).await }
        };
        let asked: Vec<u32> = (2..202).collect();
        let answers = futures_util::future::join_all(asked.iter().copied().map(ask)).await;
        let (own, sizes): (Vec<u32>, Vec<usize>) = answers.into_iter().map(|answer| answer.expect("an answer")).unzip();
        assert_eq!(own, asked);
        assert!(sizes.iter().max() > Some(&32) && sizes.iter().all(|size| *size <= MOST), "{sizes:?}");
        // It outlives what goes wrong.
        for _ in 0..5 {
            assert!(ask(0).await.is_err());
            assert!(ask(1).await.is_err());
        }
        assert_eq!(ask(7).await.expect("an answer"), (7, 1));
        drop(grouped);
        writers.join_all().await;
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_done() {
        let done = Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = done.clone();
        let write = move |items: Arc<[u32]>| {
            let log = log.clone();
            async move {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                log.lock().expect("the log").extend_from_slice(&items);
                Ok(items.iter().copied().collect::<Vec<u32>>())
            }
        };
        let mut writers = JoinSet::new();
        let grouped = Grouped::start(&mut writers, write);
        let impatient = async {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            tokio::time::timeout(std::time::Duration::from_millis(10), grouped.ask(3)).await.is_err()
        };
        let (first, gave_up) = tokio::join!(grouped.ask(2), impatient);
        assert!(first.is_ok() && gave_up);
        grouped.ask(4).await.expect("an answer");
        assert_eq!(*done.lock().expect("the log"), [2, 4]);
    }
}
