// Chromium against a contact centre from its first user on: one whom an administrator creates logs in, goes ready, and
// hears of it in both of his tabs and nobody else does; tabs that are left or die end their push clients.
"use strict";

const { createHash, randomBytes } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { assert, check, finish } = require("../node/gate.js");
const { freePort, withGate } = require("../node/own.js");
const { browse } = require("./chromium.js");
const { open, press, told, wait } = require("./agent-page.js");

const ADMIN = { user: "mikeb@redwings.com", password: "a password of Mike's", roles: ["ROLE_ADMIN"] };
const OTHER = { user: "ann@redwings.com", password: "a password of Ann's", roles: ["ROLE_AGENT"] };
const CREATED = { user: "paveld@redwings.com", password: "a password of Paul's" };
const KEY = randomBytes(32).toString("hex");
// A silent client goes after twice the hold, ten seconds, and the time until the next sweep.
const HOLD_SECS = 2;
const PATIENCE_MS = 120_000;

function configuration(administration, listener) {
  return `
[administration]
listen = "127.0.0.1:${administration}"
[[listener]]
name = "main"
address = "127.0.0.1:${listener}"
[[api]]
name = "centre"
dialect = "./impatient.toml"
at = ["/api/v2"]
upstream = "http://127.0.0.1:9"
[[api.service_key]]
name = "calls"
sha256 = "${createHash("sha256").update(KEY).digest("hex")}"
publish = ["/v2/me/*"]
[[api.route]]
at = "/**"
allow = "authenticated"
`;
}

// The dialect as it is, but for a shorter hold.
function impatient(folder) {
  const file = path.join(__dirname, "../../dialects/genesys/dialect.toml");
  const text = fs.readFileSync(file, "utf8").replace(/hold( *)= "20s"/, `hold$1= "${HOLD_SECS}s"`);
  assert(text.includes(`"${HOLD_SECS}s"`));
  fs.writeFileSync(path.join(folder, "impatient.toml"), text);
}

async function create(base, { user, password }) {
  const authorization = `Basic ${Buffer.from(`${ADMIN.user}:${ADMIN.password}`).toString("base64")}`;
  const me = await fetch(`${base}/me`, { headers: { authorization } });
  const headers = {
    Cookie: me.headers.getSetCookie()[0].split(";")[0],
    "X-CSRF-TOKEN": me.headers.get("x-csrf-token"),
    "Content-Type": "application/json",
  };
  const body = JSON.stringify({ userName: user, password, firstName: "Paul", lastName: "D", roles: ["ROLE_AGENT"] });
  return (await fetch(`${base}/users`, { method: "POST", headers, body })).json();
}

const ready = (entry) => entry.event && entry.data.devices?.some(({ userState }) => userState.state === "Ready");

async function main() {
  const [administration, listener] = [await freePort(), await freePort()];
  const origin = `http://127.0.0.1:${listener}`;
  const reached = async (subject) => {
    const body = JSON.stringify({ channel: "/v2/me/calls", subject, data: { n: 1 } });
    const headers = { Authorization: `Bearer ${KEY}` };
    const answer = await fetch(`http://127.0.0.1:${administration}/events/centre`, { method: "POST", headers, body });
    return (await answer.json()).reached;
  };
  const untilReached = async (count) => {
    const end = Date.now() + PATIENCE_MS;
    while ((await reached(CREATED.user)) !== count) {
      assert(Date.now() < end, `waited in vain for ${count} clients; there are ${await reached(CREATED.user)}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  const listen = async (page, who) => {
    await open(page, origin, origin, who);
    await press(page, "get-me");
    await wait(page, (entry) => entry.got);
    await press(page, "start-push");
    await wait(page, (entry) => entry.subscribed === true);
    await wait(page, (entry) => entry.connected === true);
  };
  const use = () =>
    browse(async (page, picture) => {
      const [second, third] = [await page.context().newPage(), await page.context().newPage()];
      const other = await (await page.context().browser().newContext()).newPage();

      await check("G44 a user whom an administrator creates can log in at once, in two tabs", async () => {
        assert.equal((await create(`${origin}/api/v2`, CREATED)).statusCode, 0);
        await listen(page, CREATED);
        await listen(second, CREATED);
        await listen(other, OTHER);
        assert.equal(await reached(CREATED.user), 2);
      });

      await check("G30 he goes ready; the event arrives in both of his tabs, and in nobody else's", async () => {
        const before = (await told(other)).filter((entry) => entry.event).length;
        await press(page, "start-session");
        await wait(page, (entry) => entry.posted === "StartContactCenterSession" && entry.data?.statusCode === 0);
        await press(page, "ready");
        await wait(page, (entry) => entry.posted === "Ready" && entry.data?.statusCode === 0);
        await wait(page, ready);
        await wait(second, ready);
        assert.equal((await told(other)).filter((entry) => entry.event).length, before);
        assert.equal(before, 0);
        await picture("genesys-created-user");
      });

      await check("a tab that goes to another page ends its push client", async () => {
        await second.goto("about:blank");
        await untilReached(1);
      });

      await check("a tab that is closed, and one that dies, are swept; the one that stays hears on", async () => {
        await listen(second, CREATED);
        await listen(third, CREATED);
        await untilReached(3);
        await second.close();
        const session = await third.context().newCDPSession(third);
        // Nobody answers: the tab is dead.
        session.send("Page.crash").catch(() => {});
        await untilReached(1);
        const from = (await told(page)).length;
        assert.equal(await reached(CREATED.user), 1);
        await wait(page, (entry) => entry.event === "/v2/me/calls", from);
      });
    });
  await withGate(configuration(administration, listener), [ADMIN, OTHER], `http://127.0.0.1:${administration}`, use, impatient);
}

main().then(finish);
