// jsonwebtoken, an independent library, against what the gate issues to customers.
"use strict";

const crypto = require("node:crypto");
const axios = require("axios");
const jsonwebtoken = require("jsonwebtoken");
const { administration, api, assert, check, finish, refused } = require("./gate.js");

const shop = api("shop");
const { user, password } = shop.login("customers");
const issuer = "http://www.enactor.co/";

async function token() {
  return (await axios.post(`${shop.base}/identity/token`, { userName: user, password })).data.access_token;
}

async function key(token) {
  const { kid } = jsonwebtoken.decode(token, { complete: true }).header;
  const { keys } = (await axios.get(`${administration}/jwks/token`)).data;
  const jwk = keys.find((key) => key.kid === kid);
  assert(jwk && !("d" in jwk), "the published key is not there, or it is the private one");
  return crypto.createPublicKey({ key: jwk, format: "jwk" });
}

function basket(token) {
  return axios.get(`${shop.base}/baskets/PRIMARY`, { headers: { Authorization: `Bearer ${token}` } });
}

async function main() {
  await check("jsonwebtoken verifies a token of the gate with the published keys", async () => {
    const value = await token();
    const claims = jsonwebtoken.verify(value, await key(value), { algorithms: ["RS256"], audience: "client", issuer });
    assert.equal(claims.sub, user);
    assert.equal((await basket(value)).data.basket.customerId, user);
  });

  await check("tokens that jsonwebtoken signed with a stranger's key, with none, or with the public key: 401", async () => {
    const published = await key(await token());
    const { privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
    const claims = { sub: user, aud: "client", iss: issuer };
    const options = { expiresIn: 60 };
    const pem = published.export({ type: "spki", format: "pem" });
    const forged = [
      jsonwebtoken.sign(claims, privateKey, { ...options, algorithm: "RS256" }),
      jsonwebtoken.sign(claims, null, { ...options, algorithm: "none" }),
      jsonwebtoken.sign(claims, crypto.createSecretKey(Buffer.from(pem)), { ...options, algorithm: "HS256" }),
    ];
    for (const value of forged) {
      assert.equal((await refused(basket(value), 401)).data.errorCode, "bad-token");
    }
  });
}

main().then(finish);
