// What the package returns, compared with known values. Runs in node: node --test. PACKAGE is the folder of the package.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const mysa = await import(pathToFileURL(`${process.env.PACKAGE}/node.js`));
const text = (bytes) => new TextDecoder().decode(bytes);
const hex = (bytes) => Buffer.from(bytes).toString("hex");

const STATUS = `{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,
  "id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0,"new":[1]}}`;
const OUT = "/v1/dev/a0b1c2d3e4f6/out";

test("a status is decoded, with what is unknown", () => {
  for (const payload of [STATUS, new TextEncoder().encode(STATUS), new TextEncoder().encode(STATUS).buffer]) {
    const message = mysa.decodeMessage(payload, OUT);
    assert.equal(message.message, "status");
    assert.equal(message.temperature_c, 18.9);
    assert.equal(message.setpoint_c, 20);
    assert.equal(message.message_id, "7100200300400500611", "text, because a number would be rounded");
    assert.deepEqual(message.unknown_fields, { new: [1] });
  }
});

test("an invalid payload is a result, not an exception", () => {
  const message = mysa.decodeMessage('{"ver":"1.0","msg":40,"bo', OUT);
  assert.equal(message.message, "unreadable");
  assert.match(message.error, /truncated|cut|expected/i);
});

test("an invalid topic is an error that names the expected form", () => {
  assert.throws(() => mysa.decodeMessage(STATUS, "kitchen"), /invalid topic 'kitchen': expected .*\/v1\/dev\/ID\/out/);
  assert.throws(() => mysa.decodeMessage(42), /expected a string, a Uint8Array or an ArrayBuffer/);
});

test("explain takes payloads, packets in hex, and logs", () => {
  assert.equal(mysa.explain(STATUS)[0].message, "status");
  assert.equal(mysa.explain("20 02 00 00")[0].packet, "CONNACK");
  const log = mysa.explain(`${OUT} ${STATUS.replaceAll("\n", "")}\n${OUT} {"broken`);
  assert.deepEqual(log.map((entry) => entry.message), ["status", "unreadable"]);
  assert.throws(() => mysa.explain("  "), /empty/);
});

test("a command has the known bytes", () => {
  const time = 1767323046000;
  const command = { device: "a0b1c2d3e4f6", model: "BB-V2-0", change: { setpoint: 21.5 }, time, appRef: "bare" };
  const { topic, payload } = mysa.encodeCommand(command);
  assert.equal(topic, "/v1/dev/a0b1c2d3e4f6/in");
  assert.equal(
    text(payload),
    '{"ver":"1.0","src":{"type":100,"ref":"bare"},"dest":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323046,' +
      '"Timestamp":1767323046,"msg":44,"id":1767323046000,"resp":2,"body":{"ver":1,"type":4,"cmd":[{"tm":-1,"sp":21.5}]}}',
  );
});

test("an id that could change a topic is refused wherever one is taken", () => {
  const command = { model: "BB-V2-0", change: { setpoint: 20 }, time: 1767323046000, appRef: "bare" };
  for (const device of ["", "a/b", "+", "#", "a b", "é", "a".repeat(40)]) {
    const refused = new RegExp(`invalid thermostat '${device.replace("+", "\\+")}': expected an id of letters`);
    assert.throws(() => mysa.encodeCommand({ ...command, device }), refused);
    assert.throws(() => mysa.encodeLiveReport(device, 60, 1767323046000), refused);
    assert.throws(() => mysa.topics(device), refused);
  }
  assert.throws(() => mysa.encodeCommand({ ...command, device: 5 }), /invalid command: .*string/);
  // A thermostat ignores a topic in upper case.
  assert.equal(mysa.encodeCommand({ ...command, device: "A0B1C2D3E4F6" }).topic, "/v1/dev/a0b1c2d3e4f6/in");
});

test("an impossible command is refused, with the reason", () => {
  const command = { device: "a0b1c2d3e4f6", model: "BB-V2-0", time: 1767323046000, appRef: "bare" };
  assert.throws(() => mysa.encodeCommand({ ...command, change: { setpoint: 45 } }), /30/);
  assert.throws(() => mysa.encodeCommand({ ...command, change: "warm" }), /expected an object/);
  assert.throws(() => mysa.encodeCommand(null), /expected an object with device/);
  assert.throws(() => mysa.topics("the kitchen"), /invalid thermostat 'the kitchen'/);
  assert.throws(() => mysa.encodeCommand({ ...command, change: {} }), /at least one setting/);
  assert.throws(() => mysa.encodeCommand({ ...command, change: { setpoint: 21, mod: "off" } }), /'mod' .* not a setting/);
  assert.throws(() => mysa.encodeCommand({ ...command, change: { setpoint: 21 }, model: "XX-V9" }), /model/i);
  assert.throws(() => mysa.encodeCommand({ ...command, change: { setpoint: 21 }, device: "the kitchen" }), /invalid thermostat/);
  assert.throws(() => mysa.encodeCommand({ ...command, change: { setpoint: 21 }, time: "now" }), /invalid command/);
  assert.throws(() => mysa.encodeCommand({ ...command, change: { setpoint: 21 }, tiem: 1 }), /unknown field `tiem`/);
});

test("a live report is requested for at most five minutes", () => {
  const { topic, payload } = mysa.encodeLiveReport("a0b1c2d3e4f6", 180, 1767323046000);
  assert.equal(topic, mysa.topics("a0b1c2d3e4f6").in);
  assert.equal(JSON.parse(text(payload)).Timeout, 180);
  assert.throws(() => mysa.encodeLiveReport("a0b1c2d3e4f6", 301, 1767323046000), /300/);
});

test("a URL has the signature of another implementation", () => {
  const credentials = {
    accessKeyId: "AKIDEXAMPLE",
    secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    sessionToken: "a/token==",
  };
  const url = mysa.presign(credentials, 1767323106000, "example.amazonaws.com");
  assert.equal(
    url,
    "wss://example.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2F" +
      "us-east-1%2Fiotdevicegateway%2Faws4_request&X-Amz-Date=20260102T030506Z&X-Amz-SignedHeaders=host&X-Amz-Signature=" +
      "5b07343c8e9090425639527ec4aea1b853a0e8efa996e5d1bebe3e54f0a88d49&X-Amz-Security-Token=a%2Ftoken%3D%3D",
  );
  assert.throws(() => mysa.presign(credentials, 1767323106000, "a b"), Error);
  assert.throws(() => mysa.presign({ accessKeyId: "x" }, 0), /invalid credentials: missing field `secretKey`/);
  assert.throws(() => mysa.presign(credentials, NaN), /invalid time NaN/);
});

test("packets are decoded however the bytes are cut", () => {
  const wire = Buffer.from("20020000" + "9003000101" + "d000" + "3207000161000742" + "43", "hex");
  for (const size of [1, 3, wire.length]) {
    const stream = new mysa.MqttStream();
    const packets = [];
    for (let at = 0; at < wire.length; at += size) packets.push(...stream.push(wire.subarray(at, at + size)));
    assert.deepEqual(packets.map((packet) => packet.type), ["connack", "suback", "pingresp", "publish"]);
    assert.deepEqual(packets[1], { type: "suback", id: 1, codes: [1] });
    const { payload, ...publish } = packets[3];
    assert.deepEqual(publish, { type: "publish", topic: "a", qos: 1, id: 7, dup: false, retain: false });
    assert.equal(text(payload), "BC");
  }
  assert.throws(() => new mysa.MqttStream().push(Buffer.from("ffff", "hex")), Error);
});

test("packets of a client have the bytes of the standard", () => {
  assert.equal(hex(mysa.encodeConnect("ann", 60)), "100f00044d5154540402003c0003616e6e");
  assert.equal(hex(mysa.encodeSubscribe(1, ["a/b"])), "820800010003612f6201");
  assert.equal(hex(mysa.encodePublish("a", Buffer.from("BC"), 7)), "32070001610007" + "4243");
  assert.equal(hex(mysa.encodePublish("a", Buffer.from("BC"))), "3005000161" + "4243");
  assert.equal(hex(mysa.encodePuback(7)), "40020007");
  assert.equal(hex(mysa.encodePing()) + hex(mysa.encodeDisconnect()), "c000e000");
  assert.throws(() => mysa.encodeSubscribe(0, ["a"]), /packet id 0/);
  assert.throws(() => mysa.encodePublish("a/#", new Uint8Array(), 1), Error);
});

test("a sign-in explains wrong inputs and refusals", () => {
  assert.throws(() => new mysa.SignIn("ann@example.org", "secret", new Uint8Array(16)), /entropy of 16 bytes/);
  assert.throws(() => new mysa.SignIn("ann@example.org", "secret", new Uint8Array(32)), /all bytes are zero/);
  const signIn = new mysa.SignIn("ann@example.org", "secret", new Uint8Array(32).fill(7));
  assert.equal(signIn.request.url, "https://cognito-idp.us-east-1.amazonaws.com/");
  assert.equal(signIn.request.headers["x-amz-target"] ?? signIn.request.headers["X-Amz-Target"], "AWSCognitoIdentityProviderService.InitiateAuth");
  assert.ok(!signIn.request.body.includes("secret"), "the password is never sent");
  assert.throws(
    () => signIn.reply(400, '{"__type":"NotAuthorizedException","message":"Incorrect username or password."}', Date.now()),
    (error) => error instanceof Error && error.recovery === "ask_for_password",
  );
  assert.equal(signIn.request, undefined);
  assert.throws(() => signIn.reply(200, "{}", Date.now()), /no request waits/);
  assert.throws(() => signIn.answer("123456"), /no challenge/);
});
