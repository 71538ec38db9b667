// AWS's own stack, as Mysa's programs in JavaScript use it: SRP by amazon-cognito-identity-js, credentials by
// @aws-sdk/credential-providers, MQTT over a signed WebSocket by aws-iot-device-sdk-v2 and its native CRT.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { AuthenticationDetails, CognitoRefreshToken, CognitoUser, CognitoUserPool } = require('amazon-cognito-identity-js');
const { fromCognitoIdentityPool } = require('@aws-sdk/credential-providers');
const { auth, iot, mqtt } = require('aws-iot-device-sdk-v2');

const REGION = 'us-east-1';
const ISSUER = 'cognito-idp.us-east-1.amazonaws.com/us-east-1_GUFWfhI7g';
const ENDPOINT = 'a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com';
const IDENTITY_POOL = 'us-east-1:ebd95d52-9995-45da-b059-56b865a18379';
const KITCHEN = 'a0b1c2d3e4f6';
const PACE = 5000;

const log = (text) => console.log(`interop:   ${text}`);
const within = (what, promise, ms = PACE * 4) => Promise.race([
  promise,
  new Promise((_, fail) => { setTimeout(() => fail(new Error(`never: ${what}`)), ms).unref(); }),
]);

function signIn(password) {
  const Pool = new CognitoUserPool({ UserPoolId: 'us-east-1_GUFWfhI7g', ClientId: '19efs8tgqe942atbqmot5m36t3' });
  const user = new CognitoUser({ Username: process.env.MYSA_EMAIL, Pool });
  const details = new AuthenticationDetails({ Username: process.env.MYSA_EMAIL, Password: password });
  return new Promise((onSuccess, onFailure) => {
    user.authenticateUser(details, { onSuccess: (session) => onSuccess({ user, session }), onFailure });
  });
}

async function rest(token, path, options = {}) {
  const answer = await fetch(`https://app-prod.mysa.cloud${path}`, {
    ...options, headers: { authorization: token, 'content-type': 'application/json' },
  });
  assert.equal(answer.status, 200, `${path}: ${answer.status}`);
  return answer.json();
}

async function keysVerify(token) {
  const [header, claims, signature] = token.split('.');
  const { keys } = await (await fetch(`https://${ISSUER}/.well-known/jwks.json`)).json();
  const { kid, alg } = JSON.parse(Buffer.from(header, 'base64url'));
  assert.equal(alg, 'RS256');
  const jwk = keys.find((key) => key.kid === kid);
  const key = crypto.createPublicKey({ key: jwk, format: 'jwk' });
  const good = crypto.verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'));
  assert.ok(good, 'the token does not verify with the published key');
}

async function main() {
  await assert.rejects(signIn('not the password'), { code: 'NotAuthorizedException' });
  log('a wrong password is refused');
  let { user, session } = await signIn(process.env.MYSA_PASSWORD);
  session = await new Promise((done, fail) => {
    const token = new CognitoRefreshToken({ RefreshToken: session.getRefreshToken().getToken() });
    user.refreshSession(token, (error, renewed) => (error ? fail(error) : done(renewed)));
  });
  const token = session.getIdToken().getJwtToken();
  assert.ok(session.isValid());
  log('signed in by SRP, tokens renewed');
  await keysVerify(token);
  log("the token verifies with the pool's published key");
  const attributes = await new Promise((done, fail) => {
    user.getUserAttributes((error, found) => (error ? fail(error) : done(found)));
  });
  assert.ok(attributes.some((attribute) => attribute.getName() === 'email'), 'no e-mail attribute');

  const { DevicesObj } = await rest(token, '/devices');
  const { DeviceStatesObj } = await rest(token, '/devices/state');
  assert.deepEqual(Object.keys(DevicesObj), Object.keys(DeviceStatesObj));
  const { Homes } = await rest(token, '/homes');
  const { User } = await rest(token, '/users');
  const { Firmware } = await rest(token, '/devices/firmware');
  assert.ok(Homes.length === 1 && User.Id && Firmware[KITCHEN].InstalledVersion);
  log(`${Object.keys(DevicesObj).length} devices`);

  const credentials = await fromCognitoIdentityPool({
    clientConfig: { region: REGION },
    identityPoolId: IDENTITY_POOL,
    logins: { [ISSUER]: token },
  })();
  assert.ok(credentials.sessionToken && credentials.expiration > new Date());
  log(`credentials until ${credentials.expiration.toISOString()}`);

  const config = iot.AwsIotMqttConnectionConfigBuilder.new_with_websockets({
    region: REGION,
    credentials_provider: auth.AwsCredentialsProvider.newStatic(
      credentials.accessKeyId, credentials.secretAccessKey, credentials.sessionToken,
    ),
  })
    .with_endpoint(ENDPOINT)
    .with_client_id(`interop-${crypto.randomUUID()}`)
    .with_clean_session(false)
    .with_keep_alive_seconds(30)
    .build();
  const connection = new mqtt.MqttClient().new_connection(config);
  assert.equal(await within('connected', connection.connect()), false, 'a session of a client that was never here');
  log('MQTT connected by the CRT');

  const received = [];
  let wake = () => {};
  const subscribed = await within('SUBACK', connection.subscribe(`/v1/dev/${KITCHEN}/out`, mqtt.QoS.AtLeastOnce, (_, bytes) => {
    received.push(JSON.parse(Buffer.from(bytes).toString()));
    wake();
  }));
  assert.equal(subscribed.qos, mqtt.QoS.AtLeastOnce);
  const message = async (what, wanted) => {
    const wait = async () => {
      for (;;) {
        const found = received.find(wanted);
        if (found) return found;
        await new Promise((resume) => { wake = resume; });
      }
    };
    return within(what, wait());
  };
  const publish = (payload) => within(
    'PUBACK', connection.publish(`/v1/dev/${KITCHEN}/in`, JSON.stringify(payload), mqtt.QoS.AtLeastOnce),
  );

  const now = () => Math.floor(Date.now() / 1000);
  await publish({ Device: KITCHEN, MsgType: 11, Timeout: 180, Timestamp: now() });
  const status = await message('a status', ({ msg }) => msg === 40);
  log(`status: ${JSON.stringify(status.body)}`);
  const id = Date.now();
  await publish({
    ver: '1.0', src: { type: 100, ref: User.Id }, dest: { type: 1, ref: KITCHEN }, time: now(),
    msg: 44, id, resp: 2, body: { ver: 1, type: 4, cmd: [{ tm: -1, sp: 23.5 }] },
  });
  const answer = await message('the answer', ({ msg, resp_id: to }) => msg === 44 && to === id);
  assert.ok(answer.body.success, JSON.stringify(answer));
  assert.equal(answer.body.state.sp, 23.5);
  log(`confirmed: ${JSON.stringify(answer.body)}`);
  await message('a status with the new setpoint', ({ msg, body }) => msg === 40 && body.stpt === 23.5);
  await within('disconnected', connection.disconnect());
  const second = new mqtt.MqttClient().new_connection(config);
  const again = new Promise((hear) => { second.on('message', hear); });
  assert.equal(await within('connected again', second.connect()), true, 'the session is not remembered');
  await within('a message without a new subscription', again);
  log('the session is remembered');
  await within('UNSUBACK', second.unsubscribe(`/v1/dev/${KITCHEN}/out`));
  await within('disconnected', second.disconnect());
  log('aws-sdk: all done');
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
