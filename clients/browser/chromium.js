// Chromium without a window, with a profile of its own; pictures go to .cache/screenshots.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const PICTURES = path.resolve(__dirname, "../../.cache/screenshots");
const TIMEOUT_MS = 30_000;

// Runs `use(page, picture)` in a new browser that knows nothing yet.
async function browse(use) {
  fs.mkdirSync(PICTURES, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", // tests run as root in containers; nothing but our own pages is loaded
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    const context = await browser.newContext({ viewport: { width: 900, height: 600 } });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    const picture = (name) => page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
    await use(page, picture);
  } finally {
    await browser.close();
  }
}

module.exports = { browse };
