// Opens genesys.html at any origin: the page and its libraries come from this folder, everything else from the network.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const jquery = path.dirname(require.resolve("jquery/package.json"));
const cometd = path.dirname(require.resolve("cometd-jquery/package.json"));
const FILES = {
  "/agent.html": [path.join(__dirname, "genesys.html"), "text/html; charset=utf-8"],
  "/libraries/jquery.min.js": [path.join(jquery, "dist/jquery.min.js"), "text/javascript"],
  "/libraries/jquery.cometd.js": [path.join(cometd, "jquery/jquery.cometd.js"), "text/javascript"],
  "/libraries/org/cometd.js": [path.join(cometd, "org/cometd.js"), "text/javascript"],
  "/libraries/org/cometd/ReloadExtension.js": [path.join(cometd, "org/cometd/ReloadExtension.js"), "text/javascript"],
};

// Opens the page at `origin`, for the API at `api` and an account; returns when its buttons work.
async function open(page, origin, api, { user, password }) {
  for (const [place, [file, contentType]] of Object.entries(FILES)) {
    await page.route(
      (url) => url.origin === origin && url.pathname === place,
      (route) => route.fulfill({ body: fs.readFileSync(file), contentType }),
    );
  }
  const query = new URLSearchParams({ base: api, user, password });
  await page.goto(`${origin}/agent.html?${query}`);
  await page.waitForFunction(() => $.cometd && document.readyState === "complete");
}

const press = (page, button) => page.locator(`#${button}`).click();

// What the page has noted so far.
const told = (page) => page.evaluate(() => log);

// The first entry from `from` on that `is` true of.
async function wait(page, is, from = 0) {
  const end = Date.now() + 120_000;
  for (;;) {
    const found = (await told(page)).slice(from).find(is);
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain: ${is}; the page says ${JSON.stringify(await told(page))}`);
    await page.waitForTimeout(20);
  }
}

module.exports = { open, press, told, wait };
