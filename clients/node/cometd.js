// The CometD project's own clients, 9.0.0 and 3.1.14 with cometd-nodejs-client, against `genesys`.
"use strict";

const { api, assert, check, finish } = require("./gate.js");

const centre = api("contact-centre");
const PATIENCE_MS = 120_000;

// A login: Basic on a GET, and what it gives.
async function login(at) {
  const { user, password } = centre.login("users", at);
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const answer = await fetch(`${centre.base}/me`, { headers: { authorization } });
  assert.equal(answer.status, 200);
  const cookie = answer.headers.getSetCookie()[0].split(";")[0];
  const headers = { Cookie: cookie, [answer.headers.get("x-csrf-header")]: answer.headers.get("x-csrf-token") };
  const post = async (operation, more = {}) => {
    const body = JSON.stringify({ operationName: operation, ...more });
    const options = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body };
    const answer = await fetch(`${centre.base}/me`, options);
    return { status: answer.status, ...(await answer.json()) };
  };
  return { headers, post };
}

async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  while (!holds()) {
    assert(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// A client that has shaken hands and listens to /v2/me/*.
async function listen(CometD, session, prepare = () => {}) {
  const client = new CometD();
  const told = { events: [], connects: 0 };
  client.configure({ url: `${centre.base}/notifications`, requestHeaders: session.headers, logLevel: "error" });
  client.unregisterTransport("websocket");
  client.unregisterTransport("callback-polling");
  prepare(client);
  client.addListener("/meta/connect", (message) => {
    if (message.successful) told.connects += 1;
  });
  const hello = await new Promise((resolve) => client.handshake(resolve));
  assert.equal(hello.successful, true, JSON.stringify(hello));
  const granted = await new Promise((resolve) =>
    client.subscribe("/v2/me/*", (message) => told.events.push(message), resolve),
  );
  assert.equal(granted.successful, true, JSON.stringify(granted));
  return { client, told, id: hello.clientId };
}

const states = (told) =>
  told.events.map(({ data }) => data.devices.map((device) => device.userState.state).join("+"));

const closed = (client) => new Promise((resolve) => client.disconnect(resolve));

async function main() {
  const { adapt } = await import("cometd-nodejs-client");
  adapt();
  const nine = await import("cometd");
  const three = require("cometd3");
  const acks = (client) => client.registerExtension("ack", new nine.AckExtension());
  for (const [version, CometD, prepare] of [
    ["9.0.0", nine.CometD, () => {}],
    ["9.0.0 with acknowledgements", nine.CometD, acks],
    ["3.1.14", three.CometD, () => {}],
  ]) {
    await check(`G31 G33 G35 G36 cometd ${version}: an agent's state reaches his client, and nobody else's`, async () => {
      const [agent, admin] = [await login(0), await login(1)];
      const his = await listen(CometD, agent, prepare);
      const hers = await listen(CometD, admin, prepare);
      assert.equal((await agent.post("StartContactCenterSession", { channels: ["voice"] })).statusCode, 0);
      assert.equal((await agent.post("Ready")).statusCode, 0);
      await until("the agent hears that he is ready", () => states(his.told).includes("Ready"));
      assert.equal((await agent.post("NotReady")).statusCode, 0);
      await until("and that he is not", () => states(his.told).includes("NotReady"));
      assert.deepEqual(states(his.told), ["LoggedIn", "Ready", "NotReady"]);
      assert.deepEqual(hers.told.events, []);
      assert(his.told.connects > 0);
      assert.equal((await closed(his.client)).successful, true);
      assert.equal((await closed(hers.client)).successful, true);
      await agent.post("EndContactCenterSession");
    });

    await check(`G34 cometd ${version}: a second handshake may unsubscribe first`, async () => {
      const agent = await login(0);
      const { client, told } = await listen(CometD, agent, prepare);
      await until("the first connect is answered", () => told.connects > 0);
      const subscription = client.subscribe("/v2/me/*", () => {});
      client.unsubscribe(subscription);
      await closed(client);
      const again = await new Promise((resolve) => client.handshake(resolve));
      assert.equal(again.successful, true, JSON.stringify(again));
      await closed(client);
    });

    await check(`G26 cometd ${version}: when the session ends the client is told to stay away, at once`, async () => {
      const agent = await login(0);
      const { client, told } = await listen(CometD, agent, prepare);
      await until("the connect is held", () => told.connects > 0);
      const ended = Date.now();
      assert.equal((await agent.post("EndContactCenterSession")).statusCode, 0);
      await until("the client disconnects", () => client.isDisconnected());
      const took = Date.now() - ended;
      console.log(`   it knew ${took} ms after the session's end`);
      assert(took < 10_000, `${took} ms`);
      assert.equal((await agent.post("Ready")).status, 403);
    });
  }

  await check("a client of another session is not there", async () => {
    const [agent, admin] = [await login(0), await login(1)];
    const { client, id } = await listen(nine.CometD, agent);
    const body = JSON.stringify([
      { id: "7", channel: "/meta/connect", clientId: id, connectionType: "long-polling" },
    ]);
    const headers = { ...admin.headers, "Content-Type": "application/json" };
    const answer = await fetch(`${centre.base}/notifications/connect`, { method: "POST", headers, body });
    const [told] = await answer.json();
    assert.deepEqual([answer.status, told.successful, told.error], [200, false, "402::Unknown client"]);
    await closed(client);
  });

}

main().then(finish);
