// Durations over time, on a logarithmic scale; beside them how many there are of each. A dot opens its trace, a bar
// of the histogram shows the traces of its duration and longer.

import { svg } from './dom.js';
import { clock, duration } from './format.js';

const WIDTH = 1000;
const HEIGHT = 190;
const LEFT = 64;
const RIGHT = 150;
const TOP = 8;
const BOTTOM = 22;
const BINS = 24;

export function scatter(traces, open, longer) {
  const starts = traces.map((one) => one.start_unix_ns);
  const first = Math.min(...starts);
  const last = Math.max(first + 1e6, ...starts);
  const logs = traces.map((one) => Math.log10(Math.max(1e3, one.duration_ns)));
  const low = Math.floor(Math.min(...logs) * 2) / 2;
  const high = Math.max(low + 0.5, Math.ceil(Math.max(...logs) * 2) / 2);
  const inner = WIDTH - LEFT - RIGHT;
  const x = (at) => LEFT + ((at - first) / (last - first)) * inner;
  const y = (log) => TOP + (1 - (log - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const marks = [];
  for (let power = Math.ceil(low); power <= high; power += 1) {
    marks.push(svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y(power), y2: y(power), class: 'grid' }),
      svg('text', { x: LEFT - 8, y: y(power) + 4, class: 'axis end' }, duration(10 ** power)));
  }
  for (const part of [0, 0.5, 1]) {
    const at = first + part * (last - first);
    marks.push(svg('text', { x: x(at), y: HEIGHT - 5, class: `axis ${['start', 'middle', 'end'][part * 2]}` }, clock(at).slice(0, -4)));
  }
  const dots = traces.map((one, index) => svg('circle', {
    cx: x(one.start_unix_ns).toFixed(1), cy: y(logs[index]).toFixed(1), r: one.errors ? 4 : 3,
    class: one.errors ? 'failed' : 'fine', onclick: () => open(one),
  }, svg('title', {}, `${one.root_service}  ${one.root_name}\n${duration(one.duration_ns)}${one.errors ? `, ${one.errors} with errors` : ''}\n${clock(one.start_unix_ns)}`)));
  // Failed ones on top, where they can be clicked.
  dots.sort((a, b) => (a.getAttribute('class') === 'failed') - (b.getAttribute('class') === 'failed'));
  const bins = Array.from({ length: BINS }, () => [0, 0]);
  traces.forEach((one, index) => {
    const bin = bins[Math.min(BINS - 1, Math.floor(((logs[index] - low) / (high - low)) * BINS))];
    bin[one.errors ? 1 : 0] += 1;
  });
  const most = Math.max(...bins.map(([fine, failed]) => fine + failed));
  const step = (HEIGHT - TOP - BOTTOM) / BINS;
  const bars = bins.map(([fine, failed], index) => {
    if (!fine && !failed) return null;
    const from = 10 ** (low + (index / BINS) * (high - low));
    const size = (part) => Math.max(part ? 1 : 0, (part / most) * (RIGHT - 30));
    const top = TOP + (BINS - 1 - index) * step;
    const text = `${fine + failed} from ${duration(Math.round(from))}; click: these and longer`;
    const choose = () => longer(`${Math.floor(from / 1e3)}us`);
    return svg('g', { class: 'bar', tabindex: 0, role: 'button', 'aria-label': text, onclick: choose, onkeydown: (event) => { if (event.key === 'Enter') choose(); } },
      svg('title', {}, text),
      svg('rect', { x: WIDTH - RIGHT + 16, y: top, width: RIGHT - 20, height: step, class: 'room' }),
      svg('rect', { x: WIDTH - RIGHT + 16, y: top + 0.5, width: size(fine), height: step - 1, class: 'fine' }),
      svg('rect', { x: WIDTH - RIGHT + 16 + size(fine), y: top + 0.5, width: size(failed), height: step - 1, class: 'failed' }));
  });
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'scatter', role: 'img', 'aria-label': `${traces.length} traces by time and duration; the table has the same` }, marks, dots, bars);
}
