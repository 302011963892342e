//! Takes up a new Swish certificate when its files change: a rotation needs no restart.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use shared::providers::chain;

use crate::context::Context;

const PERIOD: Duration = Duration::from_secs(30);

/// Runs for ever.
pub async fn run(context: Arc<Context>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        once(&context);
    }
}

/// Looks at the files once. What cannot be used is reported, and the certificate in use stays.
pub fn once(context: &Context) {
    let Ok(swish) = context.swish() else { return };
    match swish.renew_certificate(Utc::now()) {
        Ok(Some(new)) => {
            tracing::info!(common_name = new.common_name, not_after = %new.not_after, "a new Swish certificate is in use");
            context.metrics.swish_certificate(new.not_after);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(
                error = chain(&error),
                "the new Swish certificate cannot be used; the old one stays in use"
            );
        }
    }
}
