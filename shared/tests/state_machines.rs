//! The state machines: every status against every piece of news, and random histories that may never go backwards.

use std::collections::BTreeMap;
use std::fmt::Debug;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::domain::dispute::{Dispute, DisputeFunds, DisputeStatus, ProviderDispute};
use shared::domain::evidence::{Evidence, Failure, IllegalTransition};
use shared::domain::ids::{CustomerId, DisputeId, PaymentId, RefundId, SetupId, SubscriptionId, UserId};
use shared::domain::money::Money;
use shared::domain::operation::NotPossible;
use shared::domain::payment::{CaptureMethod, Payment, PaymentStatus, ProviderName, ProviderPayment};
use shared::domain::refund::{ProviderRefund, Refund, RefundStatus};
use shared::domain::setup::{ProviderSetup, Setup, SetupStatus};
use shared::domain::subscription::{Interval, ProviderSubscription, Subscription, SubscriptionStatus};
use shared::domain::transitions::{Movement, Transitions, movement};

fn sek(minor: i64) -> Money {
    Money { minor, currency: "sek".parse().expect("a real code") }
}

fn user() -> UserId {
    UserId("u".to_owned())
}

fn payment(status: PaymentStatus) -> Payment {
    let now = Utc::now();
    Payment {
        swish: None,
        id: PaymentId::generate(),
        user_id: user(),
        customer_id: CustomerId::generate(),
        subscription_id: None,
        provider: ProviderName::Stripe,
        provider_payment_id: (status != PaymentStatus::Pending).then(|| "pi_1".to_owned()),
        status,
        retryable: false,
        money: sek(1_000),
        amount_capturable: if status == PaymentStatus::RequiresCapture { 1_000 } else { 0 },
        amount_captured: 0,
        amount_refunded: 0,
        amount_disputed: 0,
        capture_method: CaptureMethod::Automatic,
        description: None,
        statement_descriptor: None,
        payment_method: None,
        off_session: false,
        return_url: None,
        client_secret: None,
        next_action: None,
        failure: None,
        last_operation: None,
        outcome_unknown_since: None,
        metadata: BTreeMap::new(),
        version: 1,
        created_at: now,
        updated_at: now,
        completed_at: None,
        expires_at: None,
        trace: None,
    }
}

fn seen_payment(status: PaymentStatus) -> ProviderPayment {
    ProviderPayment {
        outcome_unknown: false,
        swish: None,
        id: "pi_1".to_owned(),
        status,
        retryable: status == PaymentStatus::Failed,
        money: sek(1_000),
        amount_capturable: if status == PaymentStatus::RequiresCapture { 1_000 } else { 0 },
        amount_captured: if status == PaymentStatus::Succeeded { 1_000 } else { 0 },
        payment_method: None,
        client_secret: None,
        next_action: None,
        failure: None,
        expires_at: None,
        created_at: Utc::now(),
    }
}

fn refund(status: RefundStatus) -> Refund {
    let now = Utc::now();
    Refund {
        id: RefundId::generate(),
        user_id: user(),
        payment_id: PaymentId::generate(),
        provider: ProviderName::Stripe,
        provider_refund_id: (status != RefundStatus::Pending).then(|| "re_1".to_owned()),
        status,
        money: sek(400),
        reason: None,
        failure: None,
        outcome_unknown_since: None,
        metadata: BTreeMap::new(),
        version: 1,
        created_at: now,
        updated_at: now,
        completed_at: None,
    }
}

fn seen_refund(status: RefundStatus) -> ProviderRefund {
    ProviderRefund {
        outcome_unknown: false,
        id: "re_1".to_owned(),
        provider_payment_id: "pi_1".to_owned(),
        status,
        money: sek(400),
        reason: None,
        failure: None,
        created_at: Utc::now(),
    }
}

fn subscription(status: SubscriptionStatus) -> Subscription {
    let now = Utc::now();
    Subscription {
        id: SubscriptionId::generate(),
        user_id: user(),
        customer_id: CustomerId::generate(),
        provider: ProviderName::Stripe,
        provider_subscription_id: (status != SubscriptionStatus::Pending).then(|| "sub_1".to_owned()),
        provider_item_id: None,
        status,
        money: sek(9_900),
        interval: Interval::Month,
        interval_count: 1,
        product_name: "Plan".to_owned(),
        trial_period_days: None,
        payment_method: None,
        current_period_start: None,
        current_period_end: None,
        trial_end: None,
        cancel_at_period_end: false,
        canceled_at: None,
        ended_at: None,
        client_secret: None,
        latest_payment_id: None,
        failure: None,
        last_operation: None,
        outcome_unknown_since: None,
        metadata: BTreeMap::new(),
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

fn seen_subscription(status: SubscriptionStatus) -> ProviderSubscription {
    ProviderSubscription {
        metadata: BTreeMap::new(),
        id: "sub_1".to_owned(),
        item_id: "si_1".to_owned(),
        status,
        money: sek(9_900),
        payment_method: None,
        current_period_start: None,
        current_period_end: None,
        trial_end: None,
        cancel_at_period_end: false,
        canceled_at: None,
        ended_at: None,
        client_secret: None,
    }
}

fn setup(status: SetupStatus) -> Setup {
    let now = Utc::now();
    Setup {
        id: SetupId::generate(),
        user_id: user(),
        customer_id: CustomerId::generate(),
        provider: ProviderName::Stripe,
        provider_setup_id: (status != SetupStatus::Pending).then(|| "seti_1".to_owned()),
        status,
        client_secret: None,
        payment_method: None,
        failure: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

fn seen_setup(status: SetupStatus) -> ProviderSetup {
    let id = "seti_1".to_owned();
    ProviderSetup { id, status, client_secret: None, payment_method: None, failure: None }
}

fn dispute(status: DisputeStatus) -> Dispute {
    let now = Utc::now();
    Dispute {
        id: DisputeId::generate(),
        user_id: user(),
        payment_id: PaymentId::generate(),
        provider: ProviderName::Stripe,
        provider_dispute_id: "du_1".to_owned(),
        status,
        reason: "fraudulent".to_owned(),
        money: sek(1_000),
        funds: DisputeFunds::Withdrawn,
        evidence_due_by: None,
        evidence_submitted: false,
        last_operation: None,
        version: 1,
        created_at: now,
        updated_at: now,
        closed_at: None,
    }
}

fn seen_dispute(status: DisputeStatus) -> ProviderDispute {
    ProviderDispute {
        id: "du_1".to_owned(),
        provider_payment_id: Some("pi_1".to_owned()),
        status,
        reason: "fraudulent".to_owned(),
        money: sek(1_000),
        funds: DisputeFunds::Withdrawn,
        evidence_due_by: None,
        evidence: BTreeMap::new(),
        evidence_submitted: false,
        created_at: Utc::now(),
    }
}

fn failure() -> Failure {
    Failure { code: "x".to_owned(), decline_code: None, message: String::new() }
}

/// A table names each status once, and every pair of statuses moves as the table says when it is observed.
fn every_pair_has_its_rule<S: Transitions + Debug>(all: &[S], observe: impl Fn(S, S) -> Result<S, IllegalTransition>) {
    for &status in all {
        assert_eq!(S::TABLE.iter().filter(|(from, _)| *from == status).count(), 1, "{status:?}");
        assert!(!status.followers().contains(&status), "{status:?} follows itself");
    }
    for &from in all {
        for &to in all {
            let expected = match movement(from, to) {
                Movement::Same | Movement::Forward => Some(to),
                Movement::Stale => Some(from),
                Movement::Contradiction => None,
            };
            assert_eq!(observe(from, to).ok(), expected, "{from:?} -> {to:?}");
        }
    }
}

#[test]
fn every_pair_of_statuses_of_every_resource_has_its_rule() {
    let now: DateTime<Utc> = Utc::now();
    every_pair_has_its_rule(PaymentStatus::ALL, |from, to| {
        payment(from).apply(Evidence::Observed(seen_payment(to)), now).map(|p| p.status)
    });
    every_pair_has_its_rule(RefundStatus::ALL, |from, to| {
        refund(from).apply(Evidence::Observed(seen_refund(to)), now).map(|r| r.status)
    });
    every_pair_has_its_rule(SubscriptionStatus::ALL, |from, to| {
        subscription(from).apply(Evidence::Observed(seen_subscription(to)), now).map(|s| s.status)
    });
    every_pair_has_its_rule(SetupStatus::ALL, |from, to| {
        setup(from).apply(Evidence::Observed(seen_setup(to))).map(|s| s.status)
    });
    every_pair_has_its_rule(DisputeStatus::ALL, |from, to| {
        dispute(from).observe(seen_dispute(to), now).map(|d| d.status)
    });
}

#[test]
fn only_pending_is_refused_or_unknown() {
    let now = Utc::now();
    for &status in PaymentStatus::ALL {
        let pending = status == PaymentStatus::Pending;
        let refused = payment(status).apply(Evidence::Refused(failure()), now).expect("legal");
        assert_eq!(refused.status, if pending { PaymentStatus::Failed } else { status });
        let unknown = payment(status).apply(Evidence::OutcomeUnknown, now).expect("legal");
        assert_eq!((unknown.status, unknown.outcome_unknown_since.is_some()), (status, pending));
    }
    for &status in RefundStatus::ALL {
        let pending = status == RefundStatus::Pending;
        let refused = refund(status).apply(Evidence::Refused(failure()), now).expect("legal");
        assert_eq!(refused.status, if pending { RefundStatus::Failed } else { status });
        let unknown = refund(status).apply(Evidence::OutcomeUnknown, now).expect("legal");
        assert_eq!((unknown.status, unknown.outcome_unknown_since.is_some()), (status, pending));
    }
    for &status in SubscriptionStatus::ALL {
        let pending = status == SubscriptionStatus::Pending;
        let refused = subscription(status).apply(Evidence::Refused(failure()), now).expect("legal");
        assert_eq!(refused.status, if pending { SubscriptionStatus::Failed } else { status });
        let unknown = subscription(status).apply(Evidence::OutcomeUnknown, now).expect("legal");
        assert_eq!((unknown.status, unknown.outcome_unknown_since.is_some()), (status, pending));
    }
    for &status in SetupStatus::ALL {
        let refused = setup(status).apply(Evidence::Refused(failure())).expect("legal");
        assert_eq!(refused.status, if status == SetupStatus::Pending { SetupStatus::Failed } else { status });
    }
}

#[test]
fn the_answer_of_a_create_call_never_overwrites_newer_news() {
    let now = Utc::now();
    for &known in PaymentStatus::ALL {
        for &answer in PaymentStatus::ALL {
            let after = payment(known).apply(Evidence::Created(seen_payment(answer)), now).expect("legal").status;
            let moves = known == PaymentStatus::Pending;
            assert_eq!(after, if moves { answer } else { known }, "{known:?} {answer:?}");
        }
    }
    let after = refund(RefundStatus::Failed).apply(Evidence::Created(seen_refund(RefundStatus::Succeeded)), now);
    assert_eq!(after.expect("legal").status, RefundStatus::Failed);
}

#[test]
fn random_histories_never_go_backwards() {
    for seed in 0..2_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut now = payment(PaymentStatus::Pending);
        let mut paid = false;
        for _ in 0..30 {
            let seen = seen_payment(PaymentStatus::ALL[random.random_range(0..PaymentStatus::ALL.len())]);
            let evidence = match random.random_range(0..4) {
                0 => Evidence::Created(seen),
                1 => Evidence::Refused(failure()),
                2 => Evidence::OutcomeUnknown,
                _ => Evidence::Observed(seen),
            };
            let Ok(next) = now.apply(evidence, Utc::now()) else { continue };
            assert!(
                next.status == now.status || now.status.followers().contains(&next.status),
                "seed {seed}: {:?} -> {:?}",
                now.status,
                next.status
            );
            assert!(next.amount_captured >= now.amount_captured, "seed {seed}");
            assert!(!now.status.is_final() || next.status == now.status, "seed {seed}");
            assert!(next.outcome_unknown_since.is_none() || next.status == PaymentStatus::Pending, "seed {seed}");
            paid |= next.status == PaymentStatus::Succeeded;
            assert!(!paid || next.status == PaymentStatus::Succeeded, "seed {seed}: paid is paid");
            now = next;
        }
    }
}

#[test]
fn a_refund_that_succeeded_may_come_back_and_one_that_was_refused_may_turn_out_to_exist() {
    let now = Utc::now();
    let back = refund(RefundStatus::Succeeded).apply(Evidence::Observed(seen_refund(RefundStatus::Failed)), now);
    assert_eq!(back.expect("legal").status, RefundStatus::Failed);
    let refused = refund(RefundStatus::Pending).apply(Evidence::Refused(failure()), now).expect("legal");
    let exists = refused.apply(Evidence::Observed(seen_refund(RefundStatus::Succeeded)), now).expect("legal");
    assert_eq!((exists.status, exists.failure), (RefundStatus::Succeeded, None));
}

#[test]
fn another_object_or_another_amount_is_refused() {
    let now = Utc::now();
    let mut other = seen_payment(PaymentStatus::Succeeded);
    other.id = "pi_2".to_owned();
    let result = payment(PaymentStatus::Processing).apply(Evidence::Observed(other), now);
    assert!(matches!(result, Err(IllegalTransition::OtherObject { .. })));
    let mut more = seen_payment(PaymentStatus::Succeeded);
    more.money = sek(2_000);
    let result = payment(PaymentStatus::Pending).apply(Evidence::Created(more), now);
    assert!(matches!(result, Err(IllegalTransition::OtherMoney)));
    let mut less = seen_refund(RefundStatus::Succeeded);
    less.money = sek(1);
    let result = refund(RefundStatus::Pending).apply(Evidence::Created(less), now);
    assert!(matches!(result, Err(IllegalTransition::OtherMoney)));
}

#[test]
fn unknown_is_marked_once_and_cleared_by_evidence() {
    let first = Utc::now();
    let unknown = payment(PaymentStatus::Pending).apply(Evidence::OutcomeUnknown, first).expect("legal");
    let again = unknown.apply(Evidence::OutcomeUnknown, Utc::now()).expect("legal");
    assert_eq!(again.outcome_unknown_since, Some(first));
    let known = again.apply(Evidence::Observed(seen_payment(PaymentStatus::Succeeded)), Utc::now()).expect("legal");
    assert_eq!(known.outcome_unknown_since, None);
}

#[test]
fn one_operation_at_a_time_and_only_what_is_held_is_captured() {
    let now = Utc::now();
    for &status in PaymentStatus::ALL {
        let result = payment(status).request_capture(None, now);
        assert_eq!(result.is_ok(), status == PaymentStatus::RequiresCapture, "{status:?}");
        let result = payment(status).request_cancel(None, now);
        assert_eq!(result.is_ok(), !status.is_final(), "{status:?}");
    }
    let held = payment(PaymentStatus::RequiresCapture);
    assert!(matches!(held.request_capture(Some(1_001), now), Err(NotPossible::ExceedsHeld(1_000))));
    assert!(matches!(held.request_capture(Some(0), now), Err(NotPossible::Field("/amount", _))));
    let capturing = held.request_capture(Some(1_000), now).expect("possible");
    assert!(matches!(capturing.request_cancel(None, now), Err(NotPossible::InProgress)));
}
