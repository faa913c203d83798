// Asks the server, with the API key that this browser knows.
import {load} from './frame.js';
import {say} from './words.js';

export class ServerError extends Error {
  // Status 0: it could not be reached.
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// The Response; throws ServerError unless it is good, and AbortError as fetch does.
export async function ask(method, path, {body, ...options} = {}) {
  const {key} = load('settings', {});
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: {'Content-Type': 'application/json', ...(key ? {Authorization: `Bearer ${key}`} : {})},
      body: body && JSON.stringify(body),
      ...options,
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError(0, say('failed'));
  }
  if (response.ok) return response;
  if (response.status === 401) throw new ServerError(401, say('needKey'));
  const {error = {}} = await response.json().catch(() => ({}));
  throw new ServerError(response.status, error.message || response.statusText, error.code);
}

export const askJson = async (method, path, options) => (await ask(method, path, options)).json();

// Calls `take` with each event of a stream. Throws ServerError for one that is an error, or that ends
// before its end.
export async function readEvents(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const {done, value} = await reader.read().catch((error) => {
      if (error.name === 'AbortError') throw error;
      throw new ServerError(0, say('failed'));
    });
    if (done) throw new ServerError(0, say('cutOff'));
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).replace(/^data: /, '');
      if (data === '[DONE]') return;
      const event = JSON.parse(data);
      if (event.error) throw new ServerError(500, event.error.message, event.error.code);
      take(event);
    }
  }
}
