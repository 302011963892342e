//! Callbacks that are not Swish's: the right shape, from someone who does not know the identifier.

use super::fields::is_callback_url;
use super::model::{Payment, Refund, Status, plain};
use super::world::{Inner, SwishWorld, random_hex};

/// What a forged callback says.
#[derive(Debug, Clone)]
pub struct Forgery {
    pub status: Status,
    /// `None`: one made by chance.
    pub callback_identifier: Option<String>,
    /// Where it is posted to. `None`: where the object's own go.
    pub url: Option<String>,
}

impl SwishWorld {
    /// Posts a forged callback about a payment request or a refund, or about one that does not exist. Gives the status it
    /// was answered with.
    ///
    /// # Errors
    /// There is nothing of that id and no URL, or nobody answered.
    pub async fn forge(&self, id: &str, forgery: Forgery) -> Result<u16, String> {
        let identifier = forgery.callback_identifier.clone().unwrap_or_else(|| random_hex(16).to_ascii_uppercase());
        let (url, body) = self.act(|inner| inner.forged(id, &forgery, &identifier))?;
        self.sender.post(&url, Some(&identifier), body).await.map_err(|error| error.to_string())
    }
}

impl Inner {
    /// The URL and the body.
    fn forged(&self, id: &str, forgery: &Forgery, identifier: &str) -> Result<(String, String), String> {
        let paid = (forgery.status == Status::Paid).then(|| self.now());
        let payment_reference = Some(random_hex(16).to_ascii_uppercase());
        let url = |own: &str| {
            let url = forgery.url.clone().unwrap_or_else(|| own.to_owned());
            if is_callback_url(&url) { Ok(url) } else { Err(format!("`{url}` is not https")) }
        };
        let callback_identifier = Some(identifier.to_owned());
        let status = forgery.status;
        if let Some(refund) = self.refund(id) {
            let url = url(&refund.callback_url)?;
            let refund = Refund { status, paid, callback_identifier, payment_reference, ..refund.clone() };
            return Ok((url, refund.to_json()));
        }
        let payment = match self.payment(id) {
            Some(payment) => payment.clone(),
            None => self.invented(&plain(id), forgery.url.clone().ok_or("nothing has that id: say which `url`")?),
        };
        let url = url(&payment.callback_url)?;
        Ok((url, Payment { status, paid, callback_identifier, payment_reference, ..payment }.to_json()))
    }

    fn invented(&self, id: &str, callback_url: String) -> Payment {
        Payment {
            id: id.to_owned(),
            owner: self.settings.payee_alias.clone(),
            token: None,
            payee_payment_reference: None,
            payment_reference: None,
            callback_url,
            callback_identifier: None,
            payer_alias: Some("4671234768".to_owned()),
            payer_ssn: None,
            age_limit: None,
            payee_alias: self.settings.payee_alias.clone(),
            amount: 10_000,
            currency: "SEK".to_owned(),
            message: None,
            status: Status::Created,
            created: self.now(),
            paid: None,
            error_code: None,
            error_message: None,
            moved: false,
        }
    }
}
