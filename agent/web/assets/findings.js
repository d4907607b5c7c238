// What the analyses find in the newest traces, the gravest first.

import { get } from './api.js';
import { empty, h } from './dom.js';
import { count, duration } from './format.js';
import { since } from './services.js';

export async function showFindings(place, { asked, go }) {
  place.append(h('div', { class: 'filters' }, since(asked, go, 'findings')));
  const wait = h('p', { class: 'dim' }, 'Reading traces …');
  place.append(wait);
  const answer = await get('findings', { since: asked.since || '1h', limit: 500 });
  wait.textContent = `${count(answer.findings.length)} ${answer.findings.length === 1 ? 'finding' : 'findings'} in the newest ${count(answer.traces)} traces (${count(answer.spans)} spans)`;
  if (!answer.findings.length) place.append(empty('No findings.', 'Traffic that is well gives none.'));
  place.append(...answer.findings.map((one) => finding(one, (at) => go(`trace/${at.trace_id}`, { marked: at.span_ids.slice(0, 20).join(',') }))));
}

export function finding(one, open) {
  const first = one.evidence[0];
  const show = () => open(first);
  return h('article', { class: `finding ${one.severity}`, tabindex: 0, onkeydown: (event) => { if (event.key === 'Enter' && event.target === event.currentTarget) show(); } },
    h('header', {}, h('span', { class: 'badge' }, one.severity), h('span', { class: 'kind' }, one.kind.replaceAll('_', ' ')), one.count > 1 ? h('span', { class: 'dim' }, `${count(one.count)} times`) : null),
    h('p', { class: 'title' }, one.title),
    h('p', { class: 'dim' }, `${one.confidence.level} confidence: ${one.confidence.reason}`, one.saving_ns === null ? null : ` · could save ${duration(one.saving_ns)} of a request`),
    h('p', { class: 'links' }, h('button', { type: 'button', onclick: show }, `Show ${first.span_ids.length} ${first.span_ids.length === 1 ? 'span' : 'spans'}`),
      one.trace_ids.filter((id) => id !== first.trace_id).slice(0, 4).map((id) => [' ', h('a', { class: 'id', href: `#/trace/${id}` }, id.slice(0, 8))])));
}
