// The page of the control endpoint. Text of the cloud is only ever set as textContent.
"use strict";

const POLL_MS = 1000;
const MAX_SAMPLES = 900;
const MAX_EVENTS = 60;
const COLORS = ["#d1495b", "#00798c", "#edae49", "#5f4bb6", "#66a182", "#2e86ab", "#a23b72", "#8d6a9f"];
const COMMON = [
  ["cut", "Cut connections"], ["rest-down", "REST answers 503"], ["refuse-upgrade", "Refuse WebSockets"],
  ["deny-publish", "Deny publishes"], ["drop-pubacks", "Drop PUBACKs"], ["drop-acks", "Lose acknowledgements"],
  ["drop-statuses", "Lose statuses"], ["offline", "All offline"], ["expire-tokens", "Expire tokens"],
  ["expire-credentials", "Expire credentials"], ["sign-in-throttled", "Throttle sign-in"], ["blackhole", "Black hole"],
];

const at = (id) => document.getElementById(id);
const samples = new Map(); // id of a thermostat: [{t, room, setpoint, on}]
let frozen = false;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function complain(text) {
  at("error").textContent = text ?? "";
  at("error").hidden = !text;
}

async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
  return answer;
}

// Runs what a button does, shows why it failed, and brings the page up to date.
async function act(work) {
  try {
    await work();
    complain();
  } catch (error) {
    complain(error.message);
  }
  await refresh();
}

function button(text, work) {
  const made = element("button", text, { type: "button" });
  made.addEventListener("click", () => act(work));
  return made;
}

const celsius = (value) => (value === null ? "–" : `${value.toFixed(1)} °C`);
const color = (index) => COLORS[index % COLORS.length];

function record(devices, elapsed) {
  for (const device of devices) {
    const list = samples.get(device.id) ?? [];
    samples.set(device.id, list);
    if (list.length && list[list.length - 1].t >= elapsed) list.pop();
    list.push({ t: elapsed, room: device.room_c, setpoint: device.setpoint_c, on: device.heating });
    if (list.length > MAX_SAMPLES) list.shift();
  }
}

function showDevices(devices, homes) {
  const names = new Map(homes.map((home) => [home.id, home.name]));
  const rows = devices.map((device, index) => {
    const path = `/devices/${device.id}`;
    const row = element("tr", undefined, { "data-device": device.id });
    row.classList.toggle("heating", device.heating);
    row.classList.toggle("offline", !device.online);
    const name = element("td");
    const swatch = element("span", undefined, { class: "swatch" });
    swatch.style.background = color(index);
    name.append(swatch, device.name || device.id);
    row.append(name, element("td", names.get(device.home) ?? ""), element("td", device.model), element("td", device.mode));
    const numbers = [celsius(device.room_c), celsius(device.setpoint_c), `${device.watts.toFixed(0)} W`,
      `${device.energy_kwh.toFixed(2)} kWh`];
    for (const text of numbers) row.append(element("td", text, { class: "num" }));
    const person = element("td");
    const mode = device.mode === "off" ? "heat" : "off";
    person.append(
      button("−", () => call("POST", `${path}/press`, { button: "down" })), " ",
      button("+", () => call("POST", `${path}/press`, { button: "up" })), " ",
      button(mode === "off" ? "Off" : "Heat", () => call("POST", `${path}/mode`, { mode })),
    );
    const simulator = element("td");
    simulator.append(
      button(device.online ? "Offline" : "Online",
        () => call("POST", `${path}/online`, { online: !device.online })), " ",
      button("Window", () => call("POST", `${path}/room`, { celsius: Math.max(device.room_c - 5, -60) })),
    );
    row.append(person, simulator);
    return row;
  });
  // A button that is pressed right now must not be replaced under the pointer.
  if (!at("devices").matches(":active")) at("devices").replaceChildren(...rows);
  at("homes").textContent = homes.map((home) => `${home.name}: ${celsius(home.outdoors_c)} outdoors`).join(" · ");
  const select = at("device");
  if (select.options.length !== devices.length + 1) {
    select.replaceChildren(element("option", "all", { value: "" }),
      ...devices.map((device) => element("option", device.name || device.id, { value: device.id })));
  }
}

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} d`;
}

function draw(devices) {
  const [width, height, left, right, top] = [1100, 300, 44, 8, 8];
  const lane = 9;
  const bars = devices.length * lane;
  const total = height + bars + 26;
  const plot = at("plot");
  plot.setAttribute("viewBox", `0 0 ${width} ${total}`);
  const all = devices.flatMap((device) => samples.get(device.id) ?? []);
  if (!all.length) return;
  const from = Math.min(...all.map((sample) => sample.t));
  const until = Math.max(...all.map((sample) => sample.t), from + 10);
  const values = all.flatMap((sample) => [sample.room, sample.setpoint]);
  const low = Math.floor(Math.min(...values) - 0.5);
  const high = Math.ceil(Math.max(...values) + 0.5);
  const x = (t) => left + ((t - from) / (until - from)) * (width - left - right);
  const y = (value) => top + ((high - value) / (high - low)) * (height - top);
  const parts = [];
  const step = Math.max(1, Math.ceil((high - low) / 8));
  for (let value = low; value <= high; value += step) {
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    parts.push(svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, `${value} °C`));
  }
  devices.forEach((device, index) => {
    const list = samples.get(device.id) ?? [];
    const stroke = color(index);
    const points = list.map((sample) => `${x(sample.t).toFixed(1)},${y(sample.room).toFixed(1)}`).join(" ");
    parts.push(svg("polyline", { points, fill: "none", stroke, "stroke-width": 2, "data-room": device.id }));
    const wanted = list.map((sample) => `${x(sample.t).toFixed(1)},${y(sample.setpoint).toFixed(1)}`).join(" ");
    parts.push(svg("polyline", { points: wanted, fill: "none", stroke, "stroke-dasharray": "5 4", opacity: 0.65 }));
    const level = height + 6 + index * lane;
    list.forEach((sample, place) => {
      const next = list[place + 1];
      if (sample.on && next) {
        const span = { x: x(sample.t), width: Math.max(x(next.t) - x(sample.t), 0.5) };
        parts.push(svg("rect", { ...span, y: level, height: lane - 3, fill: stroke }));
      }
    });
  });
  parts.push(svg("text", { x: left, y: total - 4 }, `${duration(until - from)} ago`));
  parts.push(svg("text", { x: width - right, y: total - 4, "text-anchor": "end" }, "now"));
  plot.replaceChildren(...parts);
}

function showFaults(faults) {
  const items = faults.map((fault) => {
    const item = element("li");
    const state = fault.active ? "active " : "planned";
    const until = fault.until_s === null || fault.until_s === undefined ? "" : ` until ${fault.until_s} s`;
    item.append(button("End", () => call("DELETE", `/faults/${fault.id}`)),
      ` ${state} ${fault.name ?? ""} ${fault.what} from ${fault.from_s} s${until}`);
    return item;
  });
  at("faults").replaceChildren(...(items.length ? items : [element("li", "none")]));
}

async function refresh() {
  try {
    const [status, devices, homes, faults] = await Promise.all(
      ["/status", "/devices", "/homes", "/faults"].map((path) => call("GET", path)));
    const clock = status.clock;
    frozen = clock.frozen;
    at("status").textContent = `${status.address} · seed ${status.seed} · ${status.connections} connections`;
    at("clock").textContent = `${new Date(clock.unix_ms).toISOString().slice(0, 19).replace("T", " ")} UTC, ` +
      `${duration(clock.elapsed_s)} after the start, ${frozen ? "frozen" : `speed ${clock.speed}`}`;
    at("freeze").textContent = frozen ? "Release" : "Freeze";
    record(devices, clock.elapsed_s);
    showDevices(devices, homes);
    draw(devices);
    showFaults(faults);
  } catch (error) {
    at("status").textContent = `the simulator does not answer: ${error.message}`;
  }
}

function summary(event) {
  const { event: kind, number, at_s, unix_ms, payload, ...rest } = event;
  const facts = Object.entries(rest)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`);
  return [...facts, ...(payload === undefined ? [] : [payload])].join(" ");
}

function showEvent(event) {
  const item = element("li");
  item.append(element("time", event.at_s === undefined ? "" : `${event.at_s.toFixed(1)} s`),
    element("b", event.event), summary(event));
  item.title = summary(event);
  const list = at("events");
  list.prepend(item);
  while (list.children.length > MAX_EVENTS) list.lastChild.remove();
}

async function start() {
  for (const [name, text] of COMMON) {
    const made = button(text, () => call("POST", "/faults", { name }));
    made.dataset.fault = name;
    at("common").append(made, " ");
  }
  for (const made of document.querySelectorAll("[data-advance]")) {
    made.addEventListener("click", () => act(() => call("POST", "/clock", { advance_s: Number(made.dataset.advance) })));
  }
  at("freeze").addEventListener("click", () => act(() => call("POST", "/clock", { frozen: !frozen })));
  at("end-all").addEventListener("click", () => act(() => call("DELETE", "/faults")));
  at("other").addEventListener("submit", (event) => {
    event.preventDefault();
    const body = { name: at("name").value, after_s: Number(at("after").value) };
    if (at("device").value) body.device = at("device").value;
    if (at("for").value) body.for_s = Number(at("for").value);
    act(() => call("POST", "/faults", body));
  });
  const events = new EventSource("/events?since=0");
  events.addEventListener("message", (message) => showEvent(JSON.parse(message.data)));
  try {
    const names = await call("GET", "/fault-names");
    at("name").replaceChildren(...names.map((fault) => element("option", fault.name, { title: fault.description })));
  } catch (error) {
    complain(error.message);
  }
  for (;;) {
    await refresh();
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

start();
