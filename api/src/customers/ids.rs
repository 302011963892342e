//! Which customer a user is: remembered, because it never changes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sea_orm::{ConnectionTrait, DbErr};
use shared::domain::ids::{CustomerId, UserId};
use shared::store::customers;

use crate::auth::Claims;

/// As many as are remembered; then all are forgotten, and come back as they ask.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct CustomerIds {
    known: Mutex<HashMap<UserId, CustomerId>>,
}

impl CustomerIds {
    /// The user's, made now if there is none.
    ///
    /// # Errors
    /// The database's own.
    pub(crate) async fn of(&self, conn: &impl ConnectionTrait, user: &Claims) -> Result<CustomerId, DbErr> {
        if let Some(id) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&user.id) {
            return Ok(*id);
        }
        let id = customers::ensure(conn, &user.id, user.email.as_deref(), user.name.as_deref()).await?.id;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(user.id.clone(), id);
        Ok(id)
    }

    /// Postgres did not know it: somebody has brought back an older state of the database.
    pub(crate) fn forget(&self, user: &UserId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(user);
    }
}
