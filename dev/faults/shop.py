"""A shop's day at both providers: what its customers, their banks, its staff and its payers do."""

import http.client
import time
import urllib.parse

from client import USERS, Load, Write

CARDS = (
    ["pm_card_visa"] * 8
    + ["pm_card_mastercard", "pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds", "pm_card_refundFail",
       "pm_card_pendingRefund", "pm_card_createDispute"] + ["pm_card_threeDSecure2Required"] * 2
)
# What is done how often.
KINDS = {
    "stripe_pay": 20, "stripe_open": 6, "browser": 7, "authenticate": 4, "capture": 7, "cancel": 6, "refund": 13,
    "save_card": 3, "pay_saved": 4, "remove_card": 1, "customer": 1, "subscribe": 4, "change_subscription": 4,
    "dispute": 2, "bank": 2, "dashboard_refund": 1, "swish_asked": 8, "swish_app": 8, "payer": 16, "read": 3,
}
# The payers of Swish, few enough for some to have a request open already.
PAYERS = [f"467000000{n:02}" for n in range(24)]


class Shop(Load):
    kinds = KINDS

    def save_cards(self):
        """A card for each user, before the storm: with it they pay while they are away."""
        for user in USERS:
            made = self.ask(Write(-1, "setup", user, "POST", "/api/customers/me/setup", {}, None, True))
            self.save(made.json()["id"], user, "pm_card_visa")

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
        return self.save(write.answer.json()["id"], write.user, random_.choice(CARDS[:9])) or what

    def save(self, setup, user, card):
        """The payer gives a card, once Stripe has made what they give it to."""
        for _ in range(100):
            made = self.stack.get(f"/api/customers/me/setup/{setup}", user)
            if made and made.get("client_secret"):
                return self.confirm("setup_intents", made["client_secret"], card)
            time.sleep(0.2)
        return None

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
