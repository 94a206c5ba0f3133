// An OpenID provider (oidc-provider) on loopback: `node provider.js PORT REDIRECT...`. Every start has keys of its own.
// Clients: `app` with `app-secret` gets tokens for itself, `gate` with `gate-secret` may ask about tokens, `web` with
// `web-secret` logs people in by code with PKCE. The resource `urn:signed` has JWTs, `urn:opaque` tokens that only
// the provider can read. Prints one line when it listens.
"use strict";

const { generateKeyPairSync } = require("node:crypto");

const [port, ...redirects] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

async function main() {
  const { default: Provider } = await import("oidc-provider");
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256" };
  const may = async () => true;
  const provider = new Provider(issuer, {
    jwks: { keys: [key] },
    cookies: { keys: ["one secret of a throwaway provider"] },
    clients: [
      { client_id: "app", client_secret: "app-secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] },
      { client_id: "gate", client_secret: "gate-secret", grant_types: [], redirect_uris: [], response_types: [] },
      { client_id: "web", client_secret: "web-secret", redirect_uris: redirects.length ? redirects : ["http://127.0.0.1/none"] },
    ],
    claims: { openid: ["sub"], email: ["email"], profile: ["name"] },
    conformIdTokenClaims: false,
    findAccount: async (_ctx, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, email: `${id}@provider.test`, name: id.toUpperCase() }),
    }),
    ttl: { ClientCredentials: () => 300 },
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: may },
      revocation: { enabled: true, allowedPolicy: may },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (_ctx, resource) => ({
          scope: "read write",
          audience: "orders-api",
          accessTokenFormat: resource === "urn:signed" ? "jwt" : "opaque",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
  // What it remarks about its own development defaults is of no use here.
  provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
}

main();
