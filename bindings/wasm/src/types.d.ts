/** Request for `fetch(request.url, request)`. The body holds secrets: do not log it. */
export interface HttpRequest {
  url: string;
  method: "POST";
  headers: Record<string, string>;
  body: string;
}

/** Question that only a person can answer, such as for the code in a text message. */
export interface Challenge {
  /** AWS's name of the challenge, such as `SMS_MFA`. */
  kind: string;
  /** Where the code was sent, masked, such as `+*******0000`. */
  destination?: string;
  /** Allowed answers, if the person chooses a method. */
  choices: string[];
}

/** Tokens of the account. They are secrets. Count `expiresIn` from their arrival, not by the wall clock. */
export interface Tokens {
  /** Value of `Authorization` for the REST service. */
  idToken: string;
  accessToken: string;
  /** Store it: it signs in again without the password, for about 30 days. */
  refreshToken?: string;
  /** Seconds. */
  expiresIn: number;
  /** Id of the user: the `appRef` of commands. */
  userId: string;
}

/** Temporary credentials of AWS. They are secrets. */
export interface AwsCredentials {
  identityId: string;
  accessKeyId: string;
  secretKey: string;
  sessionToken: string;
  /** Milliseconds since 1970, by the server's clock. */
  expiresAt: number;
}

/** Error of a sign-in: what to do next. */
export interface MysaError extends Error {
  recovery?:
    | "ask_for_password"
    | "ask_for_code"
    | "renew_tokens"
    | "forget_identity"
    | "retry"
    | "retry_once"
    | "wait"
    | "give_up";
  /** `true` if the refresh token is of no use any more. */
  needsSignIn?: boolean;
}

/** Packet of the broker. */
export type Packet =
  | { type: "connack"; accepted: boolean; code: number; reason?: string }
  | { type: "publish"; topic: string; payload: Uint8Array; qos: 0 | 1 | 2; id?: number; dup: boolean; retain: boolean }
  | { type: "puback" | "pubrec" | "pubrel" | "pubcomp" | "unsuback"; id: number }
  | { type: "suback"; id: number; codes: number[] }
  | { type: "pingresp" };

/** Value of an explained message. Names end in their unit, as in `temperature_c`. */
export type Value = null | boolean | number | string | Value[] | { [name: string]: Value };

/** Explained message, packet or reading: what `mysa decode --json` prints. */
export interface Explanation {
  /** Kind of the message, such as `status`; `unreadable` if it is none. */
  message?: string;
  /** What is wrong with the input. */
  error?: string;
  [name: string]: Value | undefined;
}

/** Settings to change. Temperatures are in °C. */
export interface Change {
  mode?: "off" | "auto" | "heat" | "cool" | "fan_only" | "dry" | (string & {});
  setpoint?: number;
  /** `true` locks the buttons. */
  lock?: boolean;
  /** Display brightness, 0 to 100. */
  brightness?: { active?: number; idle?: number; [name: string]: Value | undefined };
  proximity?: boolean;
  fan?: Value;
  swing_vertical?: Value;
  swing_horizontal?: Value;
  climate_plus?: boolean;
  tracked_sensor?: "floor" | "ambient";
  hold?: Value;
}

/** Command for one thermostat. */
export interface CommandRequest {
  /** Id of the thermostat, such as `a0b1c2d3e4f6`. */
  device: string;
  /** Model in the account's device list, such as `BB-V2-0`. */
  model: string;
  change: Change;
  /** Now, in milliseconds since 1970. */
  time: number;
  /** Number that the acknowledgement repeats. The default is `time`; use each number once. */
  id?: number;
  /** `userId` of the account. */
  appRef: string;
}

/** Message to publish with QoS 1. */
export interface OutgoingMessage {
  topic: string;
  payload: Uint8Array;
}
