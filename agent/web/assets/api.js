// Asks the API. An answer that comes after a newer question of the same kind is forgotten.

const running = new Map();

export class Superseded extends Error {}

export async function get(path, parameters = {}, kind = path) {
  running.get(kind)?.abort();
  const abort = new AbortController();
  running.set(kind, abort);
  const asked = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== '' && value !== undefined && value !== null));
  let response;
  try {
    response = await fetch(`/api/v1/${path}?${asked}`, { signal: abort.signal });
  } catch (error) {
    if (abort.signal.aborted) throw new Superseded();
    throw new Error('zerospan does not answer: has it ended?');
  }
  const answer = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (abort.signal.aborted) throw new Superseded();
  if (!response.ok) {
    const error = new Error(answer.error || `status ${response.status}`);
    error.column = answer.column;
    throw error;
  }
  return answer;
}
