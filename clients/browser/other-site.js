// Chromium against `genesys`: the page's REST buttons from another origin on another site, and from one that is not listed.
"use strict";

const { execFileSync } = require("node:child_process");
const path = require("node:path");
const { assert, check, finish } = require("../node/gate.js");
const { freePort, withGate } = require("../node/own.js");
const { browseWithProfile } = require("./chromium.js");
const { open, press, told, wait } = require("./agent-page.js");

const AGENT = { user: "paveld@redwings.com", password: "a password of Paul's", roles: ["ROLE_AGENT"] };

function configuration(administration, listener, page) {
  return `
[administration]
listen = "127.0.0.1:${administration}"
[[listener]]
name = "main"
address = "127.0.0.1:${listener}"
tls = { certificate = "cert.pem", key = "key.pem" }
[[api]]
name = "centre"
dialect = "genesys"
at = ["/api/v2"]
upstream = "http://127.0.0.1:9"
same_site = "None"
[api.cors]
origins = ["${page}"]
credentials = true
[[api.route]]
at = "/**"
allow = "authenticated"
`;
}

// A certificate for localhost that nobody has signed.
function certify(folder) {
  const [key, certificate] = [path.join(folder, "key.pem"), path.join(folder, "cert.pem")];
  const name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...name, "-keyout", key, "-out", certificate], { stdio: "ignore" });
}

async function main() {
  const [administration, listener] = [await freePort(), await freePort()];
  const origins = ["https://desk.example", "https://desk.example.evil.example"];
  const api = `https://localhost:${listener}`;
  const text = configuration(administration, listener, origins[0]);
  const use = () =>
    browseWithProfile(async (page) => {
      await check("G27 G28 Get me from another site: the script reads the pair, and the browser keeps the cookie", async () => {
        await open(page, origins[0], api, AGENT);
        await press(page, "get-me");
        const { data, headerName, token } = await wait(page, (entry) => entry.got);
        assert.deepEqual([data?.statusCode, headerName, token?.length], [0, "X-CSRF-TOKEN", 36]);
        const session = (await page.context().cookies(api)).find((cookie) => cookie.name === "JSESSIONID");
        assert.deepEqual([session.sameSite, session.secure, session.httpOnly], ["None", true, true]);
      });

      await check("G18 G29 the other REST buttons work by cookie and token alone", async () => {
        for (const [button, operation] of [
          ["start-session", "StartContactCenterSession"],
          ["ready", "Ready"],
          ["end-session", "EndContactCenterSession"],
        ]) {
          await press(page, button);
          assert.deepEqual((await wait(page, (entry) => entry.posted === operation)).data, { statusCode: 0 });
        }
      });

      await check("a page whose origin is not listed reads nothing", async () => {
        await open(page, origins[1], api, AGENT);
        await press(page, "get-me");
        assert.equal((await wait(page, (entry) => entry.got)).status, 0);
        await press(page, "start-session");
        assert.equal((await wait(page, (entry) => entry.posted)).status, 0);
        assert.deepEqual((await told(page)).filter((entry) => entry.data), []);
      });
    });
  await withGate(text, [AGENT], `http://127.0.0.1:${administration}`, use, certify);
}

main().then(finish);
