// What the programs of this folder and of browser/ share: the running demo, and checks that print one line each.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");

const shown = JSON.parse(fs.readFileSync(process.env.DEMO, "utf8").split("\n")[0]);

// One API of the demo, with `login(kind, at)` for user and password of an account.
function api(name) {
  const found = shown.apis.find((api) => api.name === name);
  assert(found, `the demo has no API ${name}`);
  const login = (kind, at = 0) => found.accounts.filter((account) => account.kind === kind)[at];
  return { base: found.base_url, secrets: found.secrets, login };
}

let passed = 0;
let failed = 0;

// Runs a check and says how it went; one check's trouble is not the next one's.
async function check(name, run) {
  try {
    await run();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${String(error.message).replaceAll("\n", " ")}`);
    if (error.response) console.log(`   ${error.response.status} ${JSON.stringify(error.response.data)}`);
  }
}

// Fails unless the promise is refused with that HTTP status; answers the response.
async function refused(promise, status) {
  let response;
  try {
    response = await promise;
  } catch (error) {
    response = error.response ?? error;
    assert.equal(response.status, status, `${response.status}, not ${status}: ${error.message}`);
    return response;
  }
  return assert.fail(`it was let in, not refused with ${status}`);
}

// Prints the sum, for whoever adds up, and sets the exit code.
function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

module.exports = { administration: shown.administration, api, assert, check, finish, refused };
