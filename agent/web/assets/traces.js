// The list of traces: filters or a query, a scatter of durations over time to click into, and the newest as they come.

import { get, Superseded } from './api.js';
import { empty, failure, h, table } from './dom.js';
import { ago, clock, count, duration, hue } from './format.js';
import { scatter } from './scatter.js';

const TIMES = [['', 'all time'], ['5m', '5 minutes'], ['15m', '15 minutes'], ['1h', '1 hour'], ['6h', '6 hours'], ['24h', '24 hours']];
const SHOWN = 100;
const PLOTTED = 1500;
const LIVE_MS = 2000;
const EXAMPLES = ['{ status = error }', '{ duration > 1s }', '{ kind = client && duration > 100ms }', '{ span.db.operation.name = "SELECT" } | count() > 10'];

export async function showTraces(place, { asked, go }) {
  const change = (changes) => go('traces', { ...asked, ...changes });
  const query = h('input', { name: 'q', type: 'search', value: asked.q || '', placeholder: '{ resource.service.name = "checkout" && duration > 5s }', 'aria-label': 'TraceQL query', spellcheck: 'false', autocomplete: 'off' });
  const trouble = h('p', { class: 'trouble', role: 'alert' });
  const field = (name, label, kind = 'search') => h('label', {}, label, h('input', { name, type: kind, value: asked[name] || '', autocomplete: 'off', spellcheck: 'false', onchange: (event) => change({ [name]: event.target.value.trim() }) }));
  const tick = (name, label, on = '1') => h('label', { class: 'tick' }, h('input', { name, type: 'checkbox', checked: asked[name] === on, onchange: (event) => change({ [name]: event.target.checked ? on : '' }) }), label);
  const services = h('datalist', { id: 'services' });
  const form = h('form', { class: 'query', role: 'search', onsubmit: (event) => { event.preventDefault(); change({ q: query.value.trim() }); } },
    query, h('button', {}, 'Find'), asked.q ? h('button', { type: 'button', onclick: () => change({ q: '' }) }, 'Clear') : null);
  const service = field('service', 'Service');
  service.querySelector('input').setAttribute('list', 'services');
  const filters = h('div', { class: 'filters' }, asked.q ? null : [service, services, field('name', 'Name contains'), field('min_duration', 'At least'), tick('errors', 'errors'), tick('order', 'slowest first', 'slowest')],
    h('label', {}, 'Since', h('select', { name: 'since', onchange: (event) => change({ since: event.target.value }) }, TIMES.map(([value, label]) => h('option', { value, selected: (asked.since || '') === value }, label)))),
    tick('live', 'live'));
  const examples = asked.q ? null : h('p', { class: 'examples dim' }, 'Try ', EXAMPLES.map((text) => [h('a', { href: `#/traces?q=${encodeURIComponent(text)}` }, text), ' ']));
  const plot = h('div', { class: 'plot' });
  const list = h('div', { class: 'list' });
  place.append(form, trouble, filters, examples || '', plot, list);
  const open = (row) => go(`trace/${row.trace_id}`, row.matched ? { marked: row.matched.slice(0, 20).join(',') } : {});
  let newest = 0;

  async function load() {
    const { q, live, ...plain } = asked;
    const answer = q ? await get('query', { q, since: asked.since, limit: SHOWN }, 'list') : await get('traces', { ...plain, limit: PLOTTED }, 'list');
    draw(answer);
  }

  function draw({ traces, now_unix_ns: now }) {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.trace : null;
    const top = Math.max(0, ...traces.map((one) => one.start_unix_ns));
    const fresh = newest;
    newest = Math.max(newest, top);
    plot.replaceChildren(traces.length > 1 ? scatter(traces, open, (from) => change({ min_duration: from, q: '' })) : '');
    if (!traces.length) {
      list.replaceChildren(asked.q || Object.keys(asked).length ? empty('Nothing found.', 'Fewer conditions, or a longer time?') : empty('No traces yet.', 'They come as soon as traced programs exchange something. What cannot be seen is under Coverage.'));
      return;
    }
    const shown = traces.slice(0, SHOWN);
    const columns = [
      ['Started', (row) => h('span', { title: clock(row.start_unix_ns) }, ago(row.start_unix_ns, now)), 'dim'],
      ['Service', (row) => [h('i', { class: `dot ${hue(row.root_service)}`, 'aria-hidden': 'true' }), row.root_service]],
      ['Name', (row) => row.root_name, 'wide'],
      ['Duration', (row) => duration(row.duration_ns), 'number'],
      ['Spans', (row) => (row.matched ? `${row.matched.length} of ${count(row.spans)}` : count(row.spans)), 'number'],
      ['Errors', (row) => (row.errors ? h('span', { class: 'bad' }, `! ${count(row.errors)}`) : ''), 'number'],
      ['Trace', (row) => h('a', { class: 'id', href: `#/trace/${row.trace_id}` }, row.trace_id.slice(0, 8))],
    ];
    const numbers = Object.keys(shown[0].numbers || {});
    numbers.forEach((name) => columns.splice(4, 0, [name, (row) => (/duration/i.test(name) ? duration(row.numbers[name]) : row.numbers[name] ?? '–'), 'number']));
    const made = table(columns, shown, { open, label: 'Traces', rowClass: (row) => [row.errors ? 'failed' : '', fresh && row.start_unix_ns > fresh ? 'fresh' : ''].join(' ') });
    made.querySelectorAll('tbody tr').forEach((row, index) => { row.dataset.trace = shown[index].trace_id; });
    list.replaceChildren(h('p', { class: 'dim' }, traces.length > SHOWN ? `${SHOWN} of ${count(traces.length)}${traces.length === PLOTTED ? ' or more' : ''}` : `${count(traces.length)} ${traces.length === 1 ? 'trace' : 'traces'}`), made);
    if (focused) list.querySelector(`[data-trace="${focused}"]`)?.focus();
  }

  let timer;
  let isLeft = false;
  async function again() {
    try {
      await load();
      trouble.textContent = '';
    } catch (error) {
      if (error instanceof Superseded) return;
      if (error.column) {
        trouble.replaceChildren(h('span', {}, error.message), h('pre', {}, `${asked.q}\n${' '.repeat(error.column - 1)}^`));
      } else trouble.replaceChildren(failure(error));
    }
    if (asked.live && !isLeft) timer = setTimeout(again, LIVE_MS);
  }
  get('services', { since: asked.since || '24h' }, 'names').then(({ services: found }) => {
    services.append(...[...new Set(found.map((one) => one.service))].map((name) => h('option', { value: name })));
  }).catch(() => {});
  await again();
  return () => { isLeft = true; clearTimeout(timer); };
}
