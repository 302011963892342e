// Uses Swagger UI as a developer does: signs in, sends the example of a request, reads the answer.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { JSDOM, VirtualConsole } from "jsdom";

const stack = JSON.parse(readFileSync(process.argv[2], "utf8"));
const errors = [];
const virtualConsole = new VirtualConsole();
virtualConsole.on("jsdomError", (error) => errors.push(error.message));
const { window } = await JSDOM.fromURL(`${stack.api_url}/docs`, {
  runScripts: "dangerously",
  pretendToBeVisual: true,
  virtualConsole,
  beforeParse(window) {
    Object.assign(window, { Headers, Request, Response, structuredClone, TextEncoder, TextDecoder });
    window.fetch = (url, options) => fetch(new URL(url.url ?? url, window.location.href), options ?? url);
  },
});
const page = window.document;

async function find(selector) {
  for (let tries = 0; tries < 300; tries++) {
    const found = page.querySelector(selector);
    if (found) return found;
    await pause(100);
  }
  assert.fail(`there is no ${selector}; ${errors}`);
}
const click = async (selector) =>
  (await find(selector)).dispatchEvent(new window.MouseEvent("click", { bubbles: true, cancelable: true }));
/** As typing does: React notices only what goes through the input's own setter. */
async function type(selector, text) {
  const input = await find(selector);
  Object.getOwnPropertyDescriptor(window.HTMLInputElement.prototype, "value").set.call(input, text);
  input.dispatchEvent(new window.Event("input", { bubbles: true }));
}

const operations = Object.values(
  JSON.parse(readFileSync(process.argv[3], "utf8")).paths,
).flatMap(Object.values);
await find(".opblock");
assert.equal(page.querySelectorAll(".opblock").length, operations.length, "an operation is missing");

const create = "#operations-Payments-create_payment";
const status = async () =>
  (await find(`${create} .live-responses-table tbody .response-col_status`)).textContent.trim().slice(0, 3);
await click(`${create} .opblock-summary-control`);
await click(`${create} .execute`);
assert.equal(await status(), "401");
await click(".auth-wrapper .authorize");
await type(".auth-container input", stack.token);
await click(".auth-btn-wrapper .authorize");
await click(".auth-btn-wrapper .btn-done");
await click(`${create} .execute`);
// The document's example waits for the provider: 201, not 202.
for (let tries = 0; tries < 300 && (await status()) === "401"; tries++) await pause(100);
assert.equal(await status(), "201");
const body = JSON.parse((await find(`${create} .live-responses-table code`)).textContent);
assert.equal(body.status, "succeeded");
assert.equal(body.description, "Order 1042");
console.log(`Swagger UI: ${operations.length} operations; signed in; its example made ${body.id}`);
window.close();
