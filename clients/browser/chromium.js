// Chromium without a window, with a profile of its own; pictures go to .cache/screenshots.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { chromium } = require("playwright-core");

const PICTURES = path.resolve(__dirname, "../../.cache/screenshots");
const TIMEOUT_MS = 120_000;

const OPTIONS = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", // tests run as root in containers; nothing but our own pages is loaded
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Pages that are put in have no address, and would not be let reach this machine.
    "--disable-features=LocalNetworkAccessChecks",
  ],
};

// Runs `use(page)` in a browser with a profile, as people have: one without keeps no cookies for pages of other sites.
async function browseWithProfile(use) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "profile-"));
  fs.mkdirSync(path.join(folder, "Default"));
  // Some builds block cookies of other sites from the start, as no gate can know.
  const preferences = { profile: { block_third_party_cookies: false, cookie_controls_mode: 0 } };
  fs.writeFileSync(path.join(folder, "Default/Preferences"), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(folder, { ...OPTIONS, ignoreHTTPSErrors: true });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    await use(page);
  } finally {
    await context.close();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

// Runs `use(page, picture)` in a new browser that knows nothing yet.
async function browse(use) {
  fs.mkdirSync(PICTURES, { recursive: true });
  const browser = await chromium.launch(OPTIONS);
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

module.exports = { browse, browseWithProfile };
