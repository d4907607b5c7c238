// Times, sizes and colors for people.

export function duration(ns) {
  if (ns === null || ns === undefined) return '–';
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 999_500) return `${trim(ns / 1e3)} µs`;
  if (ns < 1e9) return `${trim(ns / 1e6)} ms`;
  if (ns < 60e9) return `${trim(ns / 1e9)} s`;
  return `${Math.floor(ns / 60e9)} m ${Math.round((ns % 60e9) / 1e9)} s`;
}

function trim(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function clock(unixNs) {
  const date = new Date(unixNs / 1e6);
  const two = (number) => String(number).padStart(2, '0');
  const day = date.toDateString() === new Date().toDateString() ? '' : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `;
  return `${day}${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

export function ago(unixNs, nowNs) {
  const seconds = Math.max(0, (nowNs - unixNs) / 1e9);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function count(number) {
  return Number(number).toLocaleString('en').replaceAll(',', '\u202f');
}

export function bytes(number) {
  return number < 1 << 20 ? `${(number / 1024).toFixed(0)} KiB` : `${(number / (1 << 20)).toFixed(1)} MiB`;
}

export function rate(perSecond) {
  return perSecond >= 10 ? `${perSecond.toFixed(0)}/s` : perSecond >= 0.1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
}

export function share(part, whole) {
  return part ? `${(100 * part / whole).toFixed(1)} %` : '';
}

// One of ten colors (style.css), the same for the same service.
export function hue(service) {
  let sum = 2166136261;
  for (const character of service) sum = Math.imul(sum ^ character.codePointAt(0), 16777619) >>> 0;
  sum = Math.imul(sum ^ (sum >>> 15), 2246822519) >>> 0;
  return `c${((sum ^ (sum >>> 13)) >>> 0) % 10}`;
}
