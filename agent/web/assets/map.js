// Who calls whom: services from left to right in the order of calls, edges as wide as they are busy.

import { get } from './api.js';
import { empty, h, svg, table } from './dom.js';
import { count, duration, hue, rate, share } from './format.js';
import { since } from './services.js';

const BOX = { width: 168, height: 40, across: 260, down: 64 };

export async function showMap(place, { asked, go }) {
  place.append(h('div', { class: 'filters' }, since(asked, go, 'map')));
  const { edges } = await get('map', { since: asked.since || '1h' });
  if (!edges.length) {
    place.append(empty('Nobody has called anybody in this time.'));
    return;
  }
  place.append(h('div', { class: 'scrolls' }, draw(edges, go)), table([
    ['From', (row) => row.caller.name], ['To', (row) => row.callee.name], ['Calls', (row) => count(row.red.count), 'number'], ['Rate', (row) => rate(row.red.rate_per_s), 'number'],
    ['Errors', (row) => (row.red.errors ? h('span', { class: 'bad' }, share(row.red.errors, row.red.count)) : ''), 'number'],
    ['p50', (row) => duration(row.red.p50_ns), 'number'], ['p90', (row) => duration(row.red.p90_ns), 'number'], ['p99', (row) => duration(row.red.p99_ns), 'number'],
  ], edges, { label: 'Calls', rowClass: (row) => (row.red.errors ? 'failed' : '') }));
}

const key = (node) => `${node.kind} ${node.name}`;

// Columns by the longest way from a caller; what would lead back (a cycle) does not count.
function layout(edges) {
  const nodes = new Map();
  for (const edge of edges) for (const node of [edge.caller, edge.callee]) nodes.set(key(node), { ...node, column: 0 });
  const next = new Map([...nodes.keys()].map((name) => [name, []]));
  for (const edge of edges) next.get(key(edge.caller)).push(key(edge.callee));
  const state = new Map();
  const order = [];
  const forward = [];
  for (const from of nodes.keys()) {
    if (state.has(from)) continue;
    const stack = [[from, 0]];
    state.set(from, 'open');
    while (stack.length) {
      const top = stack.at(-1);
      const [name, at] = top;
      const to = next.get(name)[at];
      if (to === undefined) { state.set(name, 'done'); order.unshift(name); stack.pop(); continue; }
      top[1] += 1;
      if (state.get(to) !== 'open') forward.push([name, to]);
      if (!state.has(to)) { state.set(to, 'open'); stack.push([to, 0]); }
    }
  }
  const out = new Map();
  for (const [from, to] of forward) out.set(from, [...(out.get(from) || []), to]);
  for (const name of order) for (const to of out.get(name) || []) nodes.get(to).column = Math.max(nodes.get(to).column, nodes.get(name).column + 1);
  const rows = new Map();
  for (const node of nodes.values()) {
    node.row = rows.get(node.column) || 0;
    rows.set(node.column, node.row + 1);
  }
  const tallest = Math.max(...rows.values());
  for (const node of nodes.values()) {
    node.x = 12 + node.column * BOX.across;
    node.y = 12 + (node.row + (tallest - rows.get(node.column)) / 2) * BOX.down;
  }
  return { nodes, width: 24 + Math.max(...rows.keys()) * BOX.across + BOX.width, height: 24 + tallest * BOX.down };
}

function draw(edges, go) {
  const { nodes, width, height } = layout(edges);
  const busiest = Math.max(...edges.map((edge) => edge.red.count));
  const lines = edges.map((edge) => {
    const from = nodes.get(key(edge.caller));
    const to = nodes.get(key(edge.callee));
    const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
    const bend = x2 > x1 ? Math.max(40, (x2 - x1) / 2) : 70;
    const text = `${edge.caller.name} → ${edge.callee.name}\n${rate(edge.red.rate_per_s)}, ${count(edge.red.errors)} errors, p90 ${duration(edge.red.p90_ns)}`;
    return svg('path', { d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2 - 4},${y2}`, class: edge.red.errors ? 'edge failed' : 'edge', 'stroke-width': (1 + 5 * Math.sqrt(edge.red.count / busiest)).toFixed(1), 'marker-end': edge.red.errors ? 'url(#arrow-failed)' : 'url(#arrow)' }, svg('title', {}, text));
  });
  const boxes = [...nodes.values()].map((node) => {
    const served = edges.filter((edge) => key(edge.callee) === key(node));
    const calls = served.reduce((sum, edge) => sum + edge.red.rate_per_s, 0);
    const failed = served.reduce((sum, edge) => sum + edge.red.errors, 0);
    const open = node.kind === 'service' ? () => go('traces', { service: node.name }) : null;
    return svg('g', { class: `node ${node.kind}`, transform: `translate(${node.x},${node.y})`, tabindex: open ? 0 : null, role: open ? 'link' : null, onclick: open, onkeydown: open ? (event) => { if (event.key === 'Enter') open(); } : null },
      svg('title', {}, `${node.kind} ${node.name}`),
      svg('rect', { width: BOX.width, height: BOX.height, rx: node.kind === 'database' ? 14 : 6 }),
      node.kind === 'service' ? svg('rect', { width: 5, height: BOX.height, rx: 2, class: hue(node.name) }) : null,
      svg('text', { x: 14, y: 17 }, node.name.length > 20 ? `${node.name.slice(0, 19)}…` : node.name),
      svg('text', { x: 14, y: 32, class: failed ? 'sub bad' : 'sub' }, served.length ? `${rate(calls)}${failed ? ` · ! ${count(failed)}` : ''}` : node.kind === 'unseen' ? 'callers not seen' : ''));
  });
  const arrow = (id, kind) => svg('marker', { id, viewBox: '0 0 8 8', refX: 6, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: 'userSpaceOnUse', orient: 'auto' }, svg('path', { d: 'M0,0 L8,4 L0,8 z', class: kind }));
  return svg('svg', { class: 'map', width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': 'Service map; the table below has the same' },
    svg('defs', {}, arrow('arrow', 'tip'), arrow('arrow-failed', 'tip failed')), lines, boxes);
}
