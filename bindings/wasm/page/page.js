// Explains what is pasted, by the package. Everything that comes from the input is put into the page as text.
import { explain } from "../package/index.js";
import { examples } from "./examples.js";

const [input, output, summary, select, file] = ["input", "output", "summary", "examples", "file"].map((id) =>
  document.getElementById(id),
);
/** More records than this would make the page slow. */
const SHOWN = 500;
/** Ends of names, and the units that they stand for. */
const UNITS = { c: "°C", pct: "%", w: "W", a: "A", v: "V", s: "s", dbm: "dBm", bytes: "bytes", kwh: "kWh" };

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function label(name) {
  if (name === "qos") return ["QoS"];
  const words = name.split("_");
  const unit = words.length > 1 ? UNITS[words.at(-1)] : undefined;
  const text = (unit ? words.slice(0, -1) : words).join(" ");
  return [text[0].toUpperCase() + text.slice(1), unit];
}

function show(value, unit) {
  if (Array.isArray(value)) {
    return value.every((item) => item === null || typeof item !== "object")
      ? value.join(", ")
      : element("div", ...value.map((item) => show(item)));
  }
  if (value !== null && typeof value === "object") return table(value);
  const text = value === true ? "yes" : value === false ? "no" : String(value);
  if (!unit) return text;
  const mark = element("span", ` ${unit}`);
  mark.className = "unit";
  return element("span", text, mark);
}

function table(record) {
  const rows = Object.entries(record).map(([name, value]) => {
    const [text, unit] = label(name);
    return element("tr", element("th", text), element("td", show(value, unit)));
  });
  return element("table", element("tbody", ...rows));
}

function card(record) {
  const { packet, message, ...rest } = record;
  const kind = packet ?? message ?? (record.error ? "unreadable" : "reading");
  const made = element("article", element("h2", kind.replaceAll("_", " ")), table(rest));
  if (record.error || record.payload_error) made.className = "bad";
  return made;
}

function run(captured) {
  try {
    const records = explain(captured);
    const more = records.length > SHOWN ? `, the first ${SHOWN} are shown` : "";
    summary.textContent = `${records.length} ${records.length === 1 ? "record" : "records"}${more}`;
    output.replaceChildren(...records.slice(0, SHOWN).map(card));
  } catch (error) {
    summary.textContent = "";
    output.replaceChildren(
      element("p", /empty/.test(error.message) ? "Paste a message above." : `It cannot be explained: ${error.message}`),
    );
  }
}

examples.forEach(([name], number) => select.append(new Option(name, number)));
select.addEventListener("change", () => {
  input.value = examples[select.value][1];
  run(input.value);
});
input.addEventListener("input", () => run(input.value));
file.addEventListener("change", async () => {
  const [chosen] = file.files;
  if (!chosen) return;
  input.value = "";
  run(new Uint8Array(await chosen.arrayBuffer()));
});
select.dispatchEvent(new Event("change"));
document.body.dataset.ready = "true";
