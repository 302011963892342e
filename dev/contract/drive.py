"""Takes a payment, and gives a part of it back, through the client that openapi-python-client generates."""

import json
import sys
import uuid

from payment_client import AuthenticatedClient
from payment_client.api.payments import capture_payment, create_payment, get_payment, list_payments
from payment_client.api.refunds import create_refund
from payment_client.models import (
    CapturePayment,
    CaptureMethod,
    CreatePayment,
    CreatePaymentMetadata,
    CreateRefund,
    ListPaymentsMetadata,
    OperationStatus,
    Payment,
    PaymentStatus,
    Problem,
    Provider,
    Refund,
)

stack = json.load(open(sys.argv[1]))
client = AuthenticatedClient(base_url=stack["api_url"], token=stack["token"])
order = str(uuid.uuid4())
wanted = CreatePayment(
    provider=Provider.STRIPE,
    amount=19_900,
    currency="sek",
    capture_method=CaptureMethod.MANUAL,
    payment_method="pm_card_visa",
    metadata=CreatePaymentMetadata.from_dict({"order": order}),
)

payment = create_payment.sync(client=client, body=wanted, prefer="wait=20", idempotency_key=order)
assert isinstance(payment, Payment) and payment.status is PaymentStatus.REQUIRES_CAPTURE, payment
assert payment.subscription_id is None and payment.metadata["order"] == order, payment

captured = capture_payment.sync(payment.id, client=client, body=CapturePayment(amount=15_000), prefer="wait=20")
assert isinstance(captured, Payment) and captured.last_operation, captured
assert captured.last_operation.status is OperationStatus.SUCCEEDED, captured

refund = create_refund.sync(client=client, body=CreateRefund(payment_id=payment.id, amount=5_000), prefer="wait=20")
assert isinstance(refund, Refund) and refund.amount == 5_000, refund

read = get_payment.sync(payment.id, client=client)
assert isinstance(read, Payment) and (read.amount_captured, read.amount_refunded) == (15_000, 5_000), read

# This generator sends the keys of an object as they are.
pairs = ListPaymentsMetadata.from_dict({"metadata[order]": order})
found = list_payments.sync(client=client, metadata=pairs)
assert [one.id for one in found.data] == [payment.id], found

# Errors come as the one shape that all share.
refused = create_payment.sync(client=client, body=CreatePayment(provider=Provider.STRIPE, amount=-1, currency="nope"))
assert isinstance(refused, Problem) and refused.code == "invalid_body", refused
assert {error.pointer for error in refused.errors} == {"/amount", "/currency"}, refused
missing = get_payment.sync(uuid.uuid4(), client=client)
assert isinstance(missing, Problem) and missing.code == "payment_not_found", missing
print("the Python client works")
