// A gate of one's own, where the demo's configuration is not the one that is wanted.
"use strict";

const { execFileSync, spawn } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

const COUNTERSIGN = process.env.COUNTERSIGN ?? "target/debug/countersign";
const START_MS = 120_000;

const given = new Set();

// A port that nobody has at this moment, none that was given before, and none of those that the system gives away by
// itself.
async function freePort() {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = 10_000 + crypto.randomInt(20_000);
    if (given.has(port)) continue;
    given.add(port);
    const isFree = await new Promise((resolve) => {
      const server = net.createServer();
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
  throw new Error("no port is free");
}

async function start(config, administration) {
  const gate = spawn(COUNTERSIGN, ["serve", "--config", config], { stdio: ["ignore", "ignore", "ignore"] });
  const end = Date.now() + START_MS;
  while (!(await fetch(`${administration}/ready`).then((answer) => answer.ok, () => false))) {
    if (Date.now() > end || gate.exitCode !== null) {
      gate.kill("SIGKILL");
      throw new Error("the gate did not start");
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return gate;
}

function stop(gate, signal) {
  const gone = new Promise((resolve) => (gate.exitCode === null ? gate.once("exit", resolve) : resolve()));
  gate.kill(signal);
  return gone;
}

// Starts `serve` with `text` as its configuration and these users; `use({ restart })` runs beside it, and may stop the
// gate with a signal and start it anew on what it kept. `prepare(folder)` puts files beside the configuration.
async function withGate(text, users, administration, use, prepare = () => {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "own-gate-"));
  let gate;
  try {
    const config = path.join(folder, "countersign.toml");
    fs.writeFileSync(config, text);
    prepare(folder);
    for (const { user, password, roles } of users) {
      const named = roles.flatMap((role) => ["--role", role]);
      const args = ["user", "add", user, ...named, "--password-stdin", "--config", config];
      execFileSync(COUNTERSIGN, args, { input: password });
    }
    gate = await start(config, administration);
    const restart = async (signal) => {
      await stop(gate, signal);
      gate = await start(config, administration);
    };
    await use({ restart });
  } finally {
    if (gate) await stop(gate, "SIGTERM");
    fs.rmSync(folder, { recursive: true });
  }
}

module.exports = { COUNTERSIGN, freePort, withGate };
