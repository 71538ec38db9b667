import { AuthenticationDetails, CognitoUser, CognitoUserPool } from "amazon-cognito-identity-js";
import { expect, test } from "vitest";

const simulator = JSON.parse(process.env.MYSA_SIM);
const { email, password } = simulator.accounts[0];

function signIn() {
  const Pool = new CognitoUserPool({ UserPoolId: "us-east-1_GUFWfhI7g", ClientId: "19efs8tgqe942atbqmot5m36t3" });
  const user = new CognitoUser({ Username: email, Pool });
  const details = new AuthenticationDetails({ Username: email, Password: password });
  return new Promise((onSuccess, onFailure) => user.authenticateUser(details, { onSuccess, onFailure }));
}

async function control(path, body) {
  const change = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return (await fetch(simulator.control + path, body && change)).json();
}

test("a person turns the thermostat, and the list shows it", async () => {
  const token = (await signIn()).getIdToken().getJwtToken();
  const headers = { authorization: token };
  const states = async () => (await fetch("https://app-prod.mysa.cloud/devices/state", { headers })).json();
  await control("devices/a0b1c2d3e4f6/setpoint", { celsius: 23.5 });
  await expect
    .poll(async () => (await states()).DeviceStatesObj.a0b1c2d3e4f6.SetPoint.v, { timeout: 60_000 })
    .toBe(23.5);
});
