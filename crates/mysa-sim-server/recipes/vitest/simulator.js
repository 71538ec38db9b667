// Runs the simulated Mysa cloud while the tests run.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export default async function setup() {
  const ca = join(await mkdtemp(join(tmpdir(), "mysa-")), "ca.pem");
  const args = ["sim", "--listen", "127.0.0.1:0", "--no-schedules", "--ca", ca, "--json"];
  const simulator = spawn(process.env.MYSA ?? "mysa", args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(simulator.stdout), "line");
  process.env.MYSA_SIM = line;
  process.env.NODE_EXTRA_CA_CERTS = ca;
  return () => simulator.kill();
}
