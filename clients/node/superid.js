// SuperID's system users against `superoffice` online: an application signs its system token, the stand-in for SuperID
// gives a ticket for it, and the vendor's own library calls the API with that and the application's secret.
//
// The stand-in does what the vendor's documents say of `PartnerSystemUser/Authenticate`; how a gate asks about tickets
// that it did not issue (RFC 7662) is ours.
"use strict";

const { execFileSync } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const axios = require("axios");
const jsonwebtoken = require("jsonwebtoken");
const { WebApi } = require("@superoffice/webapi");
const { assert, check, finish, refused } = require("./gate.js");
const { COUNTERSIGN, freePort, withGate } = require("./own.js");

const TENANT = "Cust26759";
const APP = { name: "crm-panel", secret: "qw123f4c56770bc278017796cd16bd11" };
const SYSTEM_TOKEN = "Demo App-JfIb7RKjXZ";
const SCHEMES = "http://schemes.superoffice.net/identity/";
const CLOCK_MS = 5 * 60_000;

const rsa = () => crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
const application = rsa();
const superid = rsa();

const tickets = new Map(); // ticket → whether it is live

// `token.YYYYMMDDHHmm.base64(RSA-SHA256)`, in UTC.
function signed(token, key, at = new Date()) {
  const time = at.toISOString().replace(/[-T:]/g, "").slice(0, 12);
  const text = `${token}.${time}`;
  return `${text}.${crypto.sign("sha256", Buffer.from(text), key).toString("base64")}`;
}

function authenticate({ SignedSystemToken, ApplicationToken, ContextIdentifier, ReturnTokenType }) {
  const failed = (ErrorMessage) => ({ IsSuccessful: false, Token: null, ErrorMessage });
  const [, token, time, signature] = /^(.*)\.(\d{12})\.([^.]+)$/.exec(SignedSystemToken) ?? [];
  const [year, month, day, hour, minute] = (time ?? "").match(/^(....)(..)(..)(..)(..)$/)?.slice(1) ?? [];
  const at = Date.UTC(year, month - 1, day, hour, minute);
  if (!(Math.abs(Date.now() - at) < CLOCK_MS)) return failed("InvalidTimestamp");
  const text = Buffer.from(`${token}.${time}`);
  if (!crypto.verify("sha256", text, application.publicKey, Buffer.from(signature, "base64"))) return failed("InvalidSignature");
  const known = token === SYSTEM_TOKEN && ApplicationToken === APP.secret && ContextIdentifier === TENANT;
  if (!known || ReturnTokenType.toUpperCase() !== "JWT") return failed("Denied");
  const ticket = `7T:${crypto.randomBytes(48).toString("base64")}`;
  tickets.set(ticket, true);
  const claims = { [`${SCHEMES}ticket`]: ticket, [`${SCHEMES}ctx`]: TENANT, [`${SCHEMES}serial`]: "1234567890" };
  const options = { algorithm: "RS256", expiresIn: 300, issuer: "SuperOffice AS", audience: "spn:1234567890", keyid: "one" };
  return { IsSuccessful: true, Token: jsonwebtoken.sign(claims, superid.privateKey, options), ErrorMessage: null };
}

function introspect(token) {
  if (!tickets.get(token)) return { active: false };
  return { active: true, sub: "system", exp: Math.floor(Date.now() / 1000) + 600, [`${SCHEMES}associateid`]: "17", [`${SCHEMES}ctx`]: TENANT };
}

// The stand-in.
function standIn() {
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    let answer;
    if (request.url === "/Login/api/PartnerSystemUser/Authenticate") answer = authenticate(JSON.parse(body));
    else if (request.url === "/login/.well-known/jwks") answer = { keys: [{ ...superid.publicKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" }] };
    else if (request.url === "/introspect") answer = introspect(new URLSearchParams(body).get("token"));
    response.writeHead(answer ? 200 : 404, { "Content-Type": "application/json" });
    response.end(JSON.stringify(answer ?? null));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

// What an application does: exchanges its system token for a ticket, and believes no answer that SuperID did not sign.
async function exchange(base, systemToken, applicationToken = APP.secret) {
  const order = { SignedSystemToken: systemToken, ApplicationToken: applicationToken, ContextIdentifier: TENANT, ReturnTokenType: "JWT" };
  const { data } = await axios.post(`${base}/Login/api/PartnerSystemUser/Authenticate`, order);
  if (!data.IsSuccessful) throw new Error(data.ErrorMessage);
  const { keys } = (await axios.get(`${base}/login/.well-known/jwks`)).data;
  const key = crypto.createPublicKey({ key: keys[0], format: "jwk" });
  const claims = jsonwebtoken.verify(data.Token, key, { algorithms: ["RS256"], issuer: "SuperOffice AS", audience: "spn:1234567890" });
  return claims[`${SCHEMES}ticket`];
}

// The service behind the gate: a contact that says who asked for it.
function service() {
  const server = http.createServer((request, response) => {
    request.resume();
    const { sub, tenant } = JSON.parse(Buffer.from(request.headers["countersign-assertion"].split(".")[1], "base64url"));
    const told = ["authorization", "so-apptoken"].filter((name) => name in request.headers);
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ ContactId: 2, Name: `${sub} of ${tenant}`, Department: told.join() }));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function configuration(administration, listener, upstream, superid) {
  return `
[administration]
listen = "127.0.0.1:${administration}"
[[listener]]
name = "main"
address = "127.0.0.1:${listener}"
[[api]]
name = "crm"
dialect = "superoffice"
deployment = "online"
at = ["/${TENANT}"]
upstream = "http://127.0.0.1:${upstream}"
[api.introspection.ticket-and-app]
url = "http://127.0.0.1:${superid}/introspect"
client = "gate"
secret_file = "gate.secret"
claims = { subject = "${SCHEMES}associateid", tenant = "${SCHEMES}ctx" }
remember = "1s"
[[api.route]]
at = "/**"
allow = { tenants = ["${TENANT}"] }
`;
}

async function main() {
  const [administration, listener] = [await freePort(), await freePort()];
  const [upstream, issuer] = [await service(), await standIn()];
  const superidBase = `http://127.0.0.1:${issuer.address().port}`;
  const base = `http://127.0.0.1:${listener}/${TENANT}`;
  const text = configuration(administration, listener, upstream.address().port, issuer.address().port);
  const prepare = (folder) => {
    fs.writeFileSync(path.join(folder, "gate.secret"), "a secret of the gate's\n");
    const config = path.join(folder, "countersign.toml");
    const run = (args, input) => execFileSync(COUNTERSIGN, [...args, "--config", config], { input });
    run(["user", "add", APP.name, "--kind", "applications", "--generate"]);
    run(["key", "set-secret", "--owner", APP.name, "--api", "crm", "--password-stdin"], `${APP.secret}\n`);
  };
  const opens = async (ticket, app) => {
    const connection = new WebApi(base);
    connection.authenticateWithTicket(ticket);
    if (app) connection.applicationToken(app);
    const contact = await connection.getContactAgent().getContactEntityAsync(2);
    return [contact.Name ?? contact.name, contact.Department ?? contact.department];
  };
  const use = async () => {
    await check("S5 S13 S15 a system user's ticket, by the exchange with SuperID: @superoffice/webapi gets in with it and SO-AppToken", async () => {
      const ticket = await exchange(superidBase, signed(SYSTEM_TOKEN, application.privateKey));
      assert.match(ticket, /^7T:/);
      // The service hears who it is, and sees neither ticket nor secret.
      assert.deepEqual(await opens(ticket, APP.secret), [`17 of ${TENANT}`, ""]);
    });

    await check("S15 S16 the same ticket without the application's secret, with another's, with none of both: 401", async () => {
      const ticket = await exchange(superidBase, signed(SYSTEM_TOKEN, application.privateKey));
      await refused(opens(ticket), 401);
      await refused(opens(ticket, `${APP.secret.slice(0, -1)}2`), 401);
      await refused(opens(`7T:${crypto.randomBytes(48).toString("base64")}`, APP.secret), 401);
      await refused(axios.get(`${base}/api/v1/Contact/2`), 401);
      assert.deepEqual(await opens(ticket, APP.secret), [`17 of ${TENANT}`, ""]);
    });

    await check("a ticket that SuperID has ended is refused, a second later at most", async () => {
      const ticket = await exchange(superidBase, signed(SYSTEM_TOKEN, application.privateKey));
      await opens(ticket, APP.secret);
      tickets.set(ticket, false);
      const deadline = Date.now() + 120_000;
      while (await opens(ticket, APP.secret).then(() => true, () => false)) {
        assert(Date.now() < deadline, "it was good for ever");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await refused(opens(ticket, APP.secret), 401);
    });

    await check("no ticket for a stranger's signature, an old one, another token, another application", async () => {
      const wrong = async (promise, message) => assert.rejects(promise, { message });
      await wrong(exchange(superidBase, signed(SYSTEM_TOKEN, rsa().privateKey)), "InvalidSignature");
      await wrong(exchange(superidBase, signed(SYSTEM_TOKEN, application.privateKey, new Date(Date.now() - 3_600_000))), "InvalidTimestamp");
      await wrong(exchange(superidBase, signed("Another App-x", application.privateKey)), "Denied");
      await wrong(exchange(superidBase, signed(SYSTEM_TOKEN, application.privateKey), "another"), "Denied");
    });

    await check("while SuperID is away its tickets are 503, and nobody else's", async () => {
      const ticket = await exchange(superidBase, signed(SYSTEM_TOKEN, application.privateKey));
      await new Promise((resolve) => {
        issuer.close(resolve);
        issuer.closeAllConnections();
      });
      await refused(opens(ticket, APP.secret), 503);
      await refused(axios.get(`${base}/api/v1/Contact/2`), 401);
    });
  };
  await withGate(text, [], `http://127.0.0.1:${administration}`, use, prepare);
  upstream.close();
}

main().then(finish, (error) => {
  console.log(`FAIL the gate: ${error.message}`);
  process.exitCode = 1;
});
