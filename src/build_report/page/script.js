"use strict";
// Draws the report from the data in the page. Text of the data becomes text nodes, never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const { nodes, runs } = data;
const $ = (id) => document.getElementById(id);
const root = document.documentElement;

window.addEventListener("error", (event) => { root.dataset.error = event.message; });

function element(tag, classes, ...children) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}

function time(us) {
  if (us === 0) return "0";
  const s = us / 1e6;
  if (s < 0.0995) return `${(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms`;
  if (s < 9.95) return `${s.toFixed(2)} s`;
  if (s < 60) return `${s.toFixed(1)} s`;
  return `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")} min`;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < 3) { bytes /= 1024; unit += 1; }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const took = (run) => run.end - run.start;
const runOf = new Map(runs.map((run, at) => [run.node, at]));
const critical = new Set(data.critical_path);
const users = nodes.map(() => []);
nodes.forEach((node, at) => node.inputs.forEach((input) => users[input].push(at)));
const stateColor = (at) => {
  const node = nodes[at];
  if (node.state === "ran") return runs[runOf.get(at)].outcome;
  return node.state === "known" && node.from ? "remote" : node.state;
};
const stateWords = {
  built: "built", evaluated: "evaluated by gen", local: "made by another build", remote: "from a remote cache",
  failed: "failed", known: "known before", files: "files of the project", "cut-off": "spared: inputs came out as before",
  left: "not built",
};

let chosen = null;

// --- Summary ---------------------------------------------------------------------------------

function summary() {
  const count = (test) => runs.filter(test).length;
  const state = (name) => nodes.filter((node) => node.state === name).length;
  const began = new Date(data.started / 1000);
  $("when").textContent = `${began.toLocaleString()} · ${nodes.length} nodes`;
  const built = count((run) => run.outcome === "built");
  const hits = count((run) => run.outcome === "local" || run.outcome === "remote");
  const tiles = [
    [time(data.wall), "from gen to the end"],
    [time(data.busy), "of work"],
    [data.wall ? (data.busy / data.wall).toFixed(2) : "–", "nodes at once, on average"],
    [time(data.critical), "critical path"],
    [built, "built"],
    [state("known") + hits, "known, or from caches"],
    [state("cut-off") + count((run) => run.same), "came out as before"],
  ];
  for (const [value, label] of tiles) $("tiles").append(element("div", "tile", element("b", "", `${value}`), element("span", "", label)));
  const failed = count((run) => run.outcome === "failed");
  if (failed) $("tiles").append(element("div", "tile bad", element("b", "", `${failed}`), element("span", "", "failed")));
  const warned = count((run) => run.warnings > 0);
  if (warned) $("tiles").append(element("div", "tile", element("b", "", `${warned}`), element("span", "", "printed warnings")));
}

function dot(name) {
  const made = element("i", "dot");
  made.style.background = `var(--${name})`;
  return made;
}

function legend() {
  for (const name of ["built", "evaluated", "local", "remote", "failed"]) {
    if (runs.some((run) => run.outcome === name)) $("legend").append(element("span", "", dot(name), stateWords[name]));
  }
}

// --- Lists -----------------------------------------------------------------------------------

function bar(name, value, share, fill, click) {
  const made = element("i", "fill");
  made.style.width = `${Math.max(0.5, 100 * share)}%`;
  made.style.background = `var(--${fill})`;
  const item = element("li", "", made, element("span", "name", name), element("span", "value", value));
  item.title = name;
  item.addEventListener("click", click);
  return item;
}

function lists() {
  const longest = Math.max(1, ...runs.map(took));
  const show = (list, at) => {
    const run = runs[at];
    const name = nodes[run.node].name;
    list.append(bar(name, time(took(run)), took(run) / longest, run.outcome, () => choose(run.node)));
  };
  data.critical_path.forEach((at) => show($("critical"), at));
  const share = data.wall ? Math.round((100 * data.critical) / data.wall) : 0;
  $("critical-hint").textContent =
    `Each needs the one before: with any number of cores the build takes these ${time(data.critical)}, ${share} % of what it took.`;
  const slowest = runs.map((_, at) => at).sort((a, b) => took(runs[b]) - took(runs[a]));
  slowest.slice(0, 100).forEach((at) => show($("slowest"), at));
  const largest = Math.max(1, ...data.packages.map((one) => Math.max(one.installed, one.archive)));
  for (const one of data.packages) {
    const value = `${size(one.installed)} · ${size(one.archive)}`;
    const item = bar(`${one.name} ${one.version} (${one.target})`, value, one.installed / largest, "known", () => choose(one.node));
    const inner = element("i", "fill");
    inner.style.width = `${Math.max(0.5, (100 * one.archive) / largest)}%`;
    inner.style.background = "var(--built)";
    item.prepend(inner);
    $("packages").append(item);
  }
  if (!data.packages.length) $("packages").append(element("li", "hint", "no package is built"));
}

function cache() {
  const counts = new Map();
  nodes.forEach((_, at) => counts.set(stateColor(at), (counts.get(stateColor(at)) || 0) + 1));
  const note = element("p", "legend");
  for (const [name, count] of [...counts].sort((a, b) => b[1] - a[1])) {
    const part = element("i");
    part.style.flex = `${count} 1 0`;
    part.style.background = `var(--${name})`;
    part.title = `${stateWords[name]}: ${count}`;
    $("cache").append(part);
    note.append(element("span", "", dot(name), `${stateWords[name]}: ${count}`));
  }
  $("cache").after(note);
  const reasons = new Map();
  for (const run of runs) {
    if (run.outcome === "local" || run.outcome === "remote") continue;
    const reason = run.why.join("; ") || "its inputs were not known";
    if (!reasons.has(reason)) reasons.set(reason, []);
    reasons.get(reason).push(run.node);
  }
  for (const [reason, which] of [...reasons].sort((a, b) => b[1].length - a[1].length)) {
    const item = element("li", "", element("b", "", `${which.length}`), element("span", "", reason));
    item.addEventListener("click", () => choose(which[0]));
    $("misses").append(item);
  }
  if (!reasons.size) $("misses").append(element("li", "hint", "none had to"));
}

// --- A canvas that can be moved and zoomed ----------------------------------------------------

function surface(canvas, draw, hit) {
  const view = { x: 0, y: 0, zoom: 1, width: 0, height: 0, context: canvas.getContext("2d") };
  let pressed = null;
  view.redraw = () => {
    const ratio = window.devicePixelRatio || 1;
    view.width = canvas.clientWidth;
    view.height = canvas.clientHeight;
    canvas.width = Math.round(view.width * ratio);
    canvas.height = Math.round(view.height * ratio);
    view.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    view.context.clearRect(0, 0, view.width, view.height);
    draw(view);
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x, y] = at(event);
    const factor = Math.exp(-event.deltaY * 0.0015);
    const zoom = Math.min(view.most || 4000, Math.max(view.least || 1, view.zoom * factor));
    view.x = x - ((x - view.x) * zoom) / view.zoom;
    view.y = y - ((y - view.y) * zoom) / view.zoom;
    view.zoom = zoom;
    view.bound?.();
    view.redraw();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    pressed = { from: at(event), x: view.x, y: view.y, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (pressed) {
      pressed.moved ||= Math.abs(x - pressed.from[0]) + Math.abs(y - pressed.from[1]) > 4;
      view.x = pressed.x + x - pressed.from[0];
      view.y = pressed.y + y - pressed.from[1];
      view.bound?.();
      view.redraw();
    }
    const node = hit(view, x, y);
    tip(node, event);
    canvas.style.cursor = node === null ? "" : "pointer";
  });
  canvas.addEventListener("pointerup", (event) => {
    const node = hit(view, ...at(event));
    if (pressed && !pressed.moved && node !== null) choose(node);
    pressed = null;
  });
  canvas.addEventListener("pointerleave", () => tip(null));
  canvas.addEventListener("dblclick", () => { view.fit(); view.redraw(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (!step) return;
    event.preventDefault();
    view.x += step[0];
    view.y += step[1];
    view.bound?.();
    view.redraw();
  });
  new ResizeObserver(() => { view.resized?.(); view.redraw(); }).observe(canvas);
  return view;
}

function tip(at, event) {
  $("tip").hidden = at === null;
  if (at === null) return;
  const run = runOf.has(at) ? runs[runOf.get(at)] : null;
  const words = [nodes[at].name, stateWords[stateColor(at)]];
  if (run) words[1] += `, ${time(took(run))}`;
  $("tip").textContent = words.concat(run ? run.why : []).join("\n");
  const left = Math.min(event.clientX + 14, window.innerWidth - 380);
  $("tip").style.left = `${left}px`;
  $("tip").style.top = `${event.clientY + 16}px`;
}

// --- Timeline --------------------------------------------------------------------------------

const ROW = 24;
const AXIS = 22;

function timeline() {
  const canvas = $("timeline");
  canvas.style.height = `${Math.max(2, data.lanes) * ROW + AXIS + 8}px`;
  const span = Math.max(1, data.wall);
  const x = (view, t) => view.x + (t / span) * view.width * view.zoom;
  const view = surface(canvas, draw, hit);
  view.fit = () => { view.x = 0; view.y = 0; view.zoom = 1; };
  view.bound = () => { view.y = 0; view.x = Math.min(0, Math.max(view.x, view.width * (1 - view.zoom))); };
  function box(run) {
    const left = x(view, run.start);
    return [left, AXIS + run.lane * ROW + 2, Math.max(1, x(view, run.end) - left - 0.5), ROW - 4];
  }
  function draw() {
    const context = view.context;
    const text = color("text"), line = color("line"), soft = color("soft");
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    const raw = span / view.zoom / Math.max(1, view.width / 110);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((one) => one * power >= raw);
    for (let t = Math.max(0, Math.floor(((-view.x / view.width) * span) / view.zoom / step) * step); x(view, t) < view.width; t += step) {
      context.fillStyle = line;
      context.fillRect(Math.round(x(view, t)), 0, 1, view.height);
      context.fillStyle = soft;
      context.fillText(time(t), x(view, t) + 4, AXIS / 2);
    }
    context.globalAlpha = 0.18;
    context.fillStyle = color("evaluated");
    for (const { start, end } of data.gen_spans) context.fillRect(x(view, start), AXIS + 2, Math.max(1, x(view, end) - x(view, start)), ROW - 4);
    context.globalAlpha = 1;
    const colors = {};
    let sum = 0;
    runs.forEach((run, at) => {
      sum += took(run);
      const [left, top, width, height] = box(run);
      if (left > view.width || left + width < 0) return;
      context.fillStyle = colors[run.outcome] ||= color(run.outcome);
      context.beginPath();
      context.roundRect(left, top, width, height, Math.min(4, width / 3));
      context.fill();
      if (critical.has(at) || run.node === chosen) {
        context.lineWidth = 2;
        context.strokeStyle = run.node === chosen ? text : color("critical");
        context.stroke();
      }
      if (width > 46) {
        context.save();
        context.clip();
        context.fillStyle = "#fff";
        const from = Math.max(left, 0) + 6;
        const name = nodes[run.node].name;
        const short = width > context.measureText(name).width + 12 ? name : name.slice(name.lastIndexOf("/") + 1);
        context.fillText(short, from, top + height / 2);
        context.restore();
      }
    });
    context.fillStyle = soft;
    if (data.gen_spans.length) context.fillText("gen", 6, AXIS + ROW / 2);
    $("drawn").textContent = time(sum);
    $("drawn").dataset.us = String(sum);
    $("bars").textContent = String(runs.length);
  }
  function hit(_, px, py) {
    for (let at = runs.length - 1; at >= 0; at -= 1) {
      const [left, top, width, height] = box(runs[at]);
      if (px >= left - 1 && px <= left + width + 1 && py >= top && py <= top + height) return runs[at].node;
    }
    return null;
  }
  return view;
}

// --- Graph -----------------------------------------------------------------------------------

const COLUMN = 190;
const STEP = 26;
const MOST = 20000;
const TALL = 40;

/** Places nodes in columns by how far they are from what is pinned, near those that they take. */
function layout(which) {
  const inside = new Set(which);
  const depth = new Map();
  const order = [];
  for (const first of which) {
    const stack = [[first, 0]];
    while (stack.length) {
      const top = stack[stack.length - 1];
      const inputs = nodes[top[0]].inputs;
      if (depth.has(top[0])) { stack.pop(); continue; }
      while (top[1] < inputs.length && (depth.has(inputs[top[1]]) || !inside.has(inputs[top[1]]))) top[1] += 1;
      if (top[1] < inputs.length) { stack.push([inputs[top[1]], 0]); continue; }
      depth.set(top[0], 1 + Math.max(-1, ...inputs.filter((one) => inside.has(one)).map((one) => depth.get(one))));
      order.push(top[0]);
      stack.pop();
    }
  }
  const layers = [];
  for (const at of order) (layers[depth.get(at)] ||= []).push(at);
  const y = new Map();
  const places = new Map();
  let column = 0;
  const tallest = Math.max(1, ...layers.map((layer) => Math.ceil(layer.length / Math.ceil(layer.length / TALL))));
  for (const layer of layers) {
    const mean = (at) => {
      const known = nodes[at].inputs.filter((one) => y.has(one));
      return known.length ? known.reduce((sum, one) => sum + y.get(one), 0) / known.length : 0;
    };
    layer.sort((a, b) => mean(a) - mean(b) || (nodes[a].name < nodes[b].name ? -1 : 1));
    const columns = Math.ceil(layer.length / TALL);
    const rows = Math.ceil(layer.length / columns);
    const gap = STEP * Math.min(5, Math.max(1, (0.7 * tallest) / rows));
    layer.forEach((at, place) => {
      const row = Math.floor(place / columns) - (rows - 1) / 2;
      y.set(at, row * gap);
      places.set(at, [(column + (place % columns) * 0.9) * COLUMN, row * gap]);
    });
    column += 0.9 * (columns - 1) + 1;
  }
  return places;
}

function graph() {
  const canvas = $("graph");
  canvas.style.height = "560px";
  const view = surface(canvas, draw, hit);
  view.least = 0.02;
  view.most = 8;
  let places = new Map();
  function scope() {
    const choice = document.querySelector("input[name=scope]:checked").value;
    const shown = new Set();
    if (choice === "all") nodes.slice(0, MOST).forEach((_, at) => shown.add(at));
    if (choice === "ran") {
      runs.forEach((run) => { shown.add(run.node); nodes[run.node].inputs.forEach((one) => shown.add(one)); });
    }
    if (choice === "near" || shown.size === 0) {
      const from = chosen ?? (runs.length ? runs[runs.length - 1].node : 0);
      let edge = nodes.length ? [from] : [];
      for (let round = 0; round < 3; round += 1) {
        edge.forEach((one) => shown.add(one));
        edge = edge.flatMap((one) => nodes[one].inputs.concat(users[one].slice(0, 60))).filter((one) => !shown.has(one)).slice(0, 400);
      }
    }
    if (chosen !== null) shown.add(chosen);
    return [...shown];
  }
  view.choose = () => { places = layout(scope()); view.fit(); view.redraw(); };
  view.fit = () => {
    if (!places.size) return;
    const xs = [...places.values()].map((one) => one[0]), ys = [...places.values()].map((one) => one[1]);
    const [left, right, top, bottom] = [Math.min(...xs) - 20, Math.max(...xs) + COLUMN, Math.min(...ys) - 30, Math.max(...ys) + 30];
    view.zoom = Math.min(1.2, view.width / (right - left), view.height / (bottom - top));
    view.x = (view.width - (right + left) * view.zoom) / 2;
    view.y = (view.height - (bottom + top) * view.zoom) / 2;
  };
  view.centre = (at) => {
    const place = places.get(at);
    if (!place) return;
    const [x, y] = on(place);
    if (x > 20 && y > 20 && x < view.width - 120 && y < view.height - 20) return;
    view.zoom = Math.max(view.zoom, 0.8);
    view.x = view.width / 2 - place[0] * view.zoom;
    view.y = view.height / 2 - place[1] * view.zoom;
  };
  view.has = (at) => places.has(at);
  const on = (place) => [view.x + place[0] * view.zoom, view.y + place[1] * view.zoom];
  function reach(from, next) {
    const found = new Set();
    const waiting = [from];
    while (waiting.length) {
      for (const one of next(waiting.pop())) if (!found.has(one)) { found.add(one); waiting.push(one); }
    }
    return found;
  }
  function draw() {
    const context = view.context;
    const line = color("soft"), text = color("text"), focus = color("focus");
    const up = chosen === null ? null : reach(chosen, (at) => nodes[at].inputs);
    const down = chosen === null ? null : reach(chosen, (at) => users[at]);
    const lit = (at) => chosen === null || at === chosen || up.has(at) || down.has(at);
    for (const strong of [false, true]) {
      context.strokeStyle = strong ? focus : line;
      context.lineWidth = strong ? 1.4 : 0.7;
      context.globalAlpha = strong ? 0.8 : chosen === null ? 0.35 : 0.12;
      context.beginPath();
      for (const [at, place] of places) {
        const [x, y] = on(place);
        for (const input of nodes[at].inputs) {
          const from = places.get(input);
          if (!from) continue;
          const direct = chosen !== null && ((at === chosen || down.has(at)) && (input === chosen || down.has(input))
            || (at === chosen || up.has(at)) && up.has(input));
          if (direct !== strong) continue;
          const [fx, fy] = on(from);
          if (Math.max(x, fx) < 0 || Math.min(x, fx) > view.width) continue;
          const bend = Math.min(90 * view.zoom, Math.abs(x - fx) / 2);
          context.moveTo(fx, fy);
          context.bezierCurveTo(fx + bend, fy, x - bend, y, x, y);
        }
      }
      context.stroke();
    }
    context.textBaseline = "middle";
    context.font = `${Math.round(11 * Math.min(1.2, Math.max(0.8, view.zoom)))}px system-ui, sans-serif`;
    const radius = Math.max(1.6, 5 * view.zoom);
    for (const [at, place] of places) {
      const [x, y] = on(place);
      if (x < -COLUMN || y < -20 || x > view.width + 20 || y > view.height + 20) continue;
      context.globalAlpha = lit(at) ? 1 : 0.25;
      context.fillStyle = color(stateColor(at));
      context.beginPath();
      context.arc(x, y, at === chosen ? radius * 1.6 : radius, 0, 7);
      context.fill();
      if (runOf.has(at) && critical.has(runOf.get(at))) {
        context.strokeStyle = color("critical");
        context.lineWidth = 2;
        context.stroke();
      }
      if (view.zoom > 0.55 || at === chosen) {
        const parts = nodes[at].name.split("/");
        const short = parts.slice(-2).join("/");
        context.fillStyle = text;
        context.fillText(short.length > 26 && at !== chosen ? `…${short.slice(-25)}` : short, x + radius + 4, y);
      }
    }
    context.globalAlpha = 1;
  }
  function hit(_, px, py) {
    let best = null, nearest = 12 ** 2;
    for (const [at, place] of places) {
      const [x, y] = on(place);
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far < nearest) { nearest = far; best = at; }
    }
    return best;
  }
  view.resized = () => { if (!view.width && canvas.clientWidth) { view.width = canvas.clientWidth; view.height = canvas.clientHeight; view.fit(); } };
  document.querySelectorAll("input[name=scope]").forEach((one) => one.addEventListener("change", view.choose));
  return view;
}

// --- Choosing and finding a node ----------------------------------------------------------------

function links(which) {
  const made = element("div");
  which.slice(0, 40).forEach((at) => {
    const link = element("a", "name", dot(stateColor(at)), nodes[at].name);
    link.addEventListener("click", () => choose(at));
    made.append(link);
  });
  if (which.length > 40) made.append(element("span", "hint", `and ${which.length - 40} more`));
  return made;
}

function choose(at) {
  chosen = at;
  $("found").replaceChildren();
  const node = nodes[at];
  const run = runOf.has(at) ? runs[runOf.get(at)] : null;
  const rows = [["state", stateWords[stateColor(at)]], ["kind", node.verb]];
  if (node.recipe) rows.push(["recipe", node.recipe]);
  if (run) {
    rows.push(["took", `${time(took(run))}, from ${time(run.start)} on`]);
    if (run.place || node.from) rows.push(["where", run.place || node.from]);
    if (run.same) rows.push(["result", "as before, so that what needs it was spared"]);
    for (const why of run.why) rows.push(["why", why]);
    if (run.log) rows.push(["printed", `${size(run.log)}${run.warnings ? `, ${run.warnings} warnings` : ""}`]);
  } else if (node.from) rows.push(["from", node.from]);
  if (node.key) rows.push(["key", node.key]);
  const list = element("dl");
  for (const [name, value] of rows) list.append(element("dt", "", name), element("dd", name === "key" ? "name" : "", value));
  const close = element("button", "close", "×");
  close.addEventListener("click", () => { chosen = null; $("details").hidden = true; redraw(); });
  $("details").replaceChildren(close, element("h2", "name", node.name), list);
  if (node.inputs.length) $("details").append(element("h3", "", `takes ${node.inputs.length}`), links(node.inputs));
  if (users[at].length) $("details").append(element("h3", "", `is taken by ${users[at].length}`), links(users[at]));
  $("details").hidden = false;
  const near = document.querySelector("input[name=scope]:checked").value === "near";
  if (near || !views[1].has(at)) views[1].choose();
  views[1].centre(at);
  redraw();
}

function find(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const found = [];
  nodes.forEach((node, at) => {
    const name = node.name.toLowerCase();
    if (words.every((word) => name.includes(word))) found.push(at);
  });
  const rank = (at) => (nodes[at].name.toLowerCase().endsWith(words[words.length - 1]) ? 0 : 1);
  return found.sort((a, b) => rank(a) - rank(b) || nodes[a].name.length - nodes[b].name.length);
}

function search() {
  const found = find($("search").value).slice(0, 60);
  $("found").replaceChildren(...found.map((at) => {
    const item = element("li", "name", dot(stateColor(at)), nodes[at].name);
    item.addEventListener("click", () => choose(at));
    return item;
  }));
  return found;
}

$("search").addEventListener("input", search);
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("found").replaceChildren();
  if (event.key !== "Enter") return;
  const found = search();
  if (found.length) choose(found[0]);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target === $("search")) return;
  event.preventDefault();
  $("search").focus();
});
$("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  redraw();
});

// `#find=TEXT` fills the search, `#node=NAME` chooses a node, `#theme=dark` sets the colours.
function follow() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.get("theme")) root.dataset.theme = asked.get("theme") === "dark" ? "dark" : "light";
  if (asked.get("find")) { $("search").value = asked.get("find"); search(); }
  const at = nodes.findIndex((node) => node.name === asked.get("node"));
  if (at >= 0) choose(at);
}

summary();
legend();
lists();
cache();
const views = [timeline(), graph()];
const redraw = () => views.forEach((view) => view.redraw());
redraw();
views[1].choose();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.addEventListener("hashchange", () => { follow(); redraw(); });
follow();
root.dataset.ready = "yes";
