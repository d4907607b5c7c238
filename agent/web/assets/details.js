// All that is known of one span. An attribute can be clicked: it becomes a query.

import { h } from './dom.js';
import { clock, duration } from './format.js';
import { quoted } from './services.js';

export function details(span, trace, ask, choose) {
  const resource = trace.resources[span.resource] || {};
  const parent = span.shown_parent_id && trace.spans.find((one) => one.span_id === span.shown_parent_id);
  const own = trace.critical_path.filter((part) => part.span_id === span.span_id).reduce((sum, part) => sum + part.end_unix_ns - part.start_unix_ns, 0);
  return [
    h('h2', {}, span.name),
    span.status === 'error' ? h('p', { class: 'bad' }, `! error${span.status_message ? `: ${span.status_message}` : ''}`) : null,
    h('dl', { class: 'facts' }, pairs([
      ['service', span.service], ['kind', span.kind], ['duration', duration(span.duration_ns)],
      ['after', duration(Math.max(0, span.start_unix_ns - trace.start_unix_ns))], ['on the critical path', own ? duration(own) : 'no'],
      ['span', span.span_id], ['parent', parent ? h('button', { type: 'button', class: 'plain', onclick: () => choose(parent.span_id) }, parent.name) : span.parent_id ? `${span.parent_id} (not seen)` : 'none'],
    ])),
    ...part('Attributes', span.attributes, (key, value) => ask(`{ ${field('span', key)} = ${literal(value)} }`)),
    span.events.length ? h('h3', {}, 'Events') : null,
    ...span.events.map((event) => h('div', { class: 'happened' }, h('p', {}, h('strong', {}, event.name), h('span', { class: 'dim' }, ` after ${duration(event.time_unix_ns - span.start_unix_ns)}`)), attributes(event.attributes))),
    span.links.length ? h('h3', {}, 'Links') : null,
    ...span.links.map((link) => h('p', {}, h('a', { class: 'id', href: `#/trace/${encodeURIComponent(link.trace_id)}?marked=${encodeURIComponent(link.span_id)}` }, link.trace_id.slice(0, 16)))),
    ...part('Process', resource, (key, value) => ask(`{ ${field('resource', key)} = ${literal(value)} }`)),
    h('p', { class: 'dim' }, `started ${clock(span.start_unix_ns)}`),
  ].filter(Boolean);
}

function part(title, values, ask) {
  return Object.keys(values).length ? [h('h3', {}, title), attributes(values, ask)] : [];
}

function attributes(values, ask) {
  return h('dl', { class: 'facts attributes' }, pairs(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => {
    const text = Array.isArray(value) ? value.join(', ') : String(value);
    const canAsk = ask && !Array.isArray(value) && value !== null;
    return [key, canAsk ? h('button', { type: 'button', class: 'plain', title: 'Find spans with this', onclick: () => ask(key, value) }, text) : text];
  })));
}

function pairs(list) {
  return list.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]);
}

function field(scope, key) {
  return /^[\w.-]+$/.test(key) ? `${scope}.${key}` : `${scope}.${quoted(key)}`;
}

function literal(value) {
  return typeof value === 'string' ? quoted(value) : String(value);
}
