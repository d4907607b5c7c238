// Spans as a tree, and beside it when each of them ran. Only the rows in sight exist: ten thousand spans cost as
// much as fifty. The whole is one place of the keyboard, which moves a chosen row within it.

import { h } from './dom.js';
import { duration, hue } from './format.js';

const ROW = 26;
const SPARE = 12;
const INDENT = 14;
const MAX_DEPTH = 24;

export class Waterfall {
  constructor(trace, onChosen) {
    this.trace = trace;
    this.onChosen = onChosen;
    this.closed = new Set();
    this.marked = new Set();
    this.at = 0;
    this.below = new Map();
    for (const span of trace.spans) {
      if (span.shown_parent_id) this.below.set(span.shown_parent_id, (this.below.get(span.shown_parent_id) || 0) + 1);
    }
    this.critical = new Map();
    for (const part of trace.critical_path) {
      if (!this.critical.has(part.span_id)) this.critical.set(part.span_id, []);
      this.critical.get(part.span_id).push(part);
    }
    this.inside = h('div', { class: 'rows' });
    this.body = h('div', { class: 'body', tabindex: 0, role: 'tree', 'aria-label': 'Spans', onkeydown: (event) => this.onKey(event), onscroll: () => this.later(), onclick: (event) => this.onClick(event) }, this.inside);
    this.element = h('div', { class: 'waterfall' }, this.scale(), this.body);
    this.resized = new ResizeObserver(() => this.later());
    this.count();
  }

  begin(marked) {
    this.resized.observe(this.body);
    if (marked.length) this.mark(marked); else this.select(0);
    this.body.focus({ preventScroll: true });
  }

  end() {
    this.resized.disconnect();
  }

  scale() {
    const parts = [0, 0.25, 0.5, 0.75, 1];
    return h('div', { class: 'scale', 'aria-hidden': 'true' }, h('span', { class: 'label' }, 'Span'), h('span', { class: 'track' },
      parts.map((part) => h('span', { class: part === 1 ? 'last' : '', style: part === 1 ? { right: '0' } : { left: `${part * 100}%` } }, duration(Math.round(this.trace.duration_ns * part))))));
  }

  // The rows that are not folded away. Spans come each before its children, so one pass is enough.
  count() {
    this.rows = [];
    let hiddenBelow = Infinity;
    for (const span of this.trace.spans) {
      if (span.depth > hiddenBelow) continue;
      hiddenBelow = this.closed.has(span.span_id) ? span.depth : Infinity;
      this.rows.push(span);
    }
    this.inside.style.height = `${this.rows.length * ROW}px`;
  }

  later() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  draw() {
    const first = Math.max(0, Math.floor(this.body.scrollTop / ROW) - SPARE);
    const last = Math.min(this.rows.length, Math.ceil((this.body.scrollTop + this.body.clientHeight) / ROW) + SPARE);
    const made = [];
    for (let index = first; index < last; index += 1) made.push(this.row(index));
    this.inside.replaceChildren(...made);
    this.body.setAttribute('aria-activedescendant', `row-${this.at}`);
  }

  row(index) {
    const span = this.rows[index];
    const total = Math.max(1, this.trace.duration_ns);
    const place = (at) => (100 * (at - this.trace.start_unix_ns)) / total;
    const left = Math.min(99.7, Math.max(0, place(span.start_unix_ns)));
    const width = Math.min(100 - left, Math.max(0.3, (100 * span.duration_ns) / total));
    const parts = this.critical.get(span.span_id) || [];
    const children = this.below.get(span.span_id) || 0;
    const kind = ['row', span.status === 'error' ? 'failed' : '', index === this.at ? 'chosen' : '', this.marked.has(span.span_id) ? 'marked' : '', parts.length ? 'critical' : ''].filter(Boolean).join(' ');
    const isRight = left + width > 86;
    const isInside = isRight && left < 14;
    const beside = isRight ? { right: `${100 - left}%`, marginRight: '6px' } : { left: `${left + width}%`, marginLeft: '6px' };
    return h('div', { class: kind, id: `row-${index}`, role: 'treeitem', 'aria-level': span.depth + 1, 'aria-selected': index === this.at ? 'true' : 'false', 'aria-expanded': children ? String(!this.closed.has(span.span_id)) : null, 'data-index': index, style: { top: `${index * ROW}px` } },
      h('span', { class: 'label', style: { paddingLeft: `${Math.min(span.depth, MAX_DEPTH) * INDENT + 4}px` }, title: `${span.service}: ${span.name}` },
        h('span', { class: 'fold' }, children ? (this.closed.has(span.span_id) ? '▸' : '▾') : ''),
        h('i', { class: `dot ${hue(span.service)}` }),
        span.status === 'error' ? h('span', { class: 'bad', title: 'error' }, '! ') : null,
        h('span', { class: 'name' }, span.name), h('span', { class: 'of dim' }, span.service),
        this.closed.has(span.span_id) ? h('span', { class: 'dim' }, ` +${children}`) : null),
      h('span', { class: 'track' },
        h('span', { class: `bar ${hue(span.service)}`, style: { left: `${left}%`, width: `${width}%` } }),
        parts.map((part) => h('span', { class: 'path', style: { left: `${Math.min(99.7, Math.max(0, place(part.start_unix_ns)))}%`, width: `${Math.max(0.15, (100 * (part.end_unix_ns - part.start_unix_ns)) / total)}%` } })),
        span.events.slice(0, 20).map((event) => h('span', { class: 'event', title: event.name, style: { left: `${Math.min(99.7, Math.max(0, place(event.time_unix_ns)))}%` } })),
        h('span', { class: isInside ? 'time inside' : 'time', style: isInside ? { right: `${100 - left - width}%` } : beside }, duration(span.duration_ns))));
  }

  select(index, { scrolls = true } = {}) {
    this.at = Math.min(this.rows.length - 1, Math.max(0, index));
    if (scrolls) {
      const top = this.at * ROW;
      if (top < this.body.scrollTop) this.body.scrollTop = top;
      else if (top + ROW > this.body.scrollTop + this.body.clientHeight) this.body.scrollTop = top + ROW - this.body.clientHeight;
    }
    this.draw();
    this.onChosen(this.rows[this.at]);
  }

  // Unfold what hides a span, and go there.
  choose(spanId) {
    const byId = new Map(this.trace.spans.map((span) => [span.span_id, span]));
    if (!byId.has(spanId)) return;
    for (let at = byId.get(spanId); at; at = byId.get(at.shown_parent_id)) if (at.span_id !== spanId) this.closed.delete(at.span_id);
    this.count();
    this.select(this.rows.findIndex((span) => span.span_id === spanId));
  }

  mark(spanIds) {
    this.marked = new Set(spanIds);
    this.choose(spanIds.find((id) => this.trace.spans.some((span) => span.span_id === id)));
    if (!this.rows[this.at] || !this.marked.has(this.rows[this.at].span_id)) this.select(0);
    this.element.scrollIntoView({ block: 'nearest' });
    this.body.focus({ preventScroll: true });
  }

  fold(index, isClosed) {
    const span = this.rows[index];
    if (isClosed) this.closed.add(span.span_id); else this.closed.delete(span.span_id);
    this.count();
    this.select(index);
  }

  next(holds) {
    for (let step = 1; step <= this.rows.length; step += 1) {
      const index = (this.at + step) % this.rows.length;
      if (holds(this.rows[index])) { this.select(index); return; }
    }
  }

  onClick(event) {
    const row = event.target.closest('.row');
    if (!row) return;
    const index = Number(row.dataset.index);
    const span = this.rows[index];
    if (event.target.closest('.fold') && this.below.get(span.span_id)) this.fold(index, !this.closed.has(span.span_id));
    else this.select(index, { scrolls: false });
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.body.clientHeight / ROW) - 1);
    const span = this.rows[this.at];
    const children = this.below.get(span.span_id) || 0;
    const isClosed = this.closed.has(span.span_id);
    const moves = {
      ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -this.rows.length, End: this.rows.length,
    };
    if (event.key in moves) this.select(this.at + moves[event.key]);
    else if (event.key === 'ArrowRight') { if (isClosed) this.fold(this.at, false); else if (children) this.select(this.at + 1); }
    else if (event.key === 'ArrowLeft') { if (children && !isClosed) this.fold(this.at, true); else if (span.shown_parent_id) this.choose(span.shown_parent_id); }
    else if (event.key === 'c') this.next((one) => this.critical.has(one.span_id));
    else if (event.key === 'e') this.next((one) => one.status === 'error');
    else return;
    event.preventDefault();
  }
}
