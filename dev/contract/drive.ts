// Takes a payment, and gives a part of it back, through the types that openapi-typescript generates.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { paths } from "./schema";

const stack = JSON.parse(readFileSync(process.argv[2], "utf8"));
const client = createClient<paths>({
  baseUrl: stack.api_url,
  headers: { Authorization: `Bearer ${stack.token}`, Prefer: "wait=20" },
});
const order = crypto.randomUUID();

const created = await client.POST("/api/payments", {
  params: { header: { "Idempotency-Key": order } },
  body: {
    provider: "stripe",
    amount: 19_900,
    currency: "sek",
    capture_method: "manual",
    payment_method: "pm_card_visa",
    metadata: { order },
  },
});
assert(created.data, JSON.stringify(created.error));
assert.equal(created.data.status, "requires_capture");
const secret: string | null = created.data.client_secret;
assert.equal(typeof secret, "string");
const path = { id: created.data.id };

const captured = await client.POST("/api/payments/{id}/capture", { params: { path }, body: { amount: 15_000 } });
assert.equal(captured.data?.last_operation?.status, "succeeded");

const body = { payment_id: path.id, amount: 5_000 };
const refund = await client.POST("/api/refunds", { body });
assert.equal(refund.data?.amount, 5_000);

const read = await client.GET("/api/payments/{id}", { params: { path } });
assert.deepEqual([read.data?.amount_captured, read.data?.amount_refunded], [15_000, 5_000]);

const found = await client.GET("/api/payments", { params: { query: { metadata: { order } } } });
assert.deepEqual(found.data?.data.map((payment) => payment.id), [path.id]);

// Errors come as the one shape that all share.
const missing = await client.GET("/api/payments/{id}", { params: { path: { id: crypto.randomUUID() } } });
assert.equal(missing.error?.code, "payment_not_found");
console.log("the TypeScript client works");
