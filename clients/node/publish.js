// A service that publishes events, and cometd.js clients that listen: who gets what, and who may say it.
"use strict";

const { execFileSync } = require("node:child_process");
const { createHash, randomBytes } = require("node:crypto");
const { assert, check, finish } = require("./gate.js");
const { freePort, withGate } = require("./own.js");

const COUNTERSIGN = process.env.COUNTERSIGN ?? "target/debug/countersign";
// One key as the command makes it, with the digest that it says; one made otherwise.
const { key: KEY, sha256 } = JSON.parse(execFileSync(COUNTERSIGN, ["service-key", "calls", "--output", "json"]));
const ARCHIVE = randomBytes(32).toString("hex");
const USERS = [
  { user: "ann@redwings.com", password: "a password of Ann's", roles: ["ROLE_AGENT"] },
  { user: "bob@redwings.com", password: "a password of Bob's", roles: ["ROLE_AGENT", "ROLE_SUPERVISOR"] },
];

function configuration(administration, listener) {
  return `
[administration]
listen = "127.0.0.1:${administration}"
[[listener]]
name = "main"
address = "127.0.0.1:${listener}"
[[api]]
name = "centre"
dialect = "genesys"
at = ["/api/v2"]
upstream = "http://127.0.0.1:9"
[api.object.call]
owner = "agent"
[[api.service_key]]
name = "calls"
sha256 = "${sha256}"
publish = ["/v2/me/*", "/v2/users"]
[[api.service_key]]
name = "archive"
sha256 = "${createHash("sha256").update(ARCHIVE).digest("hex")}"
objects = ["call"]
[[api.route]]
at = "/**"
allow = "authenticated"
`;
}

async function main() {
  const { adapt } = await import("cometd-nodejs-client");
  adapt();
  const { CometD } = await import("cometd");
  const [administration, listener] = [await freePort(), await freePort()];
  const [events, base] = [`http://127.0.0.1:${administration}/events`, `http://127.0.0.1:${listener}/api/v2`];

  const post = async (event, { api = "centre", key = KEY, headers = {} } = {}) => {
    const authorization = key === null ? {} : { Authorization: `Bearer ${key}` };
    const body = typeof event === "string" ? event : JSON.stringify(event);
    const answer = await fetch(`${events}/${api}`, { method: "POST", headers: { ...authorization, ...headers }, body });
    return { status: answer.status, ...(await answer.json()) };
  };

  const listen = async ({ user, password }) => {
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    const answer = await fetch(`${base}/me`, { headers: { authorization } });
    const requestHeaders = {
      Cookie: answer.headers.getSetCookie()[0].split(";")[0],
      "X-CSRF-TOKEN": answer.headers.get("x-csrf-token"),
    };
    const [client, told] = [new CometD(), []];
    client.configure({ url: `${base}/notifications`, requestHeaders, logLevel: "error" });
    client.unregisterTransport("websocket");
    client.unregisterTransport("callback-polling");
    await new Promise((resolve) => client.handshake(resolve));
    for (const channel of ["/v2/me/*", "/v2/users"]) {
      await new Promise((resolve) => client.subscribe(channel, (message) => told.push(message.data.n), resolve));
    }
    return { client, told };
  };

  const until = async (what, holds) => {
    const end = Date.now() + 120_000;
    while (!holds()) {
      assert(Date.now() < end, `waited in vain: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  await withGate(configuration(administration, listener), USERS, `http://127.0.0.1:${administration}`, async () => {
    const [ann, annsOther, bob] = [await listen(USERS[0]), await listen(USERS[0]), await listen(USERS[1])];
    const [annName, channel] = [USERS[0].user, "/v2/me/calls"];

    await check("an event for a subject reaches all of his sessions, and nobody else's", async () => {
      assert.deepEqual(await post({ channel, subject: annName, data: { n: 1 } }), { status: 200, reached: 2, dropped: 0 });
      await until("both of Ann's clients hear it", () => ann.told.includes(1) && annsOther.told.includes(1));
    });

    await check("an event for a role reaches whoever has it, where he may listen", async () => {
      assert.equal((await post({ channel, role: "ROLE_SUPERVISOR", data: { n: 2 } })).reached, 1);
      assert.equal((await post({ channel: "/v2/users", role: "ROLE_AGENT", data: { n: 3 } })).reached, 1);
      await until("Bob hears both", () => bob.told.includes(2) && bob.told.includes(3));
      assert.deepEqual([ann.told, annsOther.told, bob.told], [[1], [1], [2, 3]]);
    });

    await check("nobody publishes without a key, with another one, elsewhere, or to nobody", async () => {
      const event = { channel, subject: annName, data: { n: 9 } };
      const cases = [
        [401, event, { key: null }],
        [401, event, { key: "0".repeat(64) }],
        [401, event, { key: `${KEY} ` + "x" }],
        [401, event, { api: "other" }],
        [403, { ...event, channel: "/v2/elsewhere" }],
        [403, event, { key: ARCHIVE }],
        [403, { ...event, channel: "/meta/connect" }],
        [404, { ...event, subject: "nobody@redwings.com" }],
        [404, { ...event, tenant: "another" }],
        [400, { ...event, role: "ROLE_AGENT" }],
        [400, { channel, data: 1 }],
        [400, { ...event, channel: "/v2/me/*" }],
        [400, { ...event, colour: "red" }],
        [400, "["],
        [400, { ...event, data: "x".repeat(80 * 1024) }],
        [413, { ...event, data: "x".repeat(100 * 1024) }],
      ];
      for (const [status, ...args] of cases) assert.equal((await post(...args)).status, status, JSON.stringify(args).slice(0, 200));
      assert.deepEqual([ann.told, annsOther.told, bob.told], [[1], [1], [2, 3]]);
    });

    await check("a service says whose its objects are with a key that is for that, and no other", async () => {
      const put = async (key, kind = "call") => {
        const headers = key === null ? {} : { Authorization: `Bearer ${key}` };
        const url = `http://127.0.0.1:${administration}/objects/centre/${kind}/9001`;
        return (await fetch(url, { method: "PUT", headers, body: JSON.stringify({ owner: "17" }) })).status;
      };
      assert.deepEqual([await put(null), await put("0".repeat(64)), await put(KEY)], [401, 401, 403]);
      assert.deepEqual([await put(ARCHIVE), await put(ARCHIVE, "other")], [204, 403]);
    });

    for (const { client } of [ann, annsOther, bob]) await new Promise((resolve) => client.disconnect(resolve));
  });
}

main().then(finish);
