"""The load: a shop's day, from several clients at once, through an API that may be away.

What operation `n` of a seed is, and with which amounts, comes from a generator of its own; on what it is done (which
payment is captured, which payer pays) depends on what is there by then. A client that gets no answer behaves as a client
should: under an `Idempotency-Key` it asks again, without one it does not.
"""

import collections
import http.client
import json
import random
import threading
import time
import urllib.parse

from stack import NotSent

USERS = ("token", "other_token")
CARDS = (
    ["pm_card_visa"] * 8
    + ["pm_card_mastercard", "pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds", "pm_card_refundFail",
       "pm_card_pendingRefund", "pm_card_createDispute"] + ["pm_card_threeDSecure2Required"] * 2
)
# What is done how often, of a hundred or so.
KINDS = {
    "stripe_pay": 20, "stripe_open": 6, "browser": 7, "authenticate": 4, "capture": 7, "cancel": 6, "refund": 13,
    "save_card": 3, "pay_saved": 4, "remove_card": 1, "customer": 1, "subscribe": 4, "change_subscription": 4,
    "dispute": 2, "bank": 2, "dashboard_refund": 1, "swish_asked": 8, "swish_app": 8, "payer": 16, "read": 3,
}
# The payers of Swish, few enough for some to have a request open already.
PAYERS = [f"467000000{n:02}" for n in range(24)]


class Answer:
    """What came of a request: a status and the bytes; `status` is None where the answer was lost."""

    def __init__(self, status, content=b""):
        self.status, self.content = status, content

    @property
    def accepted(self):
        return self.status is not None and 200 <= self.status < 300

    @property
    def lost(self):
        # 503: the service could not tell whether its commit was taken.
        return self.status is None or self.status in (502, 503, 504)

    def json(self):
        try:
            return json.loads(self.content)
        except ValueError:
            return {}


class Write:
    """A write, and what its client knows of it."""

    def __init__(self, number, kind, user, method, path, body, key, waits):
        self.number, self.kind, self.user, self.method, self.path = number, kind, user, method, path
        self.body, self.key, self.waits = body, key, waits
        self.tag = ((body or {}).get("metadata") or {}).get("operation")
        # The first answer that the client got; whether an earlier try went without one; answers that differed.
        self.answer, self.lost_before, self.others = None, False, []

    def __str__(self):
        return f"operation {self.number} ({self.method} {self.path}{', key ' + self.key if self.key else ''})"


class Load:
    def __init__(self, stack, seed, operations, clients=8, per_second=14):
        self.stack, self.seed, self.operations = stack, seed, operations
        self.clients, self.pause = clients, 1 / per_second
        self.begun, self.ended, self.writes, self.faults_of_service = 0, 0, [], []
        self.answers = collections.Counter()
        self.made = {"stripe": [], "swish": [], "subscriptions": []}
        self.lock, self.going = threading.Lock(), threading.Event()
        self.going.set()
        self.at_work = 0
        self.next_at = time.monotonic()

    def run(self):
        self.save_cards()
        threads = [threading.Thread(target=self.client, daemon=True) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def save_cards(self):
        """A card for each user, before the storm: with it they pay while they are away."""
        for user in USERS:
            made = Write(-1, "setup", user, "POST", "/api/customers/me/setup", {}, None, True)
            setup = self.ask(made).json()
            self.confirm("setup_intents", setup["client_secret"], "pm_card_visa")

    def hold(self):
        """Lets nothing new begin, and waits until nothing is under way."""
        self.going.clear()
        end = time.monotonic() + 60
        while self.at_work and time.monotonic() < end:
            time.sleep(0.1)

    def go_on(self):
        self.going.set()

    def client(self):
        while True:
            self.going.wait()
            with self.lock:
                if self.begun == self.operations:
                    return
                number, self.begun = self.begun, self.begun + 1
                self.at_work += 1
                # Evenly, so that the faults have something to fall on.
                now = time.monotonic()
                self.next_at = max(self.next_at + self.pause, now - 1)
                wait = self.next_at - now
            time.sleep(max(0, wait))
            try:
                self.operate(number)
            finally:
                with self.lock:
                    self.at_work -= 1
                    self.ended += 1

    def operate(self, number):
        random_ = random.Random(f"{self.seed}/operation/{number}")
        kind = random_.choices(list(KINDS), list(KINDS.values()))[0]
        try:
            what = getattr(self, kind)(number, random_)
        except (OSError, http.client.HTTPException):
            # Only of reads and of what payers and banks do: writes look after themselves.
            what = "no answer"
        with self.lock:
            self.answers[(kind, what or "nothing to do")] += 1

    # Asking

    def ask(self, write):
        """One try. What was not sent, for certain, is sent again."""
        headers = {"Authorization": "Bearer " + self.stack.known[write.user]}
        if write.key:
            headers["Idempotency-Key"] = write.key
        if write.waits:
            headers["Prefer"] = "wait=3"
        for _ in range(200):
            try:
                status, content = self.stack.http(write.method, self.stack.known["api_url"], write.path, write.body,
                                                  headers, timeout=12)
            except NotSent:
                time.sleep(0.1)
                continue
            except (OSError, http.client.HTTPException):
                return Answer(None)
            if status == 500:
                self.faults_of_service.append(f"{write}: {status} {content.decode(errors='replace')}")
            return Answer(status, content)
        return Answer(None)

    def write(self, number, random_, kind, method, path, body=None, user=None, tagged=True):
        """A write as a client makes it: half of them under a key, of those some twice, some twice at once."""
        body = {} if body is None and method != "DELETE" else body
        if tagged:
            body["metadata"] = {"operation": f"{self.seed}-{number}"}
        key = f"key-{self.seed}-{number}" if random_.random() < 0.5 else None
        write = Write(number, kind, user or random_.choice(USERS), method, path, body, key, random_.random() < 0.3)
        again, at_once = random_.random() < 0.3, random_.random() < 0.15
        with self.lock:
            self.writes.append(write)
        if key and at_once:
            self.twice_at_once(write)
        else:
            self.until_answered(write)
        if key and again and write.answer and write.answer.accepted:
            second = self.ask(write)
            if not second.lost:
                write.others.append(second)
        if not write.answer:
            return write, "lost"
        code = write.answer.json().get("code") if not write.answer.accepted else None
        return write, f"{write.answer.status} {code}" if code else str(write.answer.status)

    def until_answered(self, write):
        for _ in range(12 if write.key else 1):
            answer = self.ask(write)
            if not answer.lost and not (answer.status == 409 and self.in_use(answer)):
                write.answer = answer
                return
            write.lost_before = write.lost_before or answer.lost
            time.sleep(0.3)

    def twice_at_once(self, write):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.ask(write)), daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        good = [answer for answer in answers if not answer.lost and not self.in_use(answer)]
        # One that waits is told more than one that only repeats: either may be the one that is kept.
        write.lost_before = len(good) < 2 or write.waits
        if good:
            write.answer = good[0]
            write.others += good[1:]
        else:
            self.until_answered(write)

    @staticmethod
    def in_use(answer):
        return answer.json().get("code") == "idempotency_key_in_use"

    def note(self, where, write):
        """Something was made: later operations may be done on it."""
        if write.answer and write.answer.accepted:
            with self.lock:
                self.made[where].append((write.answer.json()["id"], write.user))

    def pick(self, random_, *where):
        """Mostly what is new: old payments are refunded already."""
        with self.lock:
            those = sum((self.made[name][-25:] for name in where), [])
        return random_.choice(those) if those else (None, None)

    def find(self, random_, where, status):
        """One with this status: its id and whose it is. What has moved on by the time it is used is refused."""
        for user in random_.sample(USERS, len(USERS)):
            rows = (self.stack.get(f"/api/{where}?limit=30&status={status}", user) or {"data": []})["data"]
            if rows:
                return random_.choice(rows)["id"], user
        return None, None

    # What is done

    def stripe_pay(self, number, random_):
        body = {"provider": "stripe", "amount": random_.randrange(1_000, 50_000), "currency": "sek",
                "payment_method": random_.choice(CARDS), "return_url": "https://shop.example"}
        if random_.random() < 0.3:
            body["capture_method"] = "manual"
        write, what = self.write(number, random_, "payment", "POST", "/api/payments", body)
        self.note("stripe", write)
        return what

    def stripe_open(self, number, random_):
        body = {"provider": "stripe", "amount": random_.randrange(1_000, 50_000), "currency": "sek"}
        write, what = self.write(number, random_, "payment", "POST", "/api/payments", body)
        self.note("stripe", write)
        return what

    def browser(self, number, random_):
        """The payer confirms what waits for a payment method."""
        where, status = random_.choice([("payments", "requires_action&provider=stripe"),
                                        ("payments", "failed&provider=stripe"), ("subscriptions", "incomplete")])
        id_, user = self.find(random_, where, status)
        thing = id_ and self.stack.get(f"/api/{where}/{id_}", user)
        if not thing or not thing.get("client_secret"):
            return None
        return self.confirm("payment_intents", thing["client_secret"], random_.choice(CARDS))

    def confirm(self, kind, secret, card):
        form = urllib.parse.urlencode({"client_secret": secret, "payment_method": card,
                                       "return_url": "https://shop.example"})
        url = urllib.parse.urlsplit(self.stack.known["stripe_simulator_url"])
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
        try:
            connection.request("POST", f"/v1/{kind}/{secret.split('_secret')[0]}/confirm", form,
                               {"Authorization": "Bearer pk_test_x",
                                "Content-Type": "application/x-www-form-urlencoded"})
            return str(connection.getresponse().status)
        finally:
            connection.close()

    def authenticate(self, number, random_):
        """The payer's part of 3-D Secure."""
        waiting = [intent["id"] for intent in self.stack.control("stripe", "GET", "/objects/payment_intents")["data"]
                   if intent["status"] == "requires_action"]
        if not waiting:
            return None
        result = "success" if random_.random() < 0.7 else "failure"
        self.stack.control("stripe", "POST", f"/payment_intents/{random_.choice(waiting)}/authenticate",
                           {"result": result})
        return result

    def capture(self, number, random_):
        id_, user = self.find(random_, "payments", "requires_capture")
        if not id_ or random_.random() < 0.1:
            id_, user = self.pick(random_, "stripe")
        if not id_:
            return None
        body = {"amount": random_.randrange(500, 40_000)} if random_.random() < 0.4 else {}
        return self.write(number, random_, "capture", "POST", f"/api/payments/{id_}/capture", body, user, tagged=False)[1]

    def cancel(self, number, random_):
        """Of what is held, of what waits, of what was accepted this moment."""
        status = random_.choice(["requires_capture", "requires_action", None])
        id_, user = self.find(random_, "payments", status) if status else self.pick(random_, "stripe", "swish")
        if not id_:
            return None
        return self.write(number, random_, "cancel", "POST", f"/api/payments/{id_}/cancel", {}, user, tagged=False)[1]

    def refund(self, number, random_):
        id_, user = self.find(random_, "payments", "succeeded")
        if not id_ or random_.random() < 0.1:
            id_, user = self.pick(random_, "stripe", "swish")
        if not id_:
            return None
        body = {"payment_id": id_}
        if random_.random() < 0.8:
            body["amount"] = random_.randrange(100, 9_000)
        return self.write(number, random_, "refund", "POST", "/api/refunds", body, user)[1]

    def save_card(self, number, random_):
        write, what = self.write(number, random_, "setup", "POST", "/api/customers/me/setup", None, tagged=False)
        if not (write.answer and write.answer.accepted):
            return what
        path = f"/api/customers/me/setup/{write.answer.json()['id']}"
        for _ in range(100):
            setup = self.stack.get(path, write.user)
            if setup and setup.get("client_secret"):
                return self.confirm("setup_intents", setup["client_secret"], random_.choice(CARDS[:9]))
            time.sleep(0.2)
        return what

    def saved(self, random_, user):
        cards = (self.stack.get("/api/customers/me/payment-methods", user) or {"data": []})["data"]
        return random_.choice(cards)["id"] if cards else None

    def pay_saved(self, number, random_):
        user = random_.choice(USERS)
        card = self.saved(random_, user)
        if not card:
            return None
        body = {"provider": "stripe", "amount": random_.randrange(1_000, 50_000), "currency": "sek",
                "payment_method": card, "off_session": True}
        write, what = self.write(number, random_, "payment", "POST", "/api/payments", body, user)
        self.note("stripe", write)
        return what

    def remove_card(self, number, random_):
        user = random_.choice(USERS)
        card = self.saved(random_, user)
        if not card:
            return None
        return self.write(number, random_, "remove_card", "DELETE", f"/api/customers/me/payment-methods/{card}", None,
                          user, tagged=False)[1]

    def customer(self, number, random_):
        body = {"name": f"Anna {number}", "metadata": {"tier": f"tier {number}"}}
        return self.write(number, random_, "customer", "PATCH", "/api/customers/me", body, tagged=False)[1]

    def subscribe(self, number, random_):
        user = random_.choice(USERS)
        body = {"provider": "stripe", "amount": random_.randrange(1_000, 20_000), "currency": "sek",
                "interval": "month", "product_name": f"Plan {random_.randrange(3)}"}
        card = self.saved(random_, user) if random_.random() < 0.6 else None
        if card:
            body["payment_method"] = card
        elif random_.random() < 0.2:
            body["trial_period_days"] = 14
        write, what = self.write(number, random_, "subscription", "POST", "/api/subscriptions", body, user)
        self.note("subscriptions", write)
        return what

    def change_subscription(self, number, random_):
        id_, user = self.find(random_, "subscriptions", random_.choice(["active", "active", "trialing", "incomplete"]))
        if not id_ or random_.random() < 0.1:
            id_, user = self.pick(random_, "subscriptions")
        if not id_:
            return None
        method, path, body = random_.choice([
            ("PATCH", "", {"amount": random_.randrange(1_000, 20_000)}), ("DELETE", "", None),
            ("DELETE", "?immediate=true", None), ("POST", "/resume", {}),
        ])
        return self.write(number, random_, "change_subscription", method, f"/api/subscriptions/{id_}{path}", body, user,
                          tagged=False)[1]

    def dispute(self, number, random_):
        """An administrator answers, or accepts."""
        disputes = self.stack.get("/api/admin/disputes?limit=20", "admin_token")["data"]
        if not disputes:
            return None
        path = f"/api/admin/disputes/{random_.choice(disputes)['id']}"
        if random_.random() < 0.6:
            path, body = path + "/evidence", {"evidence": {"uncategorized_text": f"Delivered, see {number}."}}
        else:
            path, body = path + "/accept", {}
        return self.write(number, random_, "dispute", "POST", path, body, "admin_token", tagged=False)[1]

    def bank(self, number, random_):
        """The payer's bank: it disputes what was paid, or decides."""
        if random_.random() < 0.5:
            paid = [intent["id"] for intent in self.stack.control("stripe", "GET", "/objects/payment_intents")["data"]
                    if intent["status"] == "succeeded"]
            if paid:
                self.stack.control("stripe", "POST", f"/payment_intents/{random_.choice(paid)}/dispute", {})
            return "disputed" if paid else None
        disputes = self.stack.control("stripe", "GET", "/objects/disputes")["data"]
        if disputes:
            result = random_.choice(["won", "lost"])
            self.stack.control("stripe", "POST", f"/disputes/{random_.choice(disputes)['id']}/close", {"result": result})
        return "decided" if disputes else None

    def dashboard_refund(self, number, random_):
        paid = [intent["id"] for intent in self.stack.control("stripe", "GET", "/objects/payment_intents")["data"]
                if intent["status"] == "succeeded"]
        if not paid:
            return None
        self.stack.control("stripe", "POST", "/refund",
                           {"payment_intent": random_.choice(paid), "amount": random_.randrange(100, 2_000)})
        return "asked"

    def swish_asked(self, number, random_):
        return self.swish(number, random_, {"payer_alias": random_.choice(PAYERS)})

    def swish_app(self, number, random_):
        return self.swish(number, random_, {"message": f"Order {number}"})

    def swish(self, number, random_, details):
        body = {"provider": "swish", "amount": random_.randrange(1_000, 50_000), "currency": "sek", "swish": details}
        write, what = self.write(number, random_, "payment", "POST", "/api/payments", body)
        self.note("swish", write)
        return what

    def payer(self, number, random_):
        """A payer of Swish: most pay. Who does not act lets it expire."""
        payments = self.stack.control("swish", "GET", "/objects/payments")["data"]
        waiting = [payment["id"] for payment in payments if payment["status"] == "CREATED"]
        if not waiting:
            return None
        id_, act = random_.choice(waiting), random_.random()
        if act < 0.7:
            self.stack.control("swish", "POST", "/pay/" + id_)
            return "paid"
        if act < 0.83:
            self.stack.control("swish", "POST", "/decline/" + id_)
            return "declined"
        code = random_.choice(["RF07", "BANKIDCL", "TM01", "DS24"])
        body = {"code": code}
        if code == "DS24":
            # Swish does not know; the ledger does.
            body["moved"] = random_.random() < 0.5
        self.stack.control("swish", "POST", "/fail/" + id_, body)
        return code

    def read(self, number, random_):
        user = random_.choice(USERS)
        return "200" if self.stack.get(random_.choice(["/api/payments", "/api/refunds", "/api/disputes"]), user) else "refused"
