// Signs in, connects and sends a command, by this package alone: fetch and WebSocket are the caller's. Runs in node and,
// unchanged, in a browser.

/** Returns the log of a visit: what happened, and the setpoint that the thermostat acknowledged. */
export async function visit(mysa, { fetch, WebSocket, random, email, password, device, model, setpoint }) {
  const signIn = new mysa.SignIn(email, password, random(new Uint8Array(32)));
  let requests = 0;
  while (!signIn.done) {
    const request = signIn.request;
    const answer = await fetch(request.url, request);
    signIn.reply(answer.status, await answer.text(), Date.now());
    requests += 1;
  }
  const { userId, refreshToken } = signIn.tokens;

  // The refresh token signs in again, without the password.
  const again = mysa.SignIn.renew(refreshToken, signIn.credentials.identityId);
  while (!again.done) {
    const answer = await fetch(again.request.url, again.request);
    again.reply(answer.status, await answer.text(), Date.now());
  }

  const socket = new WebSocket(mysa.presign(again.credentials, Date.now()), "mqtt");
  socket.binaryType = "arraybuffer";
  const topics = mysa.topics(device);
  const stream = new mysa.MqttStream();
  const log = [];
  const command = mysa.encodeCommand({ device, model, change: { setpoint }, time: Date.now(), appRef: userId });
  const acknowledged = await new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error("the WebSocket failed"));
    socket.onclose = () => reject(new Error(`closed after ${log}`));
    socket.onopen = () => socket.send(mysa.encodeConnect(`${userId}-test`, 60));
    socket.onmessage = ({ data }) => {
      for (const packet of stream.push(new Uint8Array(data))) {
        log.push(packet.type);
        if (packet.type === "connack") {
          if (!packet.accepted) return reject(new Error(packet.reason));
          socket.send(mysa.encodeSubscribe(1, [topics.out]));
        } else if (packet.type === "suback") {
          socket.send(mysa.encodePublish(command.topic, command.payload, 2));
        } else if (packet.type === "publish") {
          if (packet.id !== undefined) socket.send(mysa.encodePuback(packet.id));
          const message = mysa.decodeMessage(packet.payload, packet.topic);
          if (message.message === "ack") resolve(message);
        }
      }
    };
  });
  socket.onclose = null;
  socket.send(mysa.encodeDisconnect());
  socket.close();
  return { requests, log, acknowledged };
}
