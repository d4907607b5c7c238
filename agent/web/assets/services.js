// Rate, errors and duration of services and of what they are asked for.

import { get } from './api.js';
import { empty, h, table } from './dom.js';
import { count, duration, hue, rate, share } from './format.js';

const TIMES = [['5m', '5 minutes'], ['15m', '15 minutes'], ['1h', '1 hour'], ['24h', '24 hours']];

export function since(asked, go, view) {
  return h('label', {}, 'Since', h('select', { name: 'since', onchange: (event) => go(view, { ...asked, since: event.target.value }) },
    TIMES.map(([value, label]) => h('option', { value, selected: (asked.since || '1h') === value }, label))));
}

export async function showServices(place, { asked, go }) {
  place.append(h('div', { class: 'filters' }, since(asked, go, 'services')));
  const { services } = await get('services', { since: asked.since || '1h' });
  if (!services.length) {
    place.append(empty('No service has answered a request in this time.'));
    return;
  }
  const most = Math.max(...services.map((one) => one.red.p99_ns));
  place.append(table([
    ['Service', (row) => (row.name ? '' : [h('i', { class: `dot ${hue(row.service)}`, 'aria-hidden': 'true' }), h('strong', {}, row.service)])],
    ['Operation', (row) => row.name, 'wide'],
    ['Requests', (row) => count(row.red.count), 'number'],
    ['Rate', (row) => rate(row.red.rate_per_s), 'number'],
    ['Errors', (row) => (row.red.errors ? h('span', { class: 'bad' }, share(row.red.errors, row.red.count)) : ''), 'number'],
    ['p50', (row) => duration(row.red.p50_ns), 'number'],
    ['p90', (row) => duration(row.red.p90_ns), 'number'],
    ['p99', (row) => duration(row.red.p99_ns), 'number'],
    ['', (row) => range(row.red, most), 'range'],
  ], services, {
    label: 'Services', rowClass: (row) => (row.name ? '' : 'total'),
    open: (row) => go('traces', row.name ? { q: `{ resource.service.name = ${quoted(row.service)} && name = ${quoted(row.name)} && kind = server }` } : { service: row.service }),
  }));
}

// A text as a literal of TraceQL.
export function quoted(text) {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function range(red, most) {
  const at = (ns) => `${(100 * Math.log(Math.max(1, ns / 1e4))) / Math.log(Math.max(2, most / 1e4))}%`;
  return h('span', { class: 'quantiles', title: 'p50 to p99, logarithmic' },
    h('span', { style: { left: at(red.p50_ns), width: `calc(${at(red.p99_ns)} - ${at(red.p50_ns)})` } }));
}
