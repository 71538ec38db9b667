// The simulated cloud as a child process.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export async function startCloud() {
  const folder = mkdtempSync(join(tmpdir(), "mysa-wasm-"));
  const args = ["sim", "--listen", "127.0.0.1:0", "--no-schedules", "--no-control", "--ca", join(folder, "ca.pem"), "--json"];
  const child = spawn(process.env.MYSA, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await new Promise((resolve, reject) => {
    createInterface(child.stdout).once("line", (line) => resolve([line]));
    child.once("exit", (code) => reject(new Error(`mysa sim ended with ${code}`)));
  });
  const { address, accounts } = JSON.parse(line);
  return {
    port: Number(address.split(":")[1]),
    ca: readFileSync(join(folder, "ca.pem")),
    home: { ...accounts[0], device: "a0b1c2d3e4f6", model: "BB-V2-0" },
    stop() {
      child.removeAllListeners("exit");
      child.kill();
      rmSync(folder, { recursive: true });
    },
  };
}
