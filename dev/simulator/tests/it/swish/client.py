"""A merchant with nothing but Python's standard library: client.py API CONTROL CALLBACK CA CERTIFICATE KEY"""

import http.client
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
import uuid
from decimal import Decimal
from urllib.parse import urlsplit

api, control, callback, ca, certificate, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(certificate, key)
parts = urlsplit(api)
connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=20)


def call(method, path, body=None, content_type="application/json"):
    headers = {"Content-Type": content_type} if body is not None else {}
    connection.request(method, parts.path + path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, answer.headers, json.loads(text, parse_float=Decimal) if text else None


def expect(found, expected):
    if found != expected:
        raise SystemExit(f"expected {expected!r}, found {found!r}")


def act(path):
    with urllib.request.urlopen(urllib.request.Request(f"{control}/_control/{path}", b"", method="POST")) as answer:
        return json.load(answer, parse_float=Decimal)


def new():
    return uuid.uuid4().hex.upper()


def create(number, **changes):
    body = {
        "payeePaymentReference": "python-1",
        "callbackUrl": callback,
        "callbackIdentifier": new(),
        "payerAlias": "4671234768",
        "payeeAlias": "1234679304",
        "amount": "199.50",
        "currency": "SEK",
        "message": "From Python",
    }
    body.update(changes)
    body = {name: value for name, value in body.items() if value is not None}
    return call("PUT", f"v2/paymentrequests/{number}", body)


# Without a certificate nobody gets in.
try:
    urllib.request.urlopen(api, context=ssl.create_default_context(cafile=ca), timeout=20)
    raise SystemExit("a caller without a certificate was let in")
except (urllib.error.URLError, ssl.SSLError, ConnectionError):
    pass

# A request is made and cancelled.
cancelled = new()
status, headers, body = create(cancelled)
expect((status, body, headers["Location"]), (201, None, f"{api}v1/paymentrequests/{cancelled}"))
expect(create(new())[2][0]["errorCode"], "RP06")
patch = [{"op": "replace", "path": "/status", "value": "cancelled"}]
status, _, body = call("PATCH", f"v1/paymentrequests/{cancelled}", patch, "application/json-patch+json")
expect((status, body["status"]), (200, "CANCELLED"))

# One in the app is paid.
paid = new()
status, headers, _ = create(paid, payerAlias=None)
expect((status, len(headers["PaymentRequestToken"])), (201, 32))
expect(call("GET", f"v1/paymentrequests/{paid}")[2]["status"], "CREATED")
act(f"pay/{headers['PaymentRequestToken']}")
status, _, payment = call("GET", f"v1/paymentrequests/{paid}")
expect((status, payment["status"], payment["amount"]), (200, "PAID", Decimal("199.50")))

# Part of it is refunded.
refund = new()
body = {
    "originalPaymentReference": payment["paymentReference"],
    "callbackUrl": callback,
    "payerAlias": payment["payeeAlias"],
    "payeeAlias": payment["payerAlias"],
    "amount": "50.25",
    "currency": "SEK",
}
expect(call("PUT", f"v2/refunds/{refund}", body)[0], 201)
status, _, errors = call("PUT", f"v2/refunds/{new()}", {**body, "amount": "150.00"})
expect((status, errors[0]["errorCode"], errors[0]["additionalInformation"]), (422, "RF08", "149.25"))
for _ in range(200):
    found = call("GET", f"v1/refunds/{refund}")[2]
    if found["status"] == "PAID":
        break
    time.sleep(0.02)
expect((found["status"], found["amount"]), ("PAID", Decimal("50.25")))
print("done")
