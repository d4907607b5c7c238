// Elements from values. Text goes in as text nodes only: nothing that a traced program sent is ever parsed as markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') Object.assign(element.style, value);
    else if (name === 'value' || name === 'checked') element[name] = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
}

export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

// A table: columns are [heading, cell of a row, class]. A row with `open` can be clicked, and entered by keyboard.
export function table(columns, rows, { open, label, rowClass } = {}) {
  const body = h('tbody', {}, rows.map((row) => h('tr', {
    tabindex: open ? 0 : null,
    class: [open ? 'opens' : '', rowClass ? rowClass(row) : ''].join(' ').trim() || null,
    onclick: open ? (event) => { if (!event.target.closest('a')) open(row); } : null,
    onkeydown: open ? (event) => { if (event.key === 'Enter' && event.target === event.currentTarget) open(row); } : null,
  }, columns.map(([, cell, kind]) => h('td', { class: kind }, cell(row))))));
  return h('div', { class: 'scrolls' }, h('table', { 'aria-label': label },
    h('thead', {}, h('tr', {}, columns.map(([heading, , kind]) => h('th', { class: kind, scope: 'col' }, heading)))),
    body));
}

export function empty(text, hint) {
  return h('div', { class: 'empty' }, h('p', {}, text), hint ? h('p', { class: 'dim' }, hint) : null);
}

export function failure(error) {
  return h('div', { class: 'failure', role: 'alert' }, error.message);
}
