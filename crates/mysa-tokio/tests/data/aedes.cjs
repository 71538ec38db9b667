// aedes, a broker in JavaScript, over plain TCP and over WebSocket with one byte per frame. Prints the two ports; exits when
// standard input closes. Arguments, all optional: port of the WebSocket, port of TCP, certificate and key of the WebSocket.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const { Duplex } = require('node:stream');
const { Aedes } = require('aedes');
const { WebSocketServer } = require('ws');

function byteByByte(socket) {
  const stream = new Duplex({
    read() {},
    write(chunk, _, done) {
      for (const byte of chunk) socket.send(Buffer.of(byte), { binary: true });
      done();
    },
    destroy(error, done) {
      socket.terminate();
      done(error);
    },
  });
  socket.on('message', (bytes) => stream.push(bytes));
  socket.on('close', () => stream.push(null));
  socket.on('error', () => stream.destroy());
  stream.on('error', () => socket.terminate());
  return stream;
}

async function main() {
  const broker = await Aedes.createBroker();
  const [webPort, plainPort, cert, key] = process.argv.slice(2);
  const web = cert ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) : http.createServer();
  new WebSocketServer({ server: web, handleProtocols: (offered) => offered.has('mqtt') && 'mqtt' })
    .on('connection', (socket, request) => broker.handle(byteByByte(socket), request));
  const plain = net.createServer(broker.handle);
  await Promise.all([[web, webPort], [plain, plainPort]].map(([server, port]) => new Promise((up) => {
    server.listen(Number(port ?? 0), process.env.LISTEN_HOST ?? '127.0.0.1', up);
  })));
  console.log(`${web.address().port} ${plain.address().port}`);
  process.stdin.on('end', () => process.exit(0)).resume();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
