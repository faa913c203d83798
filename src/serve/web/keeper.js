// Keeps conversations on the server. What it does not take stays here, and is offered again.
import {ask, askJson} from './api.js';
import {Conversation} from './conversation.js';

const kRetryMs = 5000;

export const open = new Map();  // conversations in this page's memory, by id
// Whether the server keeps none, why it will forget them at its end, why it takes none now.
export const keeping = {off: false, memory: '', failing: ''};
let onChange = () => {};
export function onKeeping(callback) {
  onChange = callback;
}

function set(field, value) {
  if (keeping[field] === value) return;
  keeping[field] = value;
  onChange();
}

const address = (id, query = '') => `/conversations/${id}${query}`;

// {conversations, more}; none where the server keeps none. Throws ServerError.
export async function list(search, offset) {
  if (keeping.off) return {conversations: [], more: false};
  try {
    const answer = await askJson('GET', `/conversations?${new URLSearchParams({search, offset, limit: 40})}`);
    set('memory', answer.problem || '');
    return answer;
  } catch (error) {
    if (error.code !== 'conversations_off') throw error;
    set('off', true);
    return {conversations: [], more: false};
  }
}

export async function read(id) {
  if (!open.has(id)) open.set(id, new Conversation(await askJson('GET', address(id))));
  return open.get(id);
}

const saving = new Map();  // id → whether it changed again meanwhile

// Sends what is new. Never throws, and may be called at any time.
export async function save(conversation) {
  const {id} = conversation;
  open.set(id, conversation);
  if (keeping.off || conversation.removed) return;
  if (saving.has(id)) {
    saving.set(id, true);
    return;
  }
  saving.set(id, false);
  const sent = [...conversation.unsaved].map((m) => ({...m, sentContent: m.content, message: m}));
  const {running} = conversation;  // its message is sent when it is whole
  const body = {
    title: conversation.title, leaf: running ? running.message.parent : conversation.leaf,
    messages: sent.map(({id: name, parent, role, content, details}) => ({id: name, parent, role, content, details})),
  };
  let again = false;
  try {
    await ask('POST', address(id), {body});
    for (const {message, sentContent} of sent) {
      if (message.content === sentContent) conversation.unsaved.delete(message);
    }
    conversation.sentAgain = false;
    set('failing', '');
  } catch (error) {
    if (error.code === 'conversations_off') {
      set('off', true);
    } else if (error.status === 400 && !conversation.sentAgain) {
      // It was lost there, or deleted from another page: all of it, once more.
      for (const m of conversation.messages.values()) if (m !== running?.message) conversation.unsaved.add(m);
      conversation.sentAgain = again = true;
    } else {
      set('failing', error.message);
      setTimeout(() => save(conversation), kRetryMs);
    }
  }
  const changed = saving.get(id);
  saving.delete(id);
  if (again || changed) await save(conversation);
}

export async function rename(id, title) {
  const conversation = open.get(id);
  if (conversation) conversation.title = title;
  if (!keeping.off) await ask('POST', address(id), {body: {title}});
}

export async function remove(id) {
  const conversation = open.get(id);
  if (conversation) {
    conversation.removed = true;
    conversation.running?.controller.abort();
  }
  open.delete(id);
  if (keeping.off) return;
  await ask('DELETE', address(id)).catch((error) => {
    if (error.status !== 404) throw error;  // it never reached the server
  });
}

const endings = {markdown: 'md', json: 'json', jsonl: 'jsonl'};
// Hands the conversation to the browser as a file.
export async function download(conversation, format) {
  await save(conversation);
  const response = await ask('GET', address(conversation.id, `?format=${format}`));
  const a = document.createElement('a');
  a.href = URL.createObjectURL(await response.blob());
  a.download = `${conversation.title.replace(/[^\p{L}\p{N} _-]/gu, '').trim() || 'chat'}.${endings[format]}`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}

// What is still unsaved when the page goes away, as far as the browser allows.
export function saveAtEnd() {
  for (const conversation of open.values()) {
    const {running} = conversation;
    if (!running || keeping.off) continue;
    const {id, parent, role, content, details} = running.message;
    ask('POST', address(conversation.id), {
      body: {leaf: id, messages: [{id, parent, role, content, details}]}, keepalive: true}).catch(() => {});
  }
}
