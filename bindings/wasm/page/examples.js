// Messages as thermostats send them. Ids and tokens are invented.
export const examples = [
  [
    "a status",
    "{\"ver\":\"1.0\",\"src\":{\"type\":1,\"ref\":\"a0b1c2d3e4f6\"},\"time\":1767323045,\"msg\":40,\"id\":7100200300400500611,\"body\":{\"ambTemp\":18.9,\"hum\":44.5,\"stpt\":20.0,\"dtyCycle\":1.0}}",
  ],
  [
    "an MQTT packet, in hex",
    "30 bf 01 00 18 2f 76 31 2f 64 65 76 2f 61 30 62 31 63 32 64 33 65 34 66 36 2f 6f 75 74 7b 22 76 65 72 22 3a 22 31 2e 30 22 2c 22 73 72 63 22 3a 7b 22 74 79 70 65 22 3a 31 2c 22 72 65 66 22 3a 22 61 30 62 31 63 32 64 33 65 34 66 36 22 7d 2c 22 74 69 6d 65 22 3a 31 37 36 37 33 32 33 30 34 35 2c 22 6d 73 67 22 3a 34 30 2c 22 69 64 22 3a 37 31 30 30 32 30 30 33 30 30 34 30 30 35 30 30 36 31 31 2c 22 62 6f 64 79 22 3a 7b 22 61 6d 62 54 65 6d 70 22 3a 31 38 2e 39 2c 22 68 75 6d 22 3a 34 34 2e 35 2c 22 73 74 70 74 22 3a 32 30 2e 30 2c 22 64 74 79 43 79 63 6c 65 22 3a 31 2e 30 7d 7d",
  ],
  [
    "a log: a command, statuses, a dangerous request",
    "/v1/dev/a0b1c2d3e4f6/in {\"ver\":\"1.0\",\"src\":{\"type\":100,\"ref\":\"11111111-1111-4111-8111-111111111111\"},\"dest\":{\"type\":1,\"ref\":\"a0b1c2d3e4f6\"},\"time\":1767323046,\"Timestamp\":1767323046,\"msg\":44,\"id\":1767323046000,\"resp\":2,\"body\":{\"ver\":1,\"type\":4,\"cmd\":[{\"tm\":-1,\"sp\":21.5}]}}\n/v1/dev/a0b1c2d3e4f6/out {\"ver\":\"1.0\",\"src\":{\"type\":1,\"ref\":\"a0b1c2d3e4f6\"},\"time\":1767323045,\"msg\":40,\"id\":7100200300400500611,\"body\":{\"ambTemp\":18.9,\"hum\":44.5,\"stpt\":20.0,\"dtyCycle\":1.0}}\n/v1/dev/a0b1c2d3e4f5/out {\"Device\":\"a0b1c2d3e4f5\",\"Timestamp\":1767323047,\"MsgType\":0,\"MainTemp\":21.2,\"ComboTemp\":20.4,\"Humidity\":43,\"SetPoint\":20.5,\"Current\":6.1}\n/v1/dev/a0b1c2d3e4f5/in {\"Device\":\"a0b1c2d3e4f5\",\"Timestamp\":1767323048,\"MsgType\":7}",
  ],
];
