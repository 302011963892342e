//! How a running service is used: its addresses, a token, a payment. Printed by `make run`, and among containers by
//! `payment-stack introduce`.

use anyhow::Result;

use crate::tokens::token;

#[derive(Debug, Clone, clap::Args)]
pub struct Introduction {
    /// The API, as a browser reaches it.
    #[arg(long, env)]
    pub(crate) api_url: String,
    /// What its tokens are signed with.
    #[arg(long, env, hide_env_values = true)]
    pub(crate) jwt_development_secret: String,
    /// The simulated Stripe. None: the real one.
    #[arg(long, env)]
    pub(crate) stripe_simulator_url: Option<String>,
    /// Where the simulated Swish has the payer's phone.
    #[arg(long, env)]
    pub(crate) swish_control_url: String,
}

impl Introduction {
    /// Where everything is, and a token.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub(crate) fn addresses(&self) -> Result<String> {
        let api = &self.api_url;
        let token = token(&self.jwt_development_secret, "user-1", "user")?;
        say!("  Swagger UI   {api}/docs");
        match &self.stripe_simulator_url {
            Some(url) => say!("  Stripe       simulated, {url}/_control/ledger"),
            None => say!(
                "  Stripe       the real one; send its events here with\n               \
                 stripe listen --forward-to {api}/api/webhooks/stripe"
            ),
        }
        say!("  Swish        simulated; the payer's phone is {}", self.swish_control_url);
        Ok(token)
    }

    /// A request that takes a payment.
    pub(crate) fn payment(&self, token: &str) {
        say!(
            "curl -s {}/api/payments -H 'Prefer: wait=10' -H 'Content-Type: application/json' \\\n  \
             -H 'Authorization: Bearer {token}' \\\n  \
             -d '{{\"provider\": \"stripe\", \"amount\": 19900, \"currency\": \"sek\", \"payment_method\": \"pm_card_visa\"}}'\n",
            self.api_url
        );
    }

    /// # Errors
    /// The token cannot be signed.
    pub fn print(&self) -> Result<()> {
        let token = self.addresses()?;
        say!("  token        {token}\n\nTake a payment:\n");
        self.payment(&token);
        Ok(())
    }
}
