"""What must hold once the storm is over and all is at rest.

Each check is a function that gives its violations, as lines with ids. *Explicitly unknown* is what says so itself
(`outcome_unknown_since`): nobody can say whether its money moved, so it is left out on both sides and counted aside.
"""

import base64
import collections
import random
import re
import time

from client import USERS

# What a job may have spent on something unknown at Stripe before we believe that it does not end soon. At Swish it ends:
# after two minutes what was refused is refused.
TRIES_OF_UNKNOWN = 10
UNKNOWN = """SELECT id FROM payments WHERE outcome_unknown_since IS NOT NULL AND provider = 'stripe'
    UNION ALL SELECT id FROM refunds WHERE outcome_unknown_since IS NOT NULL AND provider = 'stripe'
    UNION ALL SELECT id FROM subscriptions WHERE outcome_unknown_since IS NOT NULL"""


def rest(stack, seconds):
    """Waits until nothing is under way: `None`, or what still is after so long. Payers may still be thinking.

    Time that matters to jobs is Postgres', so their rows are moved: pauses are cut short, and an attempt ages five times
    as fast. What needs two minutes of patience with Swish, or half an hour between two tries, need not be waited for.
    """
    stack.use_up_faults()
    began, at_rest = time.monotonic(), 0
    while True:
        left = under_way(stack)
        at_rest = 0 if left else at_rest + 1
        # Twice: what a webhook begins is not there at the moment it is taken, and what none told is only found now.
        if at_rest == 2:
            return None
        if at_rest == 1:
            sweep(stack)
        age = time.monotonic() - began
        if age > seconds:
            return left
        if left and age > 4:
            stack.psql(
                f"""UPDATE jobs SET run_at = now(), rung_until = NULL WHERE state = 'queued' AND run_at > now() + interval '1 s'
                      AND (attempts < max_attempts - 2 OR kind = 'poll_swish') AND kind <> 'poll_stripe';
                    UPDATE attempts SET created_at = created_at - interval '5 s' WHERE outcome <> 'done'"""
            )
        time.sleep(0.3 if at_rest else 1)


def sweep(stack):
    """Has the feed of Stripe's events read to its end, as it is when a minute has passed."""
    stack.control("stripe", "POST", "/events/age", {"to_seconds": 60})
    runs = "SELECT attempts FROM jobs WHERE kind = 'sweep_stripe_events' AND state IN ('queued', 'running')"
    first, end = None, time.monotonic() + 60
    while time.monotonic() < end:
        stack.psql("UPDATE jobs SET run_at = now() WHERE kind = 'sweep_stripe_events' AND state = 'queued'")
        for row in stack.query(runs):
            first = row["attempts"] if first is None else first
            # One may have been at work already.
            if row["attempts"] >= first + 2:
                return
        time.sleep(0.2)


def under_way(stack):
    """What is still to be done, in words; empty at rest."""
    left = [f"{row['kind']} {row['state']} of {row['subject_id']}, {row['attempts']} attempts: {row['last_error']}"
            for row in stack.query(
                f"""SELECT kind, state, subject_id, attempts, last_error FROM jobs WHERE state IN ('queued', 'running')
                      AND kind NOT IN ('poll_stripe', 'poll_swish', 'sweep_stripe_events')
                      AND NOT (state = 'queued' AND attempts >= {TRIES_OF_UNKNOWN} AND subject_id IN ({UNKNOWN}))""")]
    left += [f"refund {row['id']} is {row['status']}" for row in stack.query(
        """SELECT id, status FROM refunds WHERE provider = 'swish' AND status IN ('pending', 'processing')
             AND outcome_unknown_since IS NULL""")]
    # A callback that is lost is noticed by a poll, later.
    ended = {payment["id"] for payment in stack.control("swish", "GET", "/objects/payments")["data"]
             if payment["status"] != "CREATED"}
    left += [f"payment {row['id']} has ended at Swish, and is requires_action" for row in stack.query(
        "SELECT id, provider_payment_id FROM payments WHERE provider = 'swish' AND status = 'requires_action'")
             if row["provider_payment_id"] in ended]
    for provider, path in (("stripe", "/events"), ("swish", "/callbacks")):
        told = stack.control(provider, "GET", path)
        if told["deliveries_pending"] or told["held"]:
            left.append(f"{provider}: {told['deliveries_pending']} deliveries pending, {told['held']} held")
    return left


class World:
    """Everything there is, read once: ours over the API, the providers' over their control."""

    def __init__(self, stack, load):
        self.stack, self.load = stack, load
        self.payments, self.refunds, self.subscriptions = {}, {}, {}
        for user in USERS:
            for name in ("payments", "refunds", "subscriptions"):
                for row in stack.all_pages("/api/" + name, user):
                    row["user"] = user
                    getattr(self, name)[row["id"]] = row
        self.jobs = stack.query("SELECT id, kind, state, subject_id, attempts, last_error,"
                                " coalesce(leased_until > now(), false) AS at_work FROM jobs WHERE state <> 'done'")
        self.stripe = stack.control("stripe", "GET", "/ledger")["data"]
        self.swish = stack.control("swish", "GET", "/ledger")["data"]
        self.intents = stack.control("stripe", "GET", "/objects/payment_intents")["data"]
        self.stripe_refunds = stack.control("stripe", "GET", "/objects/refunds")["data"]
        self.stripe_subscriptions = stack.control("stripe", "GET", "/objects/subscriptions")["data"]
        self.swish_payments = stack.control("swish", "GET", "/objects/payments")["data"]
        rows = [*self.payments.values(), *self.refunds.values(), *self.subscriptions.values()]
        self.disputes = [row for user in USERS for row in stack.all_pages("/api/disputes", user)]
        self.stripe_disputes = stack.control("stripe", "GET", "/objects/disputes")["data"]
        self.unknown = {row["id"] for row in rows if row.get("outcome_unknown_since")}

    def of(self, rows, provider):
        return [row for row in rows.values() if row["provider"] == provider]


def nothing_is_lost(world):
    """Every write that was accepted is there, once; one whose answer was lost is there at most once; no answer is a 500."""
    violations = list(world.load.faults_of_service)
    made = collections.Counter(row["metadata"].get("operation") for rows in
                               (world.payments, world.refunds, world.subscriptions) for row in rows.values())
    for write in world.load.writes:
        if write.kind not in ("payment", "refund", "subscription"):
            continue
        accepted = write.answer is not None and write.answer.accepted
        if made[write.tag] > 1:
            violations.append(f"{write} was done {made[write.tag]} times")
        elif accepted and made[write.tag] == 0:
            violations.append(f"{write} was accepted and is gone: {write.answer.content[:200]!r}")
        elif made[write.tag] and write.answer is not None and not accepted and not write.lost_before:
            violations.append(f"{write} was refused with {write.answer.status} and was done")
    return violations


def nothing_is_left_open(world):
    """Terminal, waiting for a payer or a holder, or explicitly unknown; nothing is pending."""
    waiting = {"stripe": {"succeeded", "failed", "canceled", "requires_action", "requires_capture"},
               "swish": {"succeeded", "failed", "canceled"}}
    violations = []
    for what, rows in (("payment", world.payments), ("refund", world.refunds), ("subscription", world.subscriptions)):
        for row in rows.values():
            if row["id"] in world.unknown:
                continue
            if what == "payment":
                open_ = row["status"] not in waiting[row["provider"]]
            else:
                open_ = row["status"] in ("pending", "processing")
            if open_:
                violations.append(f"{what} {row['id']} is {row['status']}")
            if (row.get("last_operation") or {}).get("status") == "pending":
                violations.append(f"{what} {row['id']}: {row['last_operation']['kind']} is pending")
    pending = world.stack.query("SELECT id, status FROM setups WHERE status = 'pending'")
    pending += world.stack.query("SELECT id, last_operation->>'status' AS status FROM disputes "
                                 "WHERE last_operation->>'status' = 'pending'")
    return violations + [f"setup or dispute {row['id']} is {row['status']}" for row in pending]


def stripe_agrees(world):
    """Payment by payment and refund by refund, our sums are those of Stripe's ledger."""
    names = {"charge": 0, "refund": 1, "refund_failure": 1, "dispute": 2, "dispute_reversal": 2}
    theirs, refunded = collections.defaultdict(lambda: [0, 0, 0]), collections.Counter()
    left_out = {row["provider_refund_id"] for row in world.refunds.values() if row["id"] in world.unknown}
    for entry in world.stripe:
        amount = -entry["amount"] if entry["type"] in ("refund_failure", "dispute_reversal") else entry["amount"]
        if names[entry["type"]] == 1:
            if entry["id"] in left_out or entry["metadata"].get("refund_id") in world.unknown:
                continue
            refunded[entry["id"]] += amount
        theirs[entry["payment_intent"]][names[entry["type"]]] += amount
    ours, unsure = {}, set()
    for row in world.of(world.payments, "stripe"):
        if row["id"] in world.unknown:
            unsure.add(row["id"])
        aside = sum(refund["amount"] for refund in world.refunds.values() if refund["payment_id"] == row["id"]
                    and refund["id"] in world.unknown and refund["status"] not in ("failed", "canceled"))
        if row["provider_payment_id"]:
            ours[row["provider_payment_id"]] = \
                (row["id"], [row["amount_captured"], row["amount_refunded"] - aside, row["amount_disputed"]])
    intents = {intent["id"]: intent for intent in world.intents}
    violations = []
    for id_ in sorted(set(ours) | set(theirs)):
        ours_id, sums = ours.get(id_, (intents.get(id_, {}).get("metadata", {}).get("payment_id"), [0, 0, 0]))
        if sums != theirs[id_] and ours_id not in unsure:
            violations.append(f"payment {ours_id} ({id_}): captured, refunded, disputed are {sums}, at Stripe {theirs[id_]}")
    succeeded = {row["provider_refund_id"]: row["amount"] for row in world.of(world.refunds, "stripe")
                 if row["status"] not in ("failed", "canceled") and row["id"] not in world.unknown}
    for id_ in sorted(set(succeeded) | set(refunded), key=str):
        if succeeded.get(id_, 0) != refunded[id_]:
            violations.append(f"refund {id_}: {succeeded.get(id_, 0)}, at Stripe {refunded[id_]}")
    statuses = {row["provider_subscription_id"]: (row["id"], row["status"]) for row in world.subscriptions.values()}
    for theirs_ in world.stripe_subscriptions:
        id_, status = statuses.get(theirs_["id"], (theirs_["metadata"].get("subscription_id"), None))
        if status != theirs_["status"] and id_ not in world.unknown:
            violations.append(f"subscription {id_} ({theirs_['id']}) is {status}, at Stripe {theirs_['status']}")
    return violations


def disputes_agree(world):
    """Every dispute is as Stripe has it."""
    ours = {row["provider_dispute_id"]: row for row in world.disputes}
    return [f"dispute {theirs['id']} is {ours.get(theirs['id'], {}).get('status')}, at Stripe {theirs['status']}"
            for theirs in world.stripe_disputes if ours.get(theirs["id"], {}).get("status") != theirs["status"]]


def customers_agree(world):
    """A user's name and cards are as Stripe has them."""
    violations = []
    names = {row["id"]: row.get("name") for row in world.stack.control("stripe", "GET", "/objects/customers")["data"]}
    cards = {row["id"]: row.get("customer") for row in
             world.stack.control("stripe", "GET", "/objects/payment_methods")["data"]}
    for row in world.stack.query("SELECT id, name, stripe_customer_id FROM customers WHERE stripe_customer_id IS NOT NULL"):
        if names.get(row["stripe_customer_id"]) != row["name"]:
            violations.append(f"customer {row['id']} is called {row['name']!r}, at Stripe "
                              f"{names.get(row['stripe_customer_id'])!r}")
    for row in world.stack.query("SELECT * FROM saved_payment_methods"):
        if (row["status"] == "saved") != (cards.get(row["provider_payment_method_id"]) is not None):
            violations.append(f"card {row['id']} is {row['status']}, at Stripe of {cards.get(row['id'])}")
    return violations


def the_unknown_is_unknown(world):
    """What we say that nobody knows, its provider does not know either."""
    known = {intent["metadata"].get("payment_id") for intent in world.intents}
    known |= {refund["metadata"].get("refund_id") for refund in world.stripe_refunds}
    rows = [*world.of(world.payments, "stripe"), *world.of(world.refunds, "stripe")]
    violations = [f"{row['id']} is {row['status']} and explicitly unknown, and is there at Stripe" for row in rows
                  if row["id"] in world.unknown and row["id"] in known]
    unsure = {payment["id"] for payment in world.swish_payments if payment["errorCode"] == "DS24"}
    unsure |= {refund["id"] for refund in world.stack.control("swish", "GET", "/objects/refunds")["data"]
               if refund["errorCode"] == "DS24"}
    rows = [(row, row["provider_payment_id"]) for row in world.of(world.payments, "swish")]
    rows += [(row, row["provider_refund_id"]) for row in world.of(world.refunds, "swish")]
    return violations + [f"{row['id']} ({id_}) is {row['status']} and explicitly unknown, and Swish knows it"
                         for row, id_ in rows if row["id"] in world.unknown and id_ not in unsure]


def swish_agrees(world):
    """Payment by payment and refund by refund, what we call paid is what Swish's ledger has; `DS24` is left out."""
    theirs = {"charge": collections.Counter(), "refund": collections.Counter()}
    for entry in world.swish:
        amount = -entry["amount"] if entry["type"] == "refund_failure" else entry["amount"]
        theirs["charge" if entry["type"] == "charge" else "refund"][entry["id"]] += amount
    violations = []
    for what, rows, key in (("charge", world.payments, "provider_payment_id"),
                            ("refund", world.refunds, "provider_refund_id")):
        rows = world.of(rows, "swish")
        left_out = {row[key] for row in rows if row["id"] in world.unknown}
        amount = "amount_captured" if what == "charge" else "amount"
        ours = {row[key]: row[amount] for row in rows if row["status"] == "succeeded"}
        for id_ in sorted((set(ours) | set(theirs[what])) - left_out, key=str):
            if ours.get(id_, 0) != theirs[what][id_]:
                violations.append(f"Swish's {what} {id_}: {ours.get(id_, 0)}, at Swish {theirs[what][id_]}")
    return violations


def nothing_moved_twice(world):
    """One charge of a payment, one refund of a refund, one entry under a key; no more back than came in."""
    violations = []
    for type_, name in (("charge", "payment_id"), ("refund", "refund_id")):
        entries = [entry for entry in world.stripe if entry["type"] == type_]
        for label, key in ((name, lambda entry: entry["metadata"].get(name)),
                           ("key", lambda entry: entry["idempotency_key"])):
            counts = collections.Counter(key(entry) for entry in entries if key(entry))
            violations += [f"Stripe: {count} entries of type {type_} of {label} {id_}"
                           for id_, count in counts.items() if count > 1]
    counts = collections.Counter((entry["type"], entry["id"]) for entry in world.swish)
    violations += [f"Swish: {count} entries {type_} of {id_}" for (type_, id_), count in counts.items() if count > 1]
    references = collections.Counter(payment["payeePaymentReference"] for payment in world.swish_payments
                                     if payment["status"] == "PAID")
    violations += [f"Swish: payment {id_} was paid {count} times" for id_, count in references.items() if count > 1]
    return violations


def no_job_is_left(world):
    """None waits, is stuck or dead: but what asks again and again, which may also be at work at this moment, and what is of
    something explicitly unknown."""
    asks = ("poll_stripe", "poll_swish", "sweep_stripe_events")
    return [f"job {job['id']}: {job['kind']} of {job['subject_id']} is {job['state']} after {job['attempts']} attempts: "
            f"{job['last_error']}" for job in world.jobs
            if job["subject_id"] not in world.unknown and not (job["kind"] in asks and (job["state"] == "queued" or job["at_work"]))]


def nothing_paid_is_called_failed(world):
    """No payment is `failed` or `canceled` that its provider has as paid."""
    paid = {intent["id"] for intent in world.intents if intent["status"] == "succeeded"}
    paid |= {payment["id"] for payment in world.swish_payments if payment["status"] == "PAID"}
    paid_for = {intent["metadata"].get("payment_id") for intent in world.intents if intent["status"] == "succeeded"}
    return [f"payment {row['id']} ({row['provider_payment_id']}) is {row['status']}, and paid at {row['provider']}"
            for row in world.payments.values() if row["status"] in ("failed", "canceled")
            and (row["provider_payment_id"] in paid or row["id"] in paid_for)]


def timelines_are_whole(world):
    """They begin with `accepted`, end with the payment's status, and never go back in time."""
    violations = []
    for row in world.payments.values():
        steps = world.stack.get(f"/api/payments/{row['id']}/timeline", row["user"])["data"]
        times = [step["created_at"] for step in steps]
        if not steps:
            violations.append(f"payment {row['id']} has no timeline")
        elif steps[-1]["status"] != row["status"]:
            violations.append(f"payment {row['id']} is {row['status']}, its last step {steps[-1]['status']}")
        elif not row["subscription_id"] and steps[0]["detail"] != "accepted":
            violations.append(f"the first step of payment {row['id']} is {steps[0]['detail']}")
        # Padded: where the last digits are noughts they are left out.
        times = [re.sub(r"(\.\d+)?(\+00:00|Z)$", lambda part: (part[1] or ".").ljust(7, "0"), time_) for time_ in times]
        for earlier, later, step in zip(times, times[1:], steps[1:]):
            if later < earlier:
                violations.append(f"payment {row['id']}: {step['detail']!r} at {later} comes after {earlier}")
    return violations


def replays_are_the_same(world, sample=60):
    """A keyed write that is sent again is answered as the first time, to the byte, and does nothing."""
    violations = []
    keyed = [write for write in world.load.writes if write.key and write.answer and write.answer.accepted]
    for write in keyed:
        for other in write.others:
            # While a client waits for more news, another one is told what was known when it was accepted.
            if other.content != write.answer.content and not write.lost_before:
                violations.append(f"{write}: sent twice, answered {shown(write.answer)} and {shown(other)}")
    for write in random.Random(world.load.seed).sample(keyed, min(sample, len(keyed))):
        again = world.load.ask(write)
        if write.lost_before and write.waits:
            # Which answer was kept last the client cannot know; it must be of the same thing.
            same = again.json().get("id") == write.answer.json().get("id")
        else:
            same = (again.status, again.content) == (write.answer.status, write.answer.content)
        if not same:
            violations.append(f"{write}: answered {shown(write.answer)}, later {shown(again)}")
    return violations


def shown(answer):
    """An answer, without what is nobody's business."""
    body = answer.json()
    return f"{answer.status} ({body.get('id') or body.get('code')} is {body.get('status')})"


def refunds_add_up(world):
    """`amount_refunded` is the sum of the refunds that have not failed, and within what was captured."""
    sums = collections.Counter()
    for refund in world.refunds.values():
        if refund["status"] not in ("failed", "canceled"):
            sums[refund["payment_id"]] += refund["amount"]
    return [f"payment {row['id']}: {row['amount_refunded']} refunded of {row['amount_captured']}, its refunds are "
            f"{sums[row['id']]}" for row in world.payments.values()
            if row["amount_refunded"] != sums[row["id"]] or row["amount_refunded"] > row["amount_captured"]]


def logs_hold_no_secret(world):
    """Neither keys, nor secrets of clients, nor tokens, nor passwords, in any log."""
    stack = world.stack
    secrets = {"the key of Stripe": "sk_test_simulated", "the webhook secret": stack.known["stripe_webhook_secret"]}
    for file in ("jwt.secret", "swish-callback.secret", "postgres.password"):
        secrets[file] = stack.secret(file)
    for name in ("token", "other_token", "admin_token"):
        secrets["the " + name] = stack.known[name]
    for table in ("payments", "subscriptions", "setups"):
        for row in stack.query(f"SELECT id, client_secret FROM {table} WHERE client_secret IS NOT NULL"):
            secrets[f"the client secret of {table} {row['id']}"] = row["client_secret"]
    for payment in world.swish_payments:
        if payment.get("token"):
            secrets[f"the token of Swish's {payment['id']}"] = payment["token"]
    key = stack.secret("swish-certificates/merchant.key").splitlines()
    secrets["the key of our certificate"] = key[len(key) // 2]
    secrets["a PEM key"] = "PRIVATE KEY"
    secrets["the webhook secret in base64"] = base64.b64encode(stack.known["stripe_webhook_secret"].encode()).decode()
    violations = []
    for log in sorted((stack.directory / ".dev/logs").glob("*.log")):
        text = log.read_text(errors="replace")
        violations += [f"{log.name} holds {what}" for what, secret in secrets.items() if secret in text]
    return violations


CHECKS = (
    nothing_is_lost, nothing_is_left_open, stripe_agrees, disputes_agree, customers_agree, swish_agrees,
    the_unknown_is_unknown, nothing_moved_twice, no_job_is_left,
    nothing_paid_is_called_failed, timelines_are_whole, replays_are_the_same, refunds_add_up, logs_hold_no_secret,
)
