// Chromium against `genesys`: the six buttons of the document's page with jQuery 1.11.1 and cometd-jquery 3.0.0.
"use strict";

const { api, assert, check, finish } = require("../node/gate.js");
const { browse } = require("./chromium.js");
const { open, press, told, wait } = require("./agent-page.js");

const centre = api("contact-centre");
const origin = new URL(centre.base).origin;
const [agent, admin] = [centre.login("users", 0), centre.login("users", 1)];

const ready = (entry) => entry.event && entry.data.devices.some(({ userState }) => userState.state === "Ready");

async function main() {
  await browse(async (page, picture) => {
    const second = await page.context().newPage();
    const stranger = await (await page.context().browser().newContext()).newPage();

    await check("Start CometD before Get me: a plain 403, and no crash", async () => {
      await open(page, origin, origin, agent);
      const refused = page.waitForResponse((answer) => answer.url().includes("/notifications"));
      await press(page, "start-push");
      assert.equal((await refused).status(), 403);
      await press(page, "stop-push");
    });

    await check("G5 G12 Get me: a session and the pair", async () => {
      await open(page, origin, origin, agent);
      await press(page, "get-me");
      const { data, headerName, token } = await wait(page, (entry) => entry.got);
      assert.deepEqual([data.statusCode, data.user.userName, headerName], [0, agent.user, "X-CSRF-TOKEN"]);
      assert.equal(token.length, 36);
      const cookies = await page.context().cookies(origin);
      const session = cookies.find((cookie) => cookie.name === "JSESSIONID");
      assert.deepEqual([session.httpOnly, session.sameSite, session.path], [true, "Lax", "/"]);
    });

    await check("G31 G33 G35 Start CometD: shaken hands, subscribed, connected, by long polling", async () => {
      await press(page, "start-push");
      await wait(page, (entry) => entry.handshake === true);
      await wait(page, (entry) => entry.subscribed === true);
      await wait(page, (entry) => entry.connected === true);
      const browser = (await page.context().cookies(origin)).find((cookie) => cookie.name === "BAYEUX_BROWSER");
      assert.equal(browser.value.length, 32);
    });

    await check("a second tab of the same user, and another user in another browser, listen as well", async () => {
      for (const [other, who] of [[second, agent], [stranger, admin]]) {
        await open(other, origin, origin, who);
        await press(other, "get-me");
        await wait(other, (entry) => entry.got);
        await press(other, "start-push");
        await wait(other, (entry) => entry.connected === true);
      }
    });

    await check("G18 G25 G30 Start contact center session, then Ready: success, and an event", async () => {
      await press(page, "start-session");
      assert.deepEqual((await wait(page, (entry) => entry.posted === "StartContactCenterSession")).data, { statusCode: 0 });
      await press(page, "ready");
      assert.deepEqual((await wait(page, (entry) => entry.posted === "Ready")).data, { statusCode: 0 });
      const event = await wait(page, ready);
      assert.deepEqual([event.event, event.data.messageType], ["/v2/me/devices", "DeviceStateChangeMessage"]);
      await picture("genesys-ready");
    });

    await check("the event arrives in the second tab, and in nobody else's", async () => {
      await wait(second, ready);
      assert.deepEqual((await told(stranger)).filter((entry) => entry.event), []);
    });

    await check("G36 Stop CometD: a successful good-bye", async () => {
      await press(page, "stop-push");
      assert.equal((await wait(page, (entry) => "disconnected" in entry)).disconnected, true);
    });

    await check("G34 Start CometD again on the same page: it unsubscribes first, and goes on", async () => {
      const before = (await told(page)).length;
      await press(page, "start-push");
      await wait(page, (entry) => entry.connected === true, before);
    });

    await check("G26 End contact center session: the push client goes at once, the next call is refused", async () => {
      const before = (await told(page)).length;
      await press(page, "end-session");
      await wait(page, (entry) => entry.posted === "EndContactCenterSession", before);
      const ended = Date.now();
      await page.waitForFunction(() => $.cometd.isDisconnected());
      const took = Date.now() - ended;
      console.log(`   the page knew ${took} ms after the answer`);
      assert(took < 10_000, `${took} ms`);
      await press(page, "ready");
      const { status, body } = await wait(page, (entry) => entry.posted === "Ready" && entry.status, before);
      assert.deepEqual([status, JSON.parse(body).statusMessage], [403, "Missing or invalid Csrf token"]);
    });
  });
}

main().then(finish);
