"use strict";
// The picture of a run. `#t=12.5&z=3&mode=scale&theme=dark` in the address chooses the first view.
const run = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), map = $("map"), list = $("list"), tip = $("tip");

// Columns of a message, as they come.
const SENT = 0, ENDED = 1, FROM = 2, TO = 3, CARRIER = 4, LEN = 5, GIST = 6, FATE = 7, IDLE = 8;
const CARRIERS = ["dial", "stream", "end", "datagram"];
const CARRIER_WORDS = ["dial", "stream data", "end of a stream", "datagram"];
const DASHES = [[7, 4], [], [9, 3, 2, 3], [1.5, 3.5]];
const PARTS = { FAULT: "red", HEAL: "green", BROKEN: "red", sim: "sim", ask: "ask", reply: "ask", conn: "conn",
  link: "link", mesh: "mesh", gossip: "gossip", ipam: "ipam", dns: "dns" };
const PART_WORDS = { conn: "control conns", link: "data links", mesh: "reach", ipam: "addresses", dns: "names",
  gossip: "gossip", ask: "commands", sim: "starts", net: "network" };
// Individual messages drawn at once; more than that are drawn as bundles.
const SINGLES_MAX = 1400;
// Rooms: above for the hosts' names, at the left for times and for the network's own lane.
const HEAD = 34, AXIS = 80, LANE = 126;

const hidden = new Set();
const focus = new Set(); // Hosts that are looked at alone; all when empty.
let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
let scale = "even";
let color = {};
let top_ = 0, zoom = 1;
let lit = -1;         // The state change under the pointer or stepped to.
let litMessage = null; // The message or bundle under the pointer.
let pointer = null;
let drawn = [];       // What can be pointed at: dots, messages, bundles.
let due = false;
let faint = 1;        // The more messages in view, the fainter each one.

// --- Time and place -------------------------------------------------------------------------

// In `even` scale each state change has a row of its own, and the time between two grows with the
// logarithm of its length: bursts open up and idle time shrinks. At one moment, messages arrive
// above its rows and leave below them.
const moments = { at: [], first: [], last: [] };
const changeU = new Float64Array(run.changes.length);
const sentU = new Float64Array(run.messages.length), endedU = new Float64Array(run.messages.length);
let total = 1;

function lay() {
  moments.at = [0]; moments.first = [0]; moments.last = [0];
  if (scale === "even") {
    let u = 0, before = 0;
    run.changes.forEach((change, index) => {
      const wait = Math.max(0, change.at - before);
      const here = moments.at.length - 1;
      u += wait > 0 ? 17 + 5 * Math.log2(1 + wait / 500) : 17;
      if (wait > 0) {
        moments.at.push(change.at); moments.first.push(u - 7); moments.last.push(u + 7);
      } else {
        moments.last[here] = u + 7;
      }
      before = Math.max(before, change.at);
      changeU[index] = u;
    });
    if (run.end > before) {
      u += 17 + 5 * Math.log2(1 + (run.end - before) / 500);
      moments.at.push(run.end); moments.first.push(u); moments.last.push(u);
    }
    total = u + 20;
  } else {
    moments.at.push(run.end); moments.first.push(run.end / 1000); moments.last.push(run.end / 1000);
    run.changes.forEach((change, index) => { changeU[index] = change.at / 1000; });
    total = run.end / 1000 * 1.01 + 1;
  }
  run.messages.forEach((message, index) => {
    sentU[index] = place(message[SENT], true);
    endedU[index] = place(message[ENDED], false);
  });
}

// The first index whose value is over `value`.
function above(values, value) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

function place(at, leaves) {
  const next = above(moments.at, at), here = Math.max(0, next - 1);
  if (moments.at[here] === at) return leaves ? moments.last[here] : moments.first[here];
  if (next >= moments.at.length) return moments.last[here];
  const share = (at - moments.at[here]) / (moments.at[next] - moments.at[here]);
  return moments.last[here] + share * (moments.first[next] - moments.last[here]);
}

function timeOf(u) {
  const next = above(moments.first, u), here = Math.max(0, next - 1);
  if (u <= moments.last[here] || next >= moments.at.length) return moments.at[here];
  const share = (u - moments.last[here]) / (moments.first[next] - moments.last[here]);
  return moments.at[here] + share * (moments.at[next] - moments.at[here]);
}

const height = () => canvas.clientHeight - HEAD;
const yOf = (u) => HEAD + (u - top_) * zoom;
const uOf = (y) => top_ + (y - HEAD) / zoom;
const room = () => (canvas.clientWidth - AXIS - LANE) / run.hosts.length;
// Labels stand at the right of a line, so the line stands at the left of its room.
// Strangers have none: what they say comes from the edge.
const xOf = (host) => host < run.hosts.length ? AXIS + LANE + room() * (host + 0.2) : canvas.clientWidth - 3;
const nameOf = (host) => run.hosts[host] ?? "a stranger";
const laneX = AXIS + 12;
const fitZoom = () => height() / total;

function look(u, z) {
  zoom = Math.min(Math.max(z, fitZoom()), scale === "even" ? 30 : 400);
  top_ = Math.min(Math.max(u, 0), Math.max(0, total - height() / zoom));
  redraw();
}

function zoomBy(factor, y) {
  const at = uOf(y ?? HEAD + height() / 2);
  const z = Math.min(Math.max(zoom * factor, fitZoom()), scale === "even" ? 30 : 400);
  look(at - ((y ?? HEAD + height() / 2) - HEAD) / z, z);
}

const seconds = (at, digits = 3) => (at / 1e6).toFixed(digits) + " s";
function length(micros) {
  if (micros < 1000) return micros + " µs";
  if (micros < 1e6) return (micros / 1000).toFixed(1) + " ms";
  return (micros / 1e6).toFixed(2) + " s";
}

// --- What the failure is about ---------------------------------------------------------------

const about = new Set();
const blamed = new Set();
if (run.broken) {
  const words = run.broken.detail.match(/[A-Za-z0-9][A-Za-z0-9.:\/_-]*[A-Za-z0-9]|[A-Za-z0-9]/g) ?? [];
  for (const word of words) {
    const host = run.hosts.indexOf(word);
    if (host >= 0) blamed.add(host);
  }
  // Addresses and names of containers hold a digit and are not hosts, times or plain numbers.
  const marks = words.filter((word) => /\d/.test(word) && !run.hosts.includes(word) && !/^[\d.]+s?$/.test(word)
    || /^\d+\.\d+\.\d+\.\d+/.test(word)).map((word) => word.replace(/\/\d+$/, ""));
  const tests = [...new Set(marks)].map((mark) =>
    new RegExp("(^|[^A-Za-z0-9.-])" + mark.replace(/[.*+?^${}()|[\]\\\/]/g, "\\$&") + "(?![A-Za-z0-9-]|\\.\\d)"));
  run.changes.forEach((change, index) => {
    // When nothing is named but hosts, it is about all that happened there.
    const there = !tests.length && blamed.has(change.host) && change.part !== "conn";
    if (change.part === "BROKEN" || there || tests.some((test) => test.test(change.text))) about.add(index);
  });
}

// --- Drawing ----------------------------------------------------------------------------------

function redraw() {
  if (!due) { due = true; requestAnimationFrame(draw); }
}

function sized(element) {
  const ratio = devicePixelRatio || 1, { clientWidth: w, clientHeight: h } = element;
  if (element.width !== Math.round(w * ratio) || element.height !== Math.round(h * ratio)) {
    element.width = Math.round(w * ratio); element.height = Math.round(h * ratio);
  }
  const c = element.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  return [c, w, h];
}

function paints() {
  document.documentElement.dataset.theme = theme;
  const style = getComputedStyle(document.documentElement);
  color = new Proxy({}, { get: (known, name) => known[name] ??= style.getPropertyValue("--" + name).trim() });
}

const partColor = (part) => color[PARTS[part] ?? "other"];
const partKey = (part) => ["FAULT", "HEAL", "BROKEN"].includes(part) ? "" : part === "reply" ? "ask" : part;

function line(c, x1, y1, x2, y2) {
  c.beginPath(); c.moveTo(x1, y1); c.lineTo(x2, y2); c.stroke();
}

function cross(c, x, y, r) {
  line(c, x - r, y - r, x + r, y + r);
  line(c, x - r, y + r, x + r, y - r);
}

function draw() {
  due = false;
  const [c, w, h] = sized(canvas);
  drawn = [];
  const bottom = uOf(h);
  drawWays(c, w, h);
  drawTimes(c, w, h);
  drawLives(c, h, bottom);
  drawMessages(c, bottom);
  drawLit(c);
  drawChanges(c, w, h, bottom);
  drawBroken(c, w);
  drawHead(c, w);
  drawMap();
}

function drawWays(c, w, h) {
  for (const ways of run.ways) {
    const y1 = Math.max(HEAD, yOf(place(ways.from, false))), y2 = Math.min(h, yOf(place(ways.to, false)));
    if (y2 <= HEAD || y1 >= h) continue;
    if (parted(ways)) {
      ways.islands.forEach((island, host) => {
        c.globalAlpha = theme === "dark" ? 0.2 : 0.13;
        c.fillStyle = color["side" + island % 6];
        for (const life of run.lives[host]) {
          const from = Math.max(y1, yOf(place(life.from, false))), to = Math.min(y2, yOf(place(life.to, true)));
          if (to > from) c.fillRect(xOf(host) - room() * 0.2, from, room(), to - from);
        }
      });
      c.globalAlpha = 0.1;
      c.fillStyle = color.soft;
      c.fillRect(AXIS, y1, LANE - 8, y2 - y1);
      c.globalAlpha = 1;
    }
  }
}

const parted = (ways) => new Set(ways.islands.filter((island) => island !== null)).size > 1;

// What is cut, in the network's lane: it stays in view while the shade does.
function drawCuts(c, h, taken) {
  for (const ways of run.ways) {
    const y1 = Math.max(HEAD, yOf(place(ways.from, false))), y2 = Math.min(h, yOf(place(ways.to, false)));
    if (y2 - y1 < 15 || y2 <= HEAD) continue;
    c.fillStyle = color.soft;
    c.font = "600 11px system-ui, sans-serif";
    // Below the fault that began it, while that is in view.
    wrapped(c, cutWords(ways), AXIS + 6, y1 + (y1 > HEAD ? 7 * Math.min(zoom, 1) + 20 : 14), LANE - 20, y2 - 2, taken);
  }
}

function cutWords(ways) {
  const sides = [];
  ways.islands.forEach((island, host) => { if (island !== null) (sides[island] ??= []).push(run.hosts[host]); });
  const words = parted(ways) ? [sides.filter(Boolean).map((side) => side.join(" ")).join(" | ")] : [];
  const cuts = ways.cuts.map(([from, to]) => from + "," + to);
  ways.cuts.forEach(([from, to]) => {
    const both = cuts.includes(to + "," + from);
    if (!both || from < to) words.push(run.hosts[from] + (both ? " ↮ " : " ↛ ") + run.hosts[to]);
  });
  return words;
}

function wrapped(c, lines, x, y, width, limit, taken) {
  const put = (row) => {
    const from = Math.max(0, Math.round(y) - 11), to = Math.round(y) + 4;
    if (y <= limit && !taken.subarray(from, to).some((used) => used)) {
      c.lineWidth = 4; c.strokeStyle = color.panel; c.lineJoin = "round";
      c.strokeText(row, x, y);
      c.fillText(row, x, y);
      taken.fill(1, from, to);
    }
    y += 14;
  };
  for (const text of lines) {
    let row = "";
    for (const word of text.split(" ")) {
      if (row && c.measureText(row + " " + word).width > width) { put(row); row = word; } else row = row ? row + " " + word : word;
    }
    put(row);
  }
}

function drawTimes(c, w, h) {
  c.font = "11px ui-monospace, Menlo, Consolas, monospace";
  c.textAlign = "right";
  c.lineWidth = 1;
  const tick = (y, text) => {
    c.fillStyle = color.faint;
    c.fillText(text, AXIS - 10, y + 4);
    c.strokeStyle = color.rule;
    line(c, AXIS - 5, y, w, y);
  };
  if (scale === "even") {
    let free = HEAD + 8;
    for (let i = Math.max(0, above(moments.first, top_) - 1); i < moments.at.length; i++) {
      const y = yOf(moments.last[i] > moments.first[i] ? moments.first[i] + 7 : moments.first[i]);
      if (y > h) break;
      if (y >= free) { tick(y, seconds(moments.at[i])); free = y + 24; }
    }
  } else {
    const wanted = 60 / zoom * 1000;
    const step = [1, 2, 5, 10].map((n) => n * 10 ** Math.floor(Math.log10(wanted))).find((n) => n >= wanted);
    const digits = Math.min(6, Math.max(0, 6 - Math.floor(Math.log10(step))));
    for (let at = Math.ceil(timeOf(top_) / step) * step; at <= run.end; at += step) {
      const y = yOf(place(at, false));
      if (y > h) break;
      if (y > HEAD + 8) tick(y, seconds(at, digits));
    }
  }
  c.textAlign = "left";
}

function drawLives(c, h) {
  run.lives.forEach((lives, host) => {
    const x = xOf(host);
    c.strokeStyle = color.rule; c.lineWidth = 1; c.setLineDash([2, 5]);
    line(c, x, HEAD, x, Math.min(h, yOf(total)));
    c.setLineDash([]);
    for (const life of lives) {
      const y1 = yOf(place(life.from, false)), y2 = yOf(place(life.to, true));
      if (y2 < HEAD || y1 > h) continue;
      c.strokeStyle = color.host; c.lineWidth = 3;
      line(c, x, Math.max(HEAD, y1), x, Math.min(h, y2));
    }
  });
}

// Which messages come into view: those that are fast are found by when they were sent.
const slow = [];
run.messages.forEach((message, index) => { if (message[ENDED] - message[SENT] > 1e6) slow.push(index); });

const looked = (message) => !focus.size || focus.has(message[FROM]) || focus.has(message[TO]);

function inView(bottom) {
  const from = timeOf(top_) - 1e6;
  const wanted = (index) => {
    const message = run.messages[index];
    return looked(message) && endedU[index] >= top_ && sentU[index] <= bottom && !hidden.has(message[IDLE] ? "idle" : CARRIERS[message[CARRIER]])
      && (message[FATE] < 0 || !hidden.has("lost"));
  };
  const found = slow.filter((index) => run.messages[index][SENT] < from && wanted(index));
  const sent = (index) => run.messages[index][SENT];
  let low = 0, high = run.messages.length;
  while (low < high) { const middle = (low + high) >> 1; if (sent(middle) < from) low = middle + 1; else high = middle; }
  for (; low < run.messages.length && sentU[low] <= bottom; low++) if (wanted(low)) found.push(low);
  return found;
}

function drawMessages(c, bottom) {
  const all = inView(bottom), busy = all.filter((index) => !run.messages[index][IDLE]);
  const single = all.length <= SINGLES_MAX ? all : busy.length <= SINGLES_MAX ? busy : [];
  const bundled = all.length <= SINGLES_MAX ? [] : busy.length <= SINGLES_MAX ? all.filter((i) => run.messages[i][IDLE]) : all;
  faint = Math.min(1, Math.max(0.3, 400 / (single.length + bundled.length || 1)));
  bundles(bundled).forEach((bundle) => drawBundle(c, bundle));
  single.forEach((index) => drawMessage(c, index, false));
}

// Where the line of a message ends; lost ones end on their way.
function ends(index) {
  const message = run.messages[index];
  const x1 = xOf(message[FROM]), x2 = xOf(message[TO]);
  const y1 = yOf(sentU[index]), y2 = yOf(endedU[index]);
  if (message[FATE] === -1) return [x1, y1, x2, y2];
  // What waited for long before it was given up ends near its sender, or the picture would fill up.
  const arrived = message[FATE] >= 0 && y2 - y1 < 60 && /^(refused|nobody)/.test(run.words[message[FATE]]);
  const share = arrived ? 1 - 9 / Math.abs(x2 - x1 || 1) : 0.55;
  const fall = arrived ? y2 - y1 : Math.min(y2 - y1, 22);
  return [x1, y1, x1 + (x2 - x1) * share, y1 + fall];
}

function drawMessage(c, index, strong) {
  const message = run.messages[index], [x1, y1, x2, y2] = ends(index);
  const paint = color[CARRIERS[message[CARRIER]]], lost = message[FATE] >= 0;
  c.strokeStyle = c.fillStyle = paint;
  const late = message[FATE] === -1 && message[ENDED] - message[SENT] > 1e6;
  c.globalAlpha = strong ? 1 : message[IDLE] ? 0.38 : late ? 0.3 : 0.45 + 0.4 * faint;
  c.lineWidth = strong ? 2.6 : message[IDLE] ? 0.9 : 1.3;
  c.setLineDash(DASHES[message[CARRIER]]);
  line(c, x1, y1, x2, y2);
  c.setLineDash([]);
  if (lost) {
    c.strokeStyle = color.red; c.lineWidth = strong ? 2.6 : 1.7; c.globalAlpha = message[IDLE] && !strong ? 0.6 : 1;
    cross(c, x2, y2, 4);
  } else if (message[FATE] === -1) {
    const angle = Math.atan2(y2 - y1, x2 - x1), size = strong ? 10 : message[IDLE] ? 5 : 7.5;
    const edge = Math.sign(x2 - x1) * 2;
    c.beginPath();
    c.moveTo(x2 - edge, y2);
    c.lineTo(x2 - edge - size * Math.cos(angle - 0.42), y2 - size * Math.sin(angle - 0.42));
    c.lineTo(x2 - edge - size * Math.cos(angle + 0.42), y2 - size * Math.sin(angle + 0.42));
    c.fill();
  }
  c.globalAlpha = 1;
  if (!strong) drawn.push({ kind: "message", index, x1, y1, x2, y2 });
}

// Messages of one kind that go one way at about one time, as one line.
function bundles(indices) {
  const found = new Map();
  for (const index of indices) {
    const message = run.messages[index], lost = message[FATE] >= 0;
    const row = Math.floor((sentU[index] * zoom) / (message[IDLE] || faint < 0.5 ? 60 : 22));
    const key = [message[FROM], message[TO], message[CARRIER], message[IDLE], lost, row].join();
    let bundle = found.get(key);
    if (!bundle) {
      found.set(key, bundle = { kind: "bundle", message, lost, count: 0, bytes: 0, y1: 0, y2: 0, from: message[SENT], to: 0 });
    }
    bundle.count++; bundle.bytes += message[LEN]; bundle.to = message[SENT];
    bundle.y1 += yOf(sentU[index]);
    bundle.y2 += Math.min(yOf(endedU[index]), yOf(sentU[index]) + (lost ? 22 : Infinity));
  }
  for (const bundle of found.values()) {
    bundle.y1 /= bundle.count; bundle.y2 /= bundle.count;
    bundle.x1 = xOf(bundle.message[FROM]); bundle.x2 = xOf(bundle.message[TO]);
    if (bundle.lost) bundle.x2 = bundle.x1 + (bundle.x2 - bundle.x1) * 0.55;
  }
  return [...found.values()];
}

function drawBundle(c, bundle, strong) {
  const { message, x1, y1, x2, y2 } = bundle;
  c.strokeStyle = color[CARRIERS[message[CARRIER]]];
  c.globalAlpha = strong ? 1 : message[IDLE] ? 0.18 : 0.6 * faint;
  c.lineWidth = (message[IDLE] ? 0.8 : 1 + Math.log2(bundle.count) * 0.45) + (strong ? 1.5 : 0);
  c.setLineDash(DASHES[message[CARRIER]]);
  line(c, x1, y1, x2, y2);
  c.setLineDash([]);
  if (bundle.lost) {
    c.strokeStyle = color.red; c.lineWidth = 1.4; c.globalAlpha = strong ? 1 : message[IDLE] ? 0.4 : 0.75;
    cross(c, x2, y2, faint < 0.5 ? 2.5 : 3.5);
  }
  c.globalAlpha = 1;
  if (!strong) drawn.push(bundle);
}

// What came in at the moment of a state change, and what went out.
function ties(index) {
  const change = run.changes[index];
  if (change === undefined || change.host === null) return [];
  const tied = [];
  for (let i = above(sentTimes, change.at - 2e6); i < run.messages.length && sentTimes[i] <= change.at; i++) {
    const message = run.messages[i];
    const came = message[TO] === change.host && message[ENDED] === change.at && message[FATE] === -1;
    const went = message[FROM] === change.host && message[SENT] === change.at;
    if (came || went) tied.push(i);
  }
  return tied;
}
const sentTimes = run.messages.map((message) => message[SENT]);

function drawLit(c) {
  if (litMessage?.kind === "message") drawMessage(c, litMessage.index, true);
  if (litMessage?.kind === "bundle") drawBundle(c, litMessage, true);
  if (lit >= 0) ties(lit).forEach((index) => drawMessage(c, index, true));
}

function drawChanges(c, w, h, bottom) {
  const close = zoom * (scale === "even" ? 17 : 5);
  const r = Math.max(2, Math.min(5, close / 3));
  const taken = run.hosts.concat("lane").map(() => new Uint8Array(Math.ceil(h) + 40));
  const shown = [];
  const last = above(changeU, bottom + 8 / zoom);
  for (let index = above(changeU, top_ - 8 / zoom); index < last; index++) {
    const change = run.changes[index];
    if (hidden.has(partKey(change.part)) || change.part === "BROKEN") continue;
    const x = change.host === null ? laneX : xOf(change.host), y = yOf(changeU[index]);
    const fault = change.part === "FAULT";
    const item = { kind: "change", index, x, y };
    c.fillStyle = c.strokeStyle = partColor(change.part);
    c.lineWidth = 2;
    if (index === lit || about.has(index)) {
      c.save();
      c.strokeStyle = index === lit ? color.ink : color.red; c.lineWidth = 1.6;
      c.beginPath(); c.arc(x, y, r + 3.5, 0, 7); c.stroke();
      c.restore();
    }
    if (fault) {
      c.lineWidth = 3; cross(c, x, y, r + 1.5);
    } else if (partKey(change.part) === "ask") {
      c.beginPath(); c.rect(x - r + 0.5, y - r + 0.5, 2 * r - 1, 2 * r - 1);
      if (change.refused) { c.fillStyle = color.panel; c.fill(); c.stroke(); } else c.fill();
    } else if (change.text.startsWith("start")) {
      c.beginPath(); c.moveTo(x - r - 1, y - r); c.lineTo(x + r + 1, y - r); c.lineTo(x, y + r + 1); c.fill();
    } else {
      c.beginPath(); c.arc(x, y, r, 0, 7); c.fill();
    }
    drawn.push(item);
    if (focus.size && change.host !== null && !focus.has(change.host)) continue;
    const rank = index === lit ? 0 : fault || about.has(index) ? 1 : change.part === "HEAL" ? 2
      : { ipam: 3, ask: 3, reply: 3, dns: 4, sim: 3, mesh: 4, link: 5 }[change.part] ?? 6;
    shown.push([rank, item]);
  }
  drawCuts(c, h, taken[run.hosts.length]);
  const dense = shown.length * 16 / (h * run.hosts.length);
  const least = dense < 0.6 ? 9 : dense < 1.3 ? 4 : 2;
  // Labels, the most telling first, where there is room.
  shown.sort((a, b) => a[0] - b[0]);
  for (const [rank, { index, x, y }] of shown) {
    if (rank > least) break;
    const change = run.changes[index], column = taken[change.host ?? run.hosts.length];
    const from = Math.max(0, Math.round(y) - 7), to = Math.round(y) + 8;
    if (rank > 0 && column.subarray(from, to).some((used) => used)) continue;
    column.fill(1, from, to);
    const width = change.host === null ? xOf(0) - x - 20 : change.host === run.hosts.length - 1 ? w - x - 16 : room() - 18;
    label(c, change.text, x + 12, y + 4, rank === 0 ? w - x - 16 : width, rank <= 1, partColor(change.part), rank);
  }
}

function label(c, text, x, y, width, bold, paint, rank) {
  c.font = (bold ? "600 " : "") + "11.5px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  if (c.measureText(text).width > width) {
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (c.measureText(text.slice(0, middle) + "…").width <= width) low = middle; else high = middle - 1;
    }
    if (low < 3) return;
    text = text.slice(0, low) + "…";
  }
  c.lineJoin = "round"; c.lineWidth = 4; c.strokeStyle = color.panel; c.globalAlpha = 0.85;
  c.strokeText(text, x, y);
  c.globalAlpha = rank >= 5 ? 0.8 : 1;
  c.fillStyle = bold && paint === color.red ? paint : color.ink;
  c.fillText(text, x, y);
  c.globalAlpha = 1;
}

function drawBroken(c, w) {
  if (!run.broken) return;
  const index = run.changes.findIndex((change) => change.part === "BROKEN");
  const y = index >= 0 ? yOf(changeU[index]) : yOf(place(run.broken.at, false));
  if (y < HEAD || y > canvas.clientHeight) return;
  c.strokeStyle = color.red; c.lineWidth = 1.5;
  line(c, AXIS, y, w, y);
  c.font = "650 12px system-ui, sans-serif";
  const text = "✕ " + run.broken.rule + " broken", width = c.measureText(text).width;
  c.fillStyle = color.red;
  c.fillRect(AXIS, y, width + 16, 20);
  c.fillStyle = color.panel;
  c.fillText(text, AXIS + 8, y + 14);
  c.lineWidth = 3;
  for (const host of blamed) { c.beginPath(); c.arc(xOf(host), y, 8, 0, 7); c.stroke(); }
}

function drawHead(c, w) {
  c.fillStyle = color.panel;
  c.fillRect(0, 0, w, HEAD);
  c.strokeStyle = color.rule; c.lineWidth = 1;
  line(c, 0, HEAD - 0.5, w, HEAD - 0.5);
  c.fillStyle = color.faint; c.font = "11.5px system-ui, sans-serif";
  c.textAlign = "right"; c.fillText("time", AXIS - 10, 22);
  c.textAlign = "left"; c.fillText("network", laneX - 5, 22);
  c.font = "650 14px system-ui, sans-serif";
  c.textAlign = "center";
  const now = timeOf(top_);
  run.hosts.forEach((host, index) => {
    const runs = run.lives[index].some((life) => life.from <= now && now <= life.to);
    c.fillStyle = blamed.has(index) ? color.red : runs || top_ <= 0 ? color.ink : color.faint;
    if (focus.size && !focus.has(index)) c.globalAlpha = 0.35;
    c.fillText(host, xOf(index), 22);
    c.globalAlpha = 1;
    if (focus.has(index)) c.fillRect(xOf(index) - 14, HEAD - 4, 28, 3);
  });
  c.textAlign = "left";
}

function drawMap() {
  const [c, w, h] = sized(map), y = (u) => u / total * h;
  for (const ways of run.ways) {
    if (!parted(ways)) continue;
    c.fillStyle = color.side1; c.globalAlpha = 0.3;
    c.fillRect(0, y(place(ways.from, false)), w, Math.max(1, y(place(ways.to, false)) - y(place(ways.from, false))));
  }
  c.globalAlpha = 0.75;
  run.changes.forEach((change, index) => {
    if (hidden.has(partKey(change.part))) return;
    c.fillStyle = partColor(change.part);
    if (change.host === null || change.part === "FAULT") c.fillRect(0, y(changeU[index]) - 0.5, w, 1);
    else c.fillRect(6 + (w - 12) * (change.host + 0.5) / run.hosts.length - 1.5, y(changeU[index]) - 0.5, 3, 1);
  });
  c.globalAlpha = 1;
  if (run.broken) { c.fillStyle = color.red; c.fillRect(0, y(place(run.broken.at, false)) - 2, w, 3); }
  c.fillStyle = c.strokeStyle = color.ink; c.lineWidth = 1.5;
  const from = y(top_), tall = Math.max(4, height() / zoom / total * h);
  c.globalAlpha = 0.08; c.fillRect(0, from, w, tall);
  c.globalAlpha = 0.7; c.strokeRect(0.75, from + 0.75, w - 1.5, Math.max(3, tall - 1.5));
  c.globalAlpha = 1;
  follow();
}

// --- The list ---------------------------------------------------------------------------------

const rows = run.changes.map((change, index) => {
  const row = document.createElement("li");
  const kind = { FAULT: "fault", HEAL: "heal", BROKEN: "broken" }[change.part];
  if (kind) row.classList.add(kind);
  if (about.has(index)) row.classList.add("about");
  const cells = ["time", "em", "i", "p"].map((name) => row.appendChild(document.createElement(name)));
  cells[0].textContent = seconds(change.at);
  cells[1].textContent = change.host === null ? "" : run.hosts[change.host];
  cells[2].style.background = `var(--${PARTS[change.part] ?? "other"})`;
  cells[2].title = change.part;
  cells[3].textContent = change.text;
  row.addEventListener("mouseenter", () => light(index, null, false));
  row.addEventListener("mouseleave", () => light(-1, null, false));
  row.addEventListener("click", () => { show(index); });
  return row;
});
list.append(...rows);

let overList = false, firstShown = -1;
list.addEventListener("mouseenter", () => { overList = true; });
list.addEventListener("mouseleave", () => { overList = false; });

function sift() {
  const wanted = $("filter").value.toLowerCase(), only = $("only").firstChild.checked;
  rows.forEach((row, index) => {
    const change = run.changes[index];
    const text = `${change.host === null ? "" : run.hosts[change.host]} ${change.part} ${change.text}`.toLowerCase();
    row.hidden = !text.includes(wanted) || only && !about.has(index) && !["FAULT", "HEAL"].includes(change.part)
      || hidden.has(partKey(change.part)) || focus.size > 0 && change.host !== null && !focus.has(change.host);
  });
}

// Marks what is in view, and has the list go along with the picture.
let marked = [0, 0];
function follow() {
  const first = above(changeU, top_), last = above(changeU, uOf(canvas.clientHeight));
  if (first === marked[0] && last === marked[1]) return;
  for (let i = marked[0]; i < marked[1]; i++) rows[i].classList.remove("view");
  for (let i = first; i < last; i++) rows[i].classList.add("view");
  marked = [first, last];
  const fits = last - first <= 400;
  if (!overList && fits && rows[first] && first !== firstShown) {
    firstShown = first;
    const row = rows.slice(first).find((row) => !row.hidden);
    if (row) list.scrollTop = row.offsetTop - list.offsetTop - 8;
  }
}

function light(index, message, scroll) {
  if (index === lit && message === litMessage) return;
  rows[lit]?.classList.remove("lit");
  lit = index; litMessage = message;
  rows[lit]?.classList.add("lit");
  if (scroll && rows[lit] && !rows[lit].hidden) rows[lit].scrollIntoView({ block: "nearest" });
  redraw();
}

// Brings a state change into view.
function show(index) {
  const y = yOf(changeU[index]);
  if (y < HEAD + 30 || y > canvas.clientHeight - 30) look(changeU[index] - height() / zoom / 2, zoom);
  light(index, null, true);
}

// --- Pointing ---------------------------------------------------------------------------------

function distance(item, x, y) {
  if (item.kind === "change") return Math.hypot(item.x - x, item.y - y) - 6;
  const dx = item.x2 - item.x1, dy = item.y2 - item.y1;
  const share = Math.min(1, Math.max(0, ((x - item.x1) * dx + (y - item.y1) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(item.x1 + share * dx - x, item.y1 + share * dy - y);
}

function point(x, y) {
  let best = null, least = 5;
  for (const item of drawn) {
    const far = distance(item, x, y) - (item.kind === "change" ? 3 : 0);
    if (far < least) { least = far; best = item; }
  }
  light(best?.kind === "change" ? best.index : -1, best && best.kind !== "change" ? best : null, true);
  explain(best, x, y);
}

function explain(item, x, y) {
  tip.hidden = !item;
  if (!item) return;
  const say = (tag, text) => { const part = document.createElement(tag); part.textContent = text; return part; };
  let parts;
  if (item.kind === "change") {
    const change = run.changes[item.index];
    parts = [say("i", seconds(change.at, 6) + (change.host === null ? "" : " · " + run.hosts[change.host]) + " · " + change.part),
      say("b", change.text)];
    const came = ties(item.index).map((i) => run.messages[i]).find((message) => message[TO] === change.host);
    if (came) parts.push(say("i", `on ${words(came)} from ${nameOf(came[FROM])}`));
    if (change.counts) {
      const [conns, links, peers, held, names] = change.counts;
      parts.push(say("i", `now: ${conns} conns, ${links} links, ${peers} peers in reach, ${held} addresses, ${names} names`));
    }
  } else if (item.kind === "message") {
    const message = run.messages[item.index], fate = message[FATE];
    parts = [say("b", `${nameOf(message[FROM])} → ${nameOf(message[TO])}: ${words(message)}`),
      say("i", "sent " + seconds(message[SENT], 6)),
      say("i", fate === -1 ? `arrived ${seconds(message[ENDED], 6)}, after ${length(message[ENDED] - message[SENT])}`
        : fate === -2 ? "still under way at the end" : `lost after ${length(message[ENDED] - message[SENT])}: ${run.words[fate]}`)];
  } else {
    const { message, count, bytes, lost } = item;
    const what = message[IDLE] ? "that only keep a link up" : `(${CARRIER_WORDS[message[CARRIER]]})`;
    parts = [say("b", `${nameOf(message[FROM])} → ${nameOf(message[TO])}: ${count} messages ${what}${lost ? ", lost" : ""}`),
      say("i", `${bytes} bytes, sent ${seconds(item.from)} to ${seconds(item.to)}`), say("i", "zoom in to see each")];
  }
  tip.replaceChildren(...parts);
  const stage = $("stage"), left = x + 18 + tip.offsetWidth > stage.clientWidth ? x - tip.offsetWidth - 14 : x + 18;
  tip.style.left = Math.max(4, left) + "px";
  tip.style.top = Math.max(HEAD, Math.min(y + 14, stage.clientHeight - tip.offsetHeight - 6)) + "px";
}

const words = (message) => {
  const gist = run.words[message[GIST]], carrier = CARRIER_WORDS[message[CARRIER]];
  return message[LEN] ? `${carrier}, ${gist || "nothing whole"}, ${message[LEN]} bytes` : carrier;
};

canvas.addEventListener("pointerdown", (event) => {
  if (event.offsetY < HEAD) {
    const host = run.hosts.findIndex((_, host) => Math.abs(xOf(host) - event.offsetX) < 24);
    if (host >= 0) lookAt(host);
    return;
  }
  pointer = { y: event.offsetY, top: top_, moved: false };
  canvas.setPointerCapture(event.pointerId);
  canvas.classList.add("drags");
});
canvas.addEventListener("pointermove", (event) => {
  canvas.classList.toggle("names", event.offsetY < HEAD);
  if (!pointer) return point(event.offsetX, event.offsetY);
  pointer.moved ||= Math.abs(event.offsetY - pointer.y) > 3;
  if (pointer.moved) { explain(null); look(pointer.top - (event.offsetY - pointer.y) / zoom, zoom); }
});
const release = () => { pointer = null; canvas.classList.remove("drags"); };
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", () => { if (!pointer) { light(-1, null); explain(null); } });
canvas.addEventListener("dblclick", (event) => { if (event.offsetY > HEAD) zoomBy(2, event.offsetY); });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const by = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
  if (event.ctrlKey || event.metaKey) zoomBy(Math.exp(-by / 240), event.offsetY);
  else look(top_ + by / zoom, zoom);
  explain(null);
}, { passive: false });

const jump = (event) => look(event.offsetY / map.clientHeight * total - height() / zoom / 2, zoom);
map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); jump(event); });
map.addEventListener("pointermove", (event) => { if (event.buttons) jump(event); });
map.addEventListener("wheel", (event) => { event.preventDefault(); look(top_ + event.deltaY / zoom, zoom); }, { passive: false });

// --- Keys, buttons, legend --------------------------------------------------------------------

function failure() {
  const index = run.changes.findIndex((change) => change.part === "BROKEN");
  const z = scale === "even" ? 1 : Math.max(fitZoom(), 0.15);
  look((index < 0 ? total : changeU[index]) - (height() - 60) / z, z);
}

function rescale(to) {
  const middle = timeOf(uOf(HEAD + height() / 2));
  scale = to;
  $("mode").textContent = scale === "even" ? "Time: by events" : "Time: to scale";
  lay();
  if (scale === "even") look(place(middle, false) - height() / 2, 1);
  else look(place(middle, false) - height() / zoom / 2, height() / Math.min(total, 15000));
}

function step(by) {
  let index = lit >= 0 ? lit + by : above(changeU, top_) + (by > 0 ? 0 : -1);
  while (rows[index]?.hidden) index += by;
  if (rows[index]) show(index);
}

function lookAt(host) {
  if (!focus.delete(host)) focus.add(host);
  sift(); redraw();
}

const keys = {
  ArrowDown: () => look(top_ + 80 / zoom, zoom), ArrowUp: () => look(top_ - 80 / zoom, zoom),
  PageDown: () => look(top_ + height() * 0.9 / zoom, zoom), PageUp: () => look(top_ - height() * 0.9 / zoom, zoom),
  Home: () => look(0, zoom), End: () => look(total, zoom),
  ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: () => look(0, 0),
  f: () => failure(), m: () => rescale(scale === "even" ? "scale" : "even"),
  t: () => { theme = theme === "dark" ? "light" : "dark"; paints(); legend(); redraw(); },
  "/": () => $("filter").focus(), Escape: () => { light(-1, null); explain(null); document.activeElement?.blur(); },
};
run.hosts.slice(0, 9).forEach((_, host) => { keys[host + 1] = () => lookAt(host); });
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input") && event.key !== "Escape") return;
  const act = keys[event.key];
  if (act) { event.preventDefault(); act(); }
});
for (const [id, key] of [["mode", "m"], ["out", "-"], ["in", "+"], ["fit", "0"], ["goal", "f"], ["theme", "t"]]) {
  $(id).addEventListener("click", () => keys[key]());
}
$("filter").addEventListener("input", sift);
$("only").addEventListener("change", sift);
addEventListener("resize", () => look(top_, zoom));

function legend() {
  const mark = (kind, paint, dash) => {
    const shapes = {
      dot: `<circle cx="6" cy="6" r="5" fill="${paint}"/>`,
      box: `<rect x="1.5" y="1.5" width="9" height="9" fill="${paint}"/>`,
      tip: `<path d="M0 1h12L6 11z" fill="${paint}"/>`,
      cross: `<path d="M2 2l8 8M2 10l8-8" stroke="${paint}" stroke-width="2.4"/>`,
      line: `<path d="M0 6h26" stroke="${paint}" stroke-width="2" stroke-dasharray="${dash}"/>`,
    };
    return `<svg width="${kind === "line" ? 26 : 12}" height="12" aria-hidden="true">${shapes[kind]}</svg>`;
  };
  const nav = $("legend");
  nav.replaceChildren();
  const head = (text) => { const span = document.createElement("span"); span.textContent = text; nav.append(span); };
  const toggle = (key, text, picture) => {
    const button = document.createElement("button");
    button.innerHTML = picture;
    button.append(text);
    button.title = "Show or hide";
    button.setAttribute("aria-pressed", String(!hidden.has(key)));
    button.addEventListener("click", () => {
      if (!hidden.delete(key)) hidden.add(key);
      button.setAttribute("aria-pressed", String(!hidden.has(key)));
      sift(); redraw();
    });
    nav.append(button);
  };
  head("State changes");
  const present = new Set(run.changes.map((change) => partKey(change.part)));
  for (const part of [...Object.keys(PART_WORDS), ...present].filter((part, i, all) => all.indexOf(part) === i)) {
    if (!part || !present.has(part)) continue;
    toggle(part, PART_WORDS[part] ?? part, mark(part === "ask" ? "box" : part === "sim" ? "tip" : "dot", partColor(part)));
  }
  head("Messages");
  CARRIERS.forEach((carrier, i) => toggle(carrier, CARRIER_WORDS[i], mark("line", color[carrier], DASHES[i].join(" "))));
  toggle("idle", "keep-alive", mark("line", color.faint, "2 3"));
  toggle("lost", "lost", mark("cross", color.red));
}

// --- Begin ------------------------------------------------------------------------------------

const busy = run.messages.filter((message) => !message[IDLE]).length, gone = run.messages.filter((message) => message[FATE] >= 0).length;
const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
$("meta").textContent = [many(run.hosts.length, "host"), (run.end / 1e6).toFixed(1) + " s simulated",
  many(run.changes.length, "state change"), `${many(busy, "message")} and ${(run.messages.length - busy).toLocaleString("en")} keep-alives`,
  `${gone.toLocaleString("en")} lost`, "digest " + run.digest].join(" · ");
if (run.broken) {
  $("broken").hidden = false;
  $("broken").firstChild.textContent = `Rule ${run.broken.rule} broken at ${seconds(run.broken.at)}`;
  $("broken").lastChild.textContent = run.broken.detail;
  $("only").hidden = false;
} else $("goal").hidden = true;
const wish = new URLSearchParams(location.hash.slice(1));
theme = wish.get("theme") ?? theme;
paints();
legend();
scale = wish.get("mode") === "scale" ? "scale" : "even";
$("mode").textContent = scale === "even" ? "Time: by events" : "Time: to scale";
lay();
if (wish.has("t")) look(place(Number(wish.get("t")) * 1e6, false), Number(wish.get("z") ?? 1));
else if (run.broken) failure(); else look(0, scale === "even" ? 1 : 0);
