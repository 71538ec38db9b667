// Compiled by TypeScript, not run: the types fit the use that the README shows.
import { MqttStream, SignIn, decodeMessage, encodeCommand, encodePublish, explain, presign, topics } from "../../../target/wasm/package/index.js";
import type { AwsCredentials, Explanation, MysaError, Packet } from "../../../target/wasm/package/index.js";

export async function signIn(email: string, password: string): Promise<AwsCredentials> {
  const signIn = new SignIn(email, password, crypto.getRandomValues(new Uint8Array(32)));
  while (!signIn.done) {
    if (signIn.challenge) {
      const { destination, choices }: { destination?: string; choices: string[] } = signIn.challenge;
      signIn.answer(choices[0] ?? `code sent to ${destination}`);
      continue;
    }
    const request = signIn.request!;
    const answer = await fetch(request.url, request);
    try {
      signIn.reply(answer.status, await answer.arrayBuffer(), Date.now());
    } catch (error) {
      if ((error as MysaError).recovery === "ask_for_password") throw error;
    }
  }
  return signIn.credentials!;
}

export function read(stream: MqttStream, bytes: Uint8Array): Explanation[] {
  const packets: Packet[] = stream.push(bytes);
  return packets.flatMap((packet) => (packet.type === "publish" ? [decodeMessage(packet.payload, packet.topic)] : []));
}

export function warmer(credentials: AwsCredentials, device: string): [string, Uint8Array] {
  const { topic, payload } = encodeCommand({
    device,
    model: "BB-V2-0",
    change: { setpoint: 21.5, mode: "heat" },
    time: Date.now(),
    appRef: "ann",
  });
  const url: string = presign(credentials, Date.now());
  return [url, encodePublish(topic, payload, 2)];
}

export const first: Explanation | undefined = explain("20020000")[0];
export const out: string = topics("a0b1c2d3e4f6").out;
// @ts-expect-error: a setpoint is a number
encodeCommand({ device: "", model: "", change: { setpoint: "warm" }, time: 0, appRef: "" });
