// The plain page: lists experiments and runs, and plots one metric. Text from the store only ever becomes text.
"use strict";
const $ = (id) => document.getElementById(id);
const make = (name, text, children = []) => {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
};
const svg = (name, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch("ajax-api/2.0/mlflow/" + path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}
const guarded = (work) => async (...all) => {
  $("trouble").textContent = "";
  try { await work(...all); } catch (error) { $("trouble").textContent = String(error.message); }
};
let chosen = "0";
const button = (text, pressed, act) => {
  const node = make("button", text);
  node.type = "button";
  node.setAttribute("aria-pressed", String(pressed));
  node.addEventListener("click", guarded(act));
  return node;
};
async function experiments() {
  const { experiments = [] } = await ask("experiments/search", { max_results: 1000 });
  $("experiments").replaceChildren(...experiments.map((one) => make("li", undefined, [
    button(one.name, one.experiment_id === chosen, async () => {
      chosen = one.experiment_id;
      await experiments_and_runs();
    })])));
}
async function runs() {
  const { runs = [] } = await ask("runs/search", { experiment_ids: [chosen], filter: $("filter").value, max_results: 200 });
  $("runs").replaceChildren(...runs.map(({ info, data }) => make("tr", undefined, [
    make("td", info.run_name), make("td", info.status),
    make("td", info.start_time ? new Date(info.start_time).toLocaleString() : ""),
    make("td", undefined, (data.metrics || []).map((metric) =>
      button(metric.key + " " + metric.value, false, () => plot(info, metric.key)))),
    make("td", (data.params || []).map((param) => param.key + " = " + param.value).join(", ")),
  ])));
}
async function plot(info, key) {
  const query = new URLSearchParams({ run_ids: info.run_id, metric_key: key, max_results: "2000" });
  const { metrics = [] } = await ask("metrics/get-history-bulk-interval?" + query);
  const points = metrics.map((one) => [Number(one.step || 0), Number(one.value)]).filter(([, y]) => Number.isFinite(y));
  $("chart").hidden = false;
  $("title").textContent = key + " of " + info.run_name;
  if (points.length === 0) { $("plot").replaceChildren(svg("text", { x: 20, y: 30 }, "no finite values")); return; }
  const range = (index) => points.reduce(([a, b], p) => [Math.min(a, p[index]), Math.max(b, p[index])], [Infinity, -Infinity]);
  const [[x0, x1], [y0, y1]] = [range(0), range(1)];
  const x = (value) => 60 + 720 * (x1 > x0 ? (value - x0) / (x1 - x0) : 0.5);
  const y = (value) => 270 - 250 * (y1 > y0 ? (value - y0) / (y1 - y0) : 0.5);
  $("plot").replaceChildren(
    svg("polyline", { points: points.map((p) => x(p[0]).toFixed(1) + "," + y(p[1]).toFixed(1)).join(" ") }),
    svg("text", { x: 4, y: 24 }, y1.toPrecision(4)), svg("text", { x: 4, y: 274 }, y0.toPrecision(4)),
    svg("text", { x: 60, y: 294 }, "step " + x0), svg("text", { x: 780, y: 294, "text-anchor": "end" }, "step " + x1));
  $("chart").scrollIntoView({ behavior: "smooth" });
}
const experiments_and_runs = async () => { await experiments(); await runs(); };
$("filter").addEventListener("change", guarded(runs));
guarded(experiments_and_runs)();
