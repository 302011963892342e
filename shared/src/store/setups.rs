//! Setups: payment methods being saved.

use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, Set};
use secrecy::ExposeSecret as _;

use super::{Saved, json_or_null, swap};
use crate::domain::ids::{SetupId, UserId};
use crate::domain::setup::Setup;
use crate::entities::setup;

/// Writes a new setup.
///
/// # Errors
/// The database's own.
pub async fn insert(conn: &impl ConnectionTrait, new: &Setup) -> Result<(), DbErr> {
    setup::Entity::insert(row(new)?).exec_without_returning(conn).await.map(drop)
}

/// A user's setup.
///
/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, owner: &UserId, id: SetupId) -> Result<Option<Setup>, DbErr> {
    let found = setup::Entity::find_by_id(id.0).filter(setup::Column::UserId.eq(&owner.0)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// The setup a job works on. No user asks here, so there is no owner.
///
/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: SetupId) -> Result<Option<Setup>, DbErr> {
    setup::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// The setup that is known to the provider by this id.
///
/// # Errors
/// The database's own.
pub async fn find_by_provider_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Setup>, DbErr> {
    let found = setup::Entity::find().filter(setup::Column::ProviderSetupId.eq(id)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// Compares and swaps: writes `after` if the row still is the version that `before` was read at.
///
/// # Errors
/// The database's own.
pub async fn save(conn: &impl ConnectionTrait, before: &Setup, after: &Setup) -> Result<Saved, DbErr> {
    use setup::Column;
    let kept = [Column::UserId];
    swap::<setup::Entity>(conn, row(after)?, &kept, (before.id.0, before.version)).await
}

fn row(setup: &Setup) -> Result<setup::ActiveModel, DbErr> {
    Ok(setup::ActiveModel {
        id: Set(setup.id.0),
        user_id: Set(setup.user_id.0.clone()),
        customer_id: Set(setup.customer_id.0),
        provider: Set(setup.provider.as_str().to_owned()),
        provider_setup_id: Set(setup.provider_setup_id.clone()),
        status: Set(setup.status.as_str().to_owned()),
        client_secret: Set(setup.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned())),
        payment_method: Set(setup.payment_method.clone()),
        failure: Set(json_or_null(setup.failure.as_ref())?),
        version: Set(setup.version),
        created_at: Set(setup.created_at),
        updated_at: Set(setup.updated_at),
    })
}
