// One trace: what it is, what was found in it, its waterfall, and the span that is chosen.

import { get } from './api.js';
import { h } from './dom.js';
import { details } from './details.js';
import { finding } from './findings.js';
import { clock, count, duration, hue } from './format.js';
import { Waterfall } from './waterfall.js';

const SHOWN_FINDINGS = 20;

export async function showTrace(place, { id, asked, go }) {
  const trace = await get(`traces/${encodeURIComponent(id)}`, {}, 'trace');
  for (const span of trace.spans) span.service = String(span.service);
  const root = trace.spans[0];
  const errors = trace.spans.filter((span) => span.status === 'error').length;
  const services = [...new Set(trace.spans.map((span) => span.service))];
  const side = h('aside', { class: 'details', 'aria-label': 'Span' }, h('p', { class: 'dim' }, 'Choose a span.'));
  const waterfall = new Waterfall(trace, (span) => side.replaceChildren(...details(span, trace, (text) => go('traces', { q: text }), (spanId) => waterfall.choose(spanId))));
  place.append(
    h('div', { class: 'heading' },
      h('h1', {}, h('span', { class: 'dim' }, `${root.service} `), root.name),
      h('p', {}, h('code', { class: 'id' }, trace.trace_id), ` · ${clock(trace.start_unix_ns)} · `, h('strong', {}, duration(trace.duration_ns)), ` · ${count(trace.spans.length)} ${trace.spans.length === 1 ? 'span' : 'spans'}`, errors ? [' · ', h('span', { class: 'bad' }, `! ${count(errors)} ${errors === 1 ? 'error' : 'errors'}`)] : null),
      h('p', { class: 'legend' }, services.slice(0, 12).map((name) => h('span', {}, h('i', { class: `dot ${hue(name)}` }), name)), h('span', {}, h('i', { class: 'line' }), 'critical path'))),
    trace.findings.length ? h('details', { class: 'findings', open: trace.findings.length < 4 }, h('summary', {}, `${count(trace.findings.length)} ${trace.findings.length === 1 ? 'finding' : 'findings'}`),
      trace.findings.slice(0, SHOWN_FINDINGS).map((one) => finding(one, (at) => waterfall.mark(at.span_ids)))) : '',
    h('div', { class: 'split' }, waterfall.element, side));
  waterfall.begin(asked.marked ? asked.marked.split(',') : []);
  return () => waterfall.end();
}
