//! What payers, banks and the dashboard do: the control API's methods, for tests that run in the same process.

use serde_json::{Value, json};

use crate::stripe::disputes::{self, Opening};
use crate::stripe::error::StripeError;
use crate::stripe::payment_methods::{self, make};
use crate::stripe::refunds::{self, Wish};
use crate::stripe::store::{Kind, OURS, id_of, shown, text};
use crate::stripe::world::{Actor, World};
use crate::stripe::{cards, payment_intents, setup_intents, subscriptions};

type Done = Result<Value, StripeError>;

impl World {
    fn act(&self, action: impl FnOnce(Actor<'_>) -> Done) -> Done {
        let _serial = self.one_at_a_time();
        self.catch_up();
        action(Actor::nobody(self)).map(shown)
    }

    pub(crate) fn let_time_pass(&self) {
        let _serial = self.one_at_a_time();
        self.catch_up();
    }

    /// The payer authenticates a PaymentIntent that is `requires_action`, or fails to.
    ///
    /// # Errors
    /// There is no such PaymentIntent, or it asks for nothing.
    pub fn authenticate_payment_intent(&self, id: &str, success: bool) -> Result<Value, StripeError> {
        self.act(|actor| payment_intents::authenticate(actor, id, success))
    }

    /// The bank decides about a PaymentIntent that is `processing`.
    ///
    /// # Errors
    /// There is no such PaymentIntent, or nobody waits for the bank.
    pub fn settle_payment_intent(&self, id: &str, success: bool) -> Result<Value, StripeError> {
        self.act(|actor| payment_intents::settle(actor, id, success))
    }

    /// The payer disputes a payment. `status`: `needs_response` (what `None` means) or `warning_needs_response`.
    ///
    /// # Errors
    /// There is no such payment, it cannot be disputed, or the status is another one.
    pub fn dispute_payment_intent(
        &self,
        id: &str,
        reason: Option<&str>,
        amount: Option<i64>,
        status: Option<&str>,
    ) -> Result<Value, StripeError> {
        self.act(|actor| {
            let inquiry = match status {
                None | Some("needs_response") => false,
                Some("warning_needs_response") => true,
                Some(_) => {
                    let message = "A dispute begins as needs_response or warning_needs_response.";
                    return Err(StripeError::bad(Some("status"), message));
                }
            };
            let charge = refunds::charge_of(actor, &payment_intents::find(actor, id)?)?;
            disputes::open(actor, id_of(&charge), &Opening { reason, amount, inquiry })
        })
    }

    /// The bank decides a dispute. An inquiry can only be won: it is closed.
    ///
    /// # Errors
    /// There is no such dispute, or it is closed.
    pub fn close_dispute(&self, id: &str, won: bool) -> Result<Value, StripeError> {
        self.act(|actor| disputes::decide(actor, id, won))
    }

    /// An inquiry becomes a dispute, and the money is withdrawn.
    ///
    /// # Errors
    /// There is no such inquiry.
    pub fn escalate_dispute(&self, id: &str) -> Result<Value, StripeError> {
        self.act(|actor| disputes::escalate(actor, id))
    }

    /// A refund made in the dashboard: no key, no metadata.
    ///
    /// # Errors
    /// What `POST /v1/refunds` would refuse.
    pub fn refund_in_dashboard(&self, payment_intent: &str, amount: Option<i64>) -> Result<Value, StripeError> {
        self.act(|actor| {
            let charge = refunds::charge_of(actor, &payment_intents::find(actor, payment_intent)?)?;
            refunds::make(actor, charge, &Wish { amount, reason: None, metadata: json!({}) })
        })
    }

    /// A refund fails, even one that had succeeded.
    ///
    /// # Errors
    /// There is no such refund, or it failed already.
    pub fn fail_refund(&self, id: &str, failure_reason: Option<&str>) -> Result<Value, StripeError> {
        self.act(|actor| refunds::fail(actor, id, failure_reason))
    }

    /// A refund that is `pending` or `requires_action` succeeds.
    ///
    /// # Errors
    /// There is no such refund, or it is not waiting.
    pub fn succeed_refund(&self, id: &str) -> Result<Value, StripeError> {
        self.act(|actor| refunds::succeed(actor, id))
    }

    /// The payer authenticates a SetupIntent that is `requires_action`, or fails to.
    ///
    /// # Errors
    /// There is no such SetupIntent, or it asks for nothing.
    pub fn authenticate_setup_intent(&self, id: &str, success: bool) -> Result<Value, StripeError> {
        self.act(|actor| setup_intents::authenticate(actor, id, success))
    }

    /// # Errors
    /// There is no such subscription, or it is over.
    pub fn pause_subscription(&self, id: &str) -> Result<Value, StripeError> {
        self.act(|actor| subscriptions::force(actor, id, "paused", Some("customer.subscription.paused")))
    }

    /// # Errors
    /// There is no such subscription, or it is over.
    pub fn resume_subscription(&self, id: &str) -> Result<Value, StripeError> {
        self.act(|actor| subscriptions::force(actor, id, "active", Some("customer.subscription.resumed")))
    }

    /// # Errors
    /// There is no such subscription, or it is over.
    pub fn mark_subscription_unpaid(&self, id: &str) -> Result<Value, StripeError> {
        self.act(|actor| subscriptions::force(actor, id, "unpaid", None))
    }

    /// From now on the cards that the customer's subscriptions are paid with behave like a test card. A customer whose
    /// subscriptions have none gets one.
    ///
    /// # Errors
    /// There is no such customer or test card.
    pub fn set_customer_card(&self, customer: &str, token: &str) -> Result<Value, StripeError> {
        self.act(|actor| {
            let Some(card) = cards::card(token) else {
                return Err(StripeError::missing_param(Kind::PaymentMethod, token, "payment_method"));
            };
            let found = actor.get(Kind::Customer, customer).filter(|customer| customer["deleted"] != true);
            let mut found = found.ok_or_else(|| StripeError::missing(Kind::Customer, customer))?;
            let of_customer = |subscription: &Value| text(subscription, "customer") == customer;
            let subscriptions = actor.world.select(Kind::Subscription, of_customer);
            let mut methods: Vec<String> =
                subscriptions.iter().filter_map(|found| subscriptions::default_method(actor, found)).collect();
            methods.extend(found["invoice_settings"]["default_payment_method"].as_str().map(str::to_owned));
            methods.sort();
            methods.dedup();
            if methods.is_empty() {
                let method = id_of(&make(actor, token, card)).to_owned();
                payment_methods::attach_to(actor, &method, customer)?;
                found["invoice_settings"]["default_payment_method"] = method.as_str().into();
                actor.change(Kind::Customer, &found, "customer.updated");
                methods.push(method);
            }
            for id in &methods {
                if let Some(mut method) = actor.get(Kind::PaymentMethod, id) {
                    method[OURS]["card"] = token.into();
                    method[OURS]["set_up"] = false.into();
                    actor.put(Kind::PaymentMethod, &method);
                }
            }
            Ok(json!({ "customer": customer, "payment_methods": methods, "card": token }))
        })
    }

    /// The bank sent the payer a new card: `payment_method.automatically_updated`.
    ///
    /// # Errors
    /// There is no such PaymentMethod, or the date does not exist.
    pub fn update_payment_method(
        &self,
        id: &str,
        exp_month: Option<i64>,
        exp_year: Option<i64>,
    ) -> Result<Value, StripeError> {
        self.act(|actor| {
            let method = actor.get(Kind::PaymentMethod, id);
            let mut method = method.ok_or_else(|| StripeError::missing(Kind::PaymentMethod, id))?;
            payment_methods::expiry(&mut method, exp_month, exp_year)?;
            actor.change(Kind::PaymentMethod, &method, "payment_method.automatically_updated");
            Ok(method)
        })
    }
}
