// The views and the way between them: the address after # names the view and all that it shows.

import { Superseded } from './api.js';
import { failure, h } from './dom.js';
import { showFindings } from './findings.js';
import { showMap } from './map.js';
import { showServices } from './services.js';
import { showStatus, watchHealth } from './status.js';
import { showTrace } from './trace.js';
import { showTraces } from './traces.js';

const VIEWS = [
  ['traces', 'Traces', showTraces],
  ['services', 'Services', showServices],
  ['map', 'Map', showMap],
  ['findings', 'Findings', showFindings],
  ['status', 'Coverage', showStatus],
];
const KEYS = [
  ['1 … 5', 'the views'], ['/', 'to the query'], ['j, k', 'next and previous row'], ['Enter', 'open'],
  ['← →', 'fold and unfold a span'], ['c', 'next span of the critical path'], ['e', 'next span with an error'],
  ['Esc', 'back'], ['?', 'this list'],
];

const main = document.getElementById('main');
let leave = () => {};

function route() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?');
  const [name = 'traces', id] = path.split('/');
  return { name: name || 'traces', id: id ? decodeURIComponent(id) : undefined, asked: Object.fromEntries(new URLSearchParams(search)) };
}

async function show() {
  leave();
  leave = () => {};
  const { name, id, asked } = route();
  const view = name === 'trace' ? showTrace : (VIEWS.find(([key]) => key === name) || VIEWS[0])[2];
  for (const link of document.querySelectorAll('#nav a')) {
    const isHere = link.dataset.view === (name === 'trace' ? 'traces' : name);
    if (isHere) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  const place = h('div', { class: `view ${name}` });
  main.replaceChildren(place);
  try {
    leave = (await view(place, { id, asked, go })) || (() => {});
  } catch (error) {
    if (!(error instanceof Superseded)) place.append(failure(error));
  }
}

function go(name, asked = {}, { replaces = false } = {}) {
  const search = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== '' && value !== undefined && value !== null)).toString();
  const hash = `#/${name}${search ? `?${search}` : ''}`;
  if (replaces) { history.replaceState(null, '', hash); show(); } else if (hash === location.hash) show(); else location.hash = hash;
}

document.getElementById('nav').append(...VIEWS.map(([key, title]) => h('a', { href: `#/${key}`, 'data-view': key }, title)));

const keys = document.getElementById('keys');
keys.append(h('h2', {}, 'Keyboard'), h('dl', {}, KEYS.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])),
  h('form', { method: 'dialog' }, h('button', {}, 'Close')));
document.getElementById('help').addEventListener('click', () => keys.showModal());

function moveRow(step) {
  const rows = [...main.querySelectorAll('tr.opens, .finding[tabindex]')];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + step))].focus();
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  if (event.target.closest('input, select, textarea')) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  if (event.defaultPrevented) return;
  const number = Number(event.key);
  if (number >= 1 && number <= VIEWS.length) go(VIEWS[number - 1][0]);
  else if (event.key === '?') keys.showModal();
  else if (event.key === '/') main.querySelector('input[name=q]')?.focus();
  else if (event.key === 'j') moveRow(1);
  else if (event.key === 'k') moveRow(-1);
  else if (event.key === 'Escape') history.back();
  else return;
  event.preventDefault();
});

addEventListener('hashchange', show);
show();
watchHealth(document.getElementById('health'));
