// The ledger, and what zerospan cannot see here. Also the word in the page's head.

import { get } from './api.js';
import { empty, h, table } from './dom.js';
import { bytes, clock, count } from './format.js';

const HEALTH_MS = 5000;
const STALE_NS = 10e9;

export async function showStatus(place) {
  const { agent, store, version, now_unix_ns: now } = await get('status');
  place.append(h('section', {}, h('h2', {}, 'What zerospan cannot see here'), agent ? coverage(agent.processes) : alone()));
  if (agent) place.append(h('section', {}, h('h2', {}, 'The ledger: what was captured, and what became of it'), h('p', { class: 'dim' }, agent.unix_ns < now - STALE_NS ? 'The agent has not told anything for a while.' : 'Exchanges under way make a difference; at the end everything balances.'), ledger(agent.ledger)));
  const run = store.runs[0];
  place.append(h('section', {}, h('h2', {}, 'The store'), facts([
    ['zerospan', version], ['traces', count(store.traces)], ['spans', count(store.spans)], ['size', bytes(store.size_bytes)],
    ['oldest', store.first_unix_ns ? clock(store.first_unix_ns) : '–'], ['lost by the last run', run ? count(run.lost) : '–'], ['evicted by it', run ? `${count(run.evicted_spans)} spans` : '–'],
  ])));
}

function alone() {
  return empty('No agent runs beside this page.', '`zerospan run` serves a page that knows what the agent sees; this one reads a store.');
}

function coverage(processes) {
  if (!processes || !processes.length) return empty(processes ? 'No process with sockets is known yet.' : 'Too many processes to show.', 'They are looked at a few at a time.');
  const rank = (one) => (one.is_traced ? (one.cannot_see.length ? 0 : 1) : 2);
  const sorted = [...processes].sort((a, b) => rank(a) - rank(b) || a.pid - b.pid);
  return table([
    ['PID', (row) => row.pid, 'number'], ['Service', (row) => row.service], ['Runtime', (row) => row.runtime],
    ['Ports', (row) => row.ports.join(' ')], ['Traced', (row) => (row.is_traced ? 'yes' : 'no')],
    ['Why', (row) => row.why, 'dim'], ['Cannot see', (row) => (row.cannot_see.length ? h('ul', {}, row.cannot_see.map((text) => h('li', { class: 'warn' }, text))) : ''), 'wide'],
  ], sorted, { label: 'Processes' });
}

function ledger(parts) {
  return h('div', { class: 'ledger' }, Object.entries(parts).filter(([, value]) => typeof value === 'object').map(([name, value]) => h('div', {}, h('h3', {}, name), facts(flat(value)))));
}

function flat(value, before = '') {
  return Object.entries(value).flatMap(([name, inner]) => (typeof inner === 'object' && inner ? flat(inner, `${before}${name} · `) : [[`${before}${name}`, typeof inner === 'number' ? count(inner) : String(inner)]]));
}

function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
}

export function watchHealth(place) {
  async function look() {
    try {
      const { agent, store, now_unix_ns: now } = await get('status', {}, 'health');
      if (!agent) place.replaceChildren(`${count(store.spans)} spans in the store`);
      else {
        const lost = Object.values(agent.ledger.records.lost || {}).reduce((sum, one) => sum + one, 0);
        const isStale = agent.unix_ns < now - STALE_NS;
        place.replaceChildren(h('i', { class: `dot ${isStale ? 'stale' : 'live'}` }), isStale ? 'the agent is silent' : `tracing · ${count(agent.ledger.spans.emitted)} spans${lost ? ` · ${count(lost)} records lost` : ''}`);
      }
    } catch (error) {
      if (error.message) place.replaceChildren(error.message);
    }
    setTimeout(look, HEALTH_MS);
  }
  look();
}
