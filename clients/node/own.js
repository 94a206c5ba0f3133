// A gate of one's own, where the demo's configuration is not the one that is wanted.
"use strict";

const { execFileSync, spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

const COUNTERSIGN = process.env.COUNTERSIGN ?? "target/debug/countersign";
const START_MS = 30_000;

// A port that nobody has at this moment.
function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Starts `serve` with `text` as its configuration and these users; `use()` runs beside it. `prepare(folder)` puts files
// beside the configuration.
async function withGate(text, users, administration, use, prepare = () => {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "own-gate-"));
  const config = path.join(folder, "countersign.toml");
  fs.writeFileSync(config, text);
  prepare(folder);
  for (const { user, password, roles } of users) {
    const named = roles.flatMap((role) => ["--role", role]);
    const args = ["user", "add", user, ...named, "--password-stdin", "--config", config];
    execFileSync(COUNTERSIGN, args, { input: password });
  }
  const gate = spawn(COUNTERSIGN, ["serve", "--config", config], { stdio: ["ignore", "ignore", "ignore"] });
  try {
    const end = Date.now() + START_MS;
    while (!(await fetch(`${administration}/ready`).then((answer) => answer.ok, () => false))) {
      if (Date.now() > end) throw new Error("the gate did not start");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await use();
  } finally {
    gate.kill("SIGTERM");
    await new Promise((resolve) => (gate.exitCode === null ? gate.once("exit", resolve) : resolve()));
    fs.rmSync(folder, { recursive: true });
  }
}

module.exports = { COUNTERSIGN, freePort, withGate };
