"""What is sent: signed events, payments, tokens. Each different from every other, and made before a round begins."""

import base64
import hashlib
import hmac
import itertools
import json
import random
import subprocess
import time

from service import WEBHOOK_SECRET

USERS = 50
# Numbers that no other request of this run has, nor of the runs before.
NUMBERS = itertools.count(time.time_ns() // 1_000)


class Request:
    def __init__(self, method, path, headers, body=b""):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def raw(self, host):
        """The bytes of the request."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        length = f"Content-Length: {len(self.body)}\r\n" if self.body else ""
        return f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\n{head}{length}\r\n".encode() + self.body


# Events

EVENT = {
    "id": "evt_@", "object": "event", "api_version": "2026-09-30.endive", "created": 1_790_000_000,
    "type": "payment_intent.succeeded", "livemode": False, "pending_webhooks": 1,
    "request": {"id": "req_@", "idempotency_key": "0192f3a1-7c55-7b1e-9d27-5a1f0c6e8b42"},
    "data": {"object": {
        "id": "pi_@", "object": "payment_intent", "amount": 19_900, "amount_capturable": 0, "amount_details": {"tip": {}},
        "amount_received": 19_900, "application": None, "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True}, "canceled_at": None,
        "cancellation_reason": None, "capture_method": "automatic_async",
        "client_secret": "pi_@_secret_Dm43xiq1k0ywrRRjDoi8y1gkM", "confirmation_method": "automatic",
        "created": 1_790_000_000, "currency": "sek", "customer": "cus_QXg1o8vlGmoR32", "customer_account": None,
        "description": "Order 4711 of the shop at shop.example", "excluded_payment_method_types": None,
        "last_payment_error": None, "latest_charge": "ch_@", "livemode": False,
        "metadata": {"order": "4711", "payment_id": "0192f3a1-7c55-7b1e-9d27-5a1f0c6e8b42", "channel": "web", "store": "se-sto-03"},
        "next_action": None, "on_behalf_of": None, "payment_method": "pm_1PgafyB7WZ01zgkWxR5nKQ2b",
        "payment_method_configuration_details": {"id": "pmc_1PgafyB7WZ01zgkWqT8vLM3c", "parent": None},
        "payment_method_options": {
            "amazon_pay": {"express_checkout_element_session_id": None},
            "card": {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"},
            "klarna": {"preferred_locale": None}, "link": {"persistent_token": None}},
        "payment_method_types": ["card", "klarna", "link", "amazon_pay"], "processing": None,
        "receipt_email": "anna.andersson@example.com", "review": None, "setup_future_usage": None,
        "shipping": {"address": {"city": "Stockholm", "country": "SE", "line1": "Drottninggatan 71 C", "line2": None,
                                 "postal_code": "111 36", "state": None},
                     "carrier": "PostNord", "name": "Anna Andersson", "phone": "+46701234567", "tracking_number": None},
        "source": None, "statement_descriptor": None, "statement_descriptor_suffix": "ORDER 4711",
        "status": "succeeded", "transfer_data": None, "transfer_group": "group_4711"}},
}
# Stripe sends it indented.
EVENT_PARTS = json.dumps(EVENT, indent=2).encode().split(b"@")


def event_body(number):
    return b"%015x1PgafyB7W" .__mod__(number).join(EVENT_PARTS)


def events(count, duplicates=0.0):
    """Of objects that nobody knows, signed now. Of so many, a part is sent a second time."""
    signed_at = str(int(time.time()))
    chance, sent = random.Random(1), []
    for _ in range(count):
        if sent and chance.random() < duplicates:
            # Some time after the first, as a sender does that had no answer in time.
            yield sent[max(0, len(sent) - chance.randrange(100, 2_000))]
            continue
        body = event_body(next(NUMBERS))
        seal = hmac.new(WEBHOOK_SECRET.encode(), signed_at.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={signed_at},v1={seal}",
                   "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)", "Accept": "*/*; q=0.5, application/xml"}
        request = Request("POST", "/api/webhooks/stripe", headers, body)
        if duplicates:
            sent.append(request)
        yield request


# Tokens

class Issuer:
    """Signs tokens (RS256), as an organisation's auth service does."""

    def __init__(self, directory):
        self.private, self.public = directory / "token.key", directory / "token.pub"
        if not self.public.exists():
            self.openssl("genrsa", "-out", self.private, "2048")
            self.openssl("rsa", "-in", self.private, "-pubout", "-out", self.public)
        self.known = {}

    def token(self, user):
        if user not in self.known:
            now = int(time.time())
            claims = {"sub": user, "email": f"{user}@example.com", "name": user, "role": "user", "iat": now,
                      "exp": now + 86_400}
            text = encode(json.dumps({"alg": "RS256", "typ": "JWT"}).encode()) + b"." + encode(json.dumps(claims).encode())
            self.known[user] = (text + b"." + encode(self.openssl("dgst", "-sha256", "-sign", self.private, input=text))).decode()
        return self.known[user]

    @staticmethod
    def openssl(*arguments, **more):
        return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **more).stdout


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def payments(issuer, count, users=tuple(f"user-{n}" for n in range(USERS)), **headers):
    """From these users in turn, each under a key of its own."""
    for number in itertools.islice(NUMBERS, count):
        body = {"provider": "stripe", "amount": 1_000 + number % 40_000, "currency": "sek", "payment_method": "pm_card_visa",
                "return_url": "https://shop.example/thanks", "description": f"Order {number}",
                "metadata": {"order": str(number)}}
        yield Request("POST", "/api/payments", {
            "Content-Type": "application/json", "Authorization": "Bearer " + issuer.token(users[number % len(users)]),
            "Idempotency-Key": f"order-{number}", **headers}, json.dumps(body).encode())
