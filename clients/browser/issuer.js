// Chromium against `superoffice` behind an OpenID provider of npm: the code flow, and what must not come of it.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const axios = require("axios");
const { assert, check, finish } = require("../node/gate.js");
const { freePort, withGate } = require("../node/own.js");
const { browse } = require("./chromium.js");

const SECRET = "web-secret"; // that of provider.js

function configuration(administration, listener, issuer, upstream) {
  const api = (name, prefix, more) => `
[[api]]
name = "${name}"
dialect = "superoffice"
deployment = "online"
at = ["${prefix}"]
upstream = "http://127.0.0.1:${upstream}"
[api.issuers."${issuer}"]
discovery = "${issuer}/.well-known/openid-configuration"
[api.issuers."${issuer}".login]
name = "corp"
title = "Corp"
client = "web"
secret_file = "client.secret"
redirect = "http://localhost:${listener}${prefix}/login/from/corp"
create = true
${more}
[[api.route]]
at = "/**"
allow = "authenticated"
`;
  return `
[administration]
listen = "127.0.0.1:${administration}"
[[listener]]
name = "main"
address = "127.0.0.1:${listener}"
${api("crm", "/crm", "")}
${api("straight", "/straight", "straight = true")}
`;
}

// A service that says what it was told.
function service() {
  const server = http.createServer((request, response) => {
    const assertion = request.headers["countersign-assertion"];
    const claims = JSON.parse(Buffer.from(assertion.split(".")[1], "base64url"));
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ url: request.url, cookie: request.headers.cookie ?? null, sub: claims.sub, scheme: claims.scheme }));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function provider(port, redirects) {
  const process = spawn("node", [require.resolve("../node/provider.js"), String(port), ...redirects], { stdio: ["ignore", "pipe", "ignore"] });
  return new Promise((resolve, reject) => {
    process.once("exit", () => reject(new Error("the provider did not start")));
    process.stdout.once("data", () => resolve(process));
  });
}

function stop(process) {
  return new Promise((resolve) => {
    process.removeAllListeners("exit");
    process.once("exit", resolve);
    process.kill();
  });
}

// Whoever is asked logs in at the provider, and agrees.
async function logInThere(page, user) {
  await page.locator("input[name=login]").fill(user);
  await page.locator("input[name=password]").fill("whatever it is");
  await page.locator("button[type=submit]").click();
  await page.getByRole("button", { name: "Continue" }).click();
}

// Asks without a browser; no redirect is followed.
function ask(address, headers = {}) {
  return axios.get(String(address), { headers, maxRedirects: 0, validateStatus: () => true });
}

// A log-in that begins elsewhere and goes on in the browser, up to the gate, which does not know that one: answers where
// it was sent, and the cookies of the one that began it.
async function begunElsewhere(page, base, user) {
  const begun = await ask(`${base}/login/to/corp`);
  const jar = begun.headers["set-cookie"].map((line) => line.split(";")[0]).join("; ");
  await page.goto(begun.headers.location);
  await logInThere(page, user);
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /not completed/);
  assert.equal(await cookie(page, "SuperOffice-Session"), undefined);
  return { url: new URL(page.url()), jar };
}

// What a page's own script gets of the API.
function contact(page, base, token) {
  return page.evaluate(async ([url, token]) => {
    const answer = await fetch(url, { headers: token ? { "X-XSRF-TOKEN": token } : {} });
    return [answer.status, answer.status === 200 ? await answer.json() : null];
  }, [`${base}/api/v1/Contact/2`, token]);
}

async function cookie(page, name) {
  return (await page.context().cookies()).find((cookie) => cookie.name === name);
}

async function main() {
  const [administration, listener, port] = [await freePort(), await freePort(), await freePort()];
  const issuer = `http://127.0.0.1:${port}`;
  const base = `http://localhost:${listener}/crm`; // another host than the provider's: cookies know no ports
  const straight = `http://localhost:${listener}/straight`;
  const backs = [`${base}/login/from/corp`, `${straight}/login/from/corp`];
  const upstream = await service();
  let op = await provider(port, backs);
  const text = configuration(administration, listener, issuer, upstream.address().port);
  const prepare = (folder) => fs.writeFileSync(path.join(folder, "client.secret"), `${SECRET}\n`);
  const use = async () => {
    await browse(async (page, picture) => {
      await check("from the sign-in page to the provider and back: signed in, and the page calls the API", async () => {
        await page.goto(`${base}/pages/x?id=2`);
        await picture("issuer-sign-in");
        await page.getByRole("link", { name: "Sign in with Corp" }).click();
        await logInThere(page, "sally");
        await page.waitForURL(`${base}/pages/x?id=2`);
        const seen = JSON.parse(await page.locator("pre").innerText());
        assert.deepEqual(seen, { url: "/crm/pages/x?id=2", cookie: null, sub: "sally", scheme: "token" });
        const session = await cookie(page, "SuperOffice-Session");
        assert.deepEqual([session.httpOnly, session.sameSite, session.path], [true, "Lax", "/crm/"]);
        const token = (await cookie(page, "XSRF-TOKEN")).value;
        const [status, data] = await contact(page, base, token);
        assert.deepEqual([status, data.sub], [200, "sally"]);
        assert.deepEqual(await contact(page, base, null), [401, null]);
      });

      await check("the account is the issuer's: name and e-mail address by its claims, and no password opens it", async () => {
        await page.goto(`${base}/login/home`);
        await page.getByText("SALLY").waitFor();
        const form = new URLSearchParams({ userName: "sally", password: "whatever it is" });
        const answer = await axios.post(`${base}/login`, form, { validateStatus: () => true, maxRedirects: 0 });
        assert.equal(answer.status, 401);
      });

      await check("signing out ends the session; the sign-in page is shown, and nobody is sent on", async () => {
        const token = (await cookie(page, "XSRF-TOKEN")).value;
        const before = await page.context().cookies();
        await page.goto(`${base}/login/home`);
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.waitForURL(`${base}/login`);
        await page.context().addCookies(before);
        const answer = await page.request.get(`${base}/api/v1/Contact/2`, { headers: { "X-XSRF-TOKEN": token } });
        assert.equal(answer.status(), 401);
      });

      await check("where it is told to, the gate sends browsers straight to the provider, which knows them", async () => {
        await page.goto(`${straight}/pages/y`);
        const agree = page.getByRole("button", { name: "Continue" });
        if (await agree.count()) await agree.click();
        await page.waitForURL(`${straight}/pages/y`);
        assert.equal(JSON.parse(await page.locator("pre").innerText()).sub, "sally");
        await page.goto(`${straight}/login`);
        await page.getByRole("link", { name: "Sign in with Corp" }).waitFor();
      });
    });

    await browse(async (page) => {
      await check("another browser's answer, a changed state, none at all: refused, and no session begins", async () => {
        const { url, jar } = await begunElsewhere(page, base, "mallory");
        const victim = await ask(`${base}/login/to/corp`);
        const theirs = victim.headers["set-cookie"].map((line) => line.split(";")[0]).join("; ");
        const changed = new URL(url);
        changed.searchParams.set("state", `${url.searchParams.get("state").slice(0, -2)}AA`);
        const lacking = new URL(url);
        lacking.searchParams.delete("state");
        const named = new URL(url);
        named.searchParams.set("iss", "https://evil.example");
        assert.equal(url.searchParams.get("iss"), issuer);
        for (const [address, headers] of [[url, {}], [url, { Cookie: theirs }], [changed, { Cookie: jar }], [lacking, { Cookie: jar }], [named, { Cookie: jar }]]) {
          const answer = await ask(address, headers);
          assert.deepEqual([answer.status, answer.headers["set-cookie"]], [401, undefined], String(address));
        }
        // After all that the browser itself still ends its log-in, once.
        const first = await ask(url, { Cookie: jar });
        assert.equal(first.status, 303);
        const again = await ask(url, { Cookie: jar });
        assert.deepEqual([again.status, again.headers["set-cookie"]], [401, undefined]);
        // A fresh state with the spent code: the provider has the last word.
        const next = await ask(`${base}/login/to/corp`, { Cookie: jar });
        const spent = new URL(url);
        spent.searchParams.set("state", new URL(next.headers.location).searchParams.get("state"));
        assert.equal((await ask(spent, { Cookie: jar })).status, 401);
      });

      await check("a user who says no is told so, and may try again", async () => {
        await page.context().clearCookies();
        await page.goto(`${base}/login/to/corp`);
        await page.getByRole("link", { name: "Cancel" }).click();
        await page.getByRole("alert").waitFor();
        assert.match(await page.getByRole("alert").innerText(), /not completed/);
        await page.getByRole("link", { name: "Sign in" }).click();
        await page.getByRole("link", { name: "Sign in with Corp" }).waitFor();
      });

      await check("while the provider is down: 503 for who comes back, and a log-in is whole again when it is up", async () => {
        await page.context().clearCookies();
        const { url, jar } = await begunElsewhere(page, base, "ann");
        await stop(op);
        const answer = await ask(url, { Cookie: jar });
        assert.equal(answer.status, 503);
        op = await provider(port, backs);
        await page.context().clearCookies();
        await page.goto(`${base}/login/to/corp?return_to=%2Fcrm%2Fpages%2Fz`);
        await logInThere(page, "ann");
        // It has other keys now: the gate fetches them when it may.
        await page.waitForLoadState("load");
        assert.match(page.url(), new RegExp(`^${base}/`));
      });
    });
  };
  await withGate(text, [], `http://127.0.0.1:${administration}`, use, prepare);
  await stop(op);
  upstream.close();
}

main().then(finish, (error) => {
  console.log(`FAIL the browser: ${error.message}`);
  process.exitCode = 1;
});
