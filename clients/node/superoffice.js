// The vendor's own library, @superoffice/webapi, and axios in Node against `superoffice`.
"use strict";

const { WebApi } = require("@superoffice/webapi");
const axios = require("axios");
const { api, assert, check, finish, refused } = require("./gate.js");

const onsite = api("crm");
const online = api("crm-online");
const { user, password } = onsite.login("users");
const app = online.secrets.app_token;

// A connection of the library's, with its credential set as its documentation says.
function connect(base, authenticate) {
  const connection = new WebApi(base);
  authenticate(connection);
  return connection;
}

async function opens(connection) {
  const contact = await connection.getContactAgent().getContactEntityAsync(2);
  assert.equal(contact.Name ?? contact.name, "Superlative Widgets");
  const same = await connection.getContactRestApi().getByIdAsync(2);
  assert.equal(same.Name ?? same.name, "Superlative Widgets");
}

async function ticket() {
  const path = `${onsite.base}/api/v1/Agents/User/CreateTicket`;
  return (await axios.post(path, { userName: user, password })).data;
}

// A browser gets the online ticket in a web panel; here axios is the browser.
async function onlineTicket() {
  const form = new URLSearchParams({ userName: user, password });
  const answer = await axios.post(`${online.base}/login`, form, { maxRedirects: 0, validateStatus: (status) => status === 303 });
  const cookies = answer.headers["set-cookie"].map((cookie) => cookie.split(";")[0]);
  const token = cookies.find((cookie) => cookie.startsWith("XSRF-TOKEN=")).slice("XSRF-TOKEN=".length);
  const headers = { Cookie: cookies.join("; "), "X-XSRF-TOKEN": token };
  return (await axios.get(`${online.base}/api/v1/User/currentTicket`, { headers })).data;
}

async function main() {
  await check("@superoffice/webapi with Basic, by agent and by REST", () =>
    opens(connect(onsite.base, (connection) => connection.authenticateWithPassword(user, password))));

  await check("the same with a slash at the end of the base URL", () =>
    opens(connect(`${onsite.base}/`, (connection) => connection.authenticateWithPassword(user, password))));

  await check("@superoffice/webapi with SOTicket", async () => {
    const value = await ticket();
    await opens(connect(onsite.base, (connection) => connection.authenticateWithTicket(value)));
  });

  await check("@superoffice/webapi online with SOTicket and SO-AppToken", async () => {
    const value = await onlineTicket();
    await opens(connect(online.base, (connection) => {
      connection.authenticateWithTicket(value);
      connection.applicationToken(app);
    }));
  });

  await check("@superoffice/webapi online with Bearer, from its own getAccessToken call", async () => {
    const value = await onlineTicket();
    const panel = connect(online.base, (connection) => {
      connection.authenticateWithTicket(value);
      connection.applicationToken(app);
    });
    const token = await panel.getUserAgent().getAccessTokenAsync("app", false);
    assert.match(token, /^8A:Cust26759\./);
    await opens(connect(online.base, (connection) => connection.authenticateWithToken(token)));
  });

  await check("@superoffice/webapi asks who it is", async () => {
    const connection = connect(onsite.base, (connection) => connection.authenticateWithPassword(user, password));
    const contact = await connection.getContactRestApi().getByIdAsync(2);
    assert.equal((contact.Associate ?? contact.associate).AssociateId ?? contact.associate.associateId, 5);
  });

  await check("@superoffice/webapi with a wrong password, a wrong ticket, no application token, nothing: 401", async () => {
    const wrong = [
      connect(onsite.base, (connection) => connection.authenticateWithPassword(user, "wrong")),
      connect(onsite.base, (connection) => connection.authenticateWithTicket("7T:abc123==")),
      connect(online.base, (connection) => connection.authenticateWithPassword(user, password)),
      connect(online.base, () => {}),
    ];
    const value = await onlineTicket();
    wrong.push(connect(online.base, (connection) => connection.authenticateWithTicket(value)));
    for (const connection of wrong) {
      await refused(connection.getContactRestApi().getByIdAsync(2), 401);
    }
  });

  await check("axios sees the error object of the dialect", async () => {
    const answer = await refused(axios.get(`${onsite.base}/api/v1/Contact/2`), 401);
    assert.equal(answer.data.ErrorType, "SoAuthenticationException");
  });
}

main().then(finish);
