// The CometD project's own clients through restarts of the gate: they shake hands anew by themselves and go on, in the
// session that they had, and the agent is in the state that he was in.
"use strict";

const { assert, check, finish } = require("./gate.js");
const { freePort, withGate } = require("./own.js");

const AGENT = { user: "paveld@redwings.com", password: "a password of Paul's", roles: ["ROLE_AGENT"] };
const PATIENCE_MS = 120_000;
const WRITTEN_MS = 10_000;

function configuration(administration, listener) {
  return `
[administration]
listen = "127.0.0.1:${administration}"
[limits]
drain = "5s"
[[listener]]
name = "main"
address = "127.0.0.1:${listener}"
[[api]]
name = "centre"
dialect = "genesys"
at = ["/api/v2"]
upstream = "http://127.0.0.1:9"
[[api.route]]
at = "/**"
allow = "authenticated"
`;
}

async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    assert(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function login(base) {
  const authorization = `Basic ${Buffer.from(`${AGENT.user}:${AGENT.password}`).toString("base64")}`;
  const answer = await fetch(`${base}/me`, { headers: { authorization } });
  assert.equal(answer.status, 200);
  const headers = {
    Cookie: answer.headers.getSetCookie()[0].split(";")[0],
    "X-CSRF-TOKEN": answer.headers.get("x-csrf-token"),
  };
  const post = async (operationName, more = {}) => {
    const body = JSON.stringify({ operationName, ...more });
    const options = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body };
    return (await (await fetch(`${base}/me`, options)).json()).statusCode;
  };
  const state = async () => {
    const answer = await fetch(`${base}/me?subresources=channels`, { headers });
    return (await answer.json()).user.channels.map((channel) => channel.userState.state).join();
  };
  return { headers, post, state };
}

// A client as the documentation of CometD has it: it subscribes whenever it has shaken hands.
function listen(CometD, base, session) {
  const client = new CometD();
  const told = { ids: [], subscribed: 0, states: [] };
  client.configure({ url: `${base}/notifications`, requestHeaders: session.headers, logLevel: "error" });
  client.unregisterTransport("websocket");
  client.unregisterTransport("callback-polling");
  const hear = ({ data }) => told.states.push(data.devices.map(({ userState }) => userState.state).join("+"));
  client.addListener("/meta/handshake", (hello) => {
    if (!hello.successful) return;
    told.ids.push(hello.clientId);
    client.subscribe("/v2/me/*", hear, (granted) => (told.subscribed += granted.successful ? 1 : 0));
  });
  client.handshake();
  return { client, told };
}

async function main() {
  const { adapt } = await import("cometd-nodejs-client");
  adapt();
  const versions = [["9.0.0", (await import("cometd")).CometD], ["3.1.14", require("cometd3").CometD]];
  const clients = [];
  const [administration, listener] = [await freePort(), await freePort()];
  const base = `http://127.0.0.1:${listener}/api/v2`;
  await withGate(configuration(administration, listener), [AGENT], `http://127.0.0.1:${administration}`, async ({ restart }) => {
    for (const [version, CometD] of versions) {
      for (const [how, signal] of [["is restarted", "SIGTERM"], ["is killed and started anew", "SIGKILL"]]) {
        await check(`cometd ${version}: the gate ${how}, and the client goes on by itself`, async () => {
          const session = await login(base);
          const { client, told } = listen(CometD, base, session);
          clients.push(client);
          await until("it listens", () => told.subscribed === 1);
          assert.equal(await session.post("StartContactCenterSession", { channels: ["voice"] }), 0);
          assert.equal(await session.post("Ready"), 0);
          await until("it hears", () => told.states.includes("Ready"));
          // What is a second old has been written; a gate that is killed can keep no more.
          if (signal === "SIGKILL") await new Promise((resolve) => setTimeout(resolve, WRITTEN_MS));
          await restart(signal);
          const began = Date.now();
          await until("it shakes hands and subscribes anew", () => told.subscribed === 2);
          console.log(`   it listened again ${Date.now() - began} ms after the gate was ready`);
          assert.equal(new Set(told.ids).size, 2, "another client");
          // The session lives, and the agent still takes calls.
          assert.equal(await session.state(), "Ready");
          assert.equal(await session.post("NotReady"), 0);
          await until("it hears again", () => told.states.at(-1) === "NotReady");
          assert.deepEqual(told.states, ["LoggedIn", "Ready", "NotReady"], "each once");
          assert.equal(await session.post("EndContactCenterSession"), 0);
          await until("it stays away when its session ends", () => client.isDisconnected());
        });
      }
    }
    // Whoever failed would try for ever.
    clients.forEach((client) => client.isDisconnected() || client.disconnect());
  });
}

main().then(finish);
