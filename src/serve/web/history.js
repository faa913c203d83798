// The list of conversations: search, open, rename, delete, export.
import {$, button, element, iconButton, sureButton} from './frame.js';
import * as keeper from './keeper.js';
import {say} from './words.js';

let actions;         // {open(id), current(), begin(), notice(text)}
let entries = [];    // of the server, the latest first
let more = false;
let renaming = null; // the id of the entry whose title is being changed
let asked = 0;

export function setUpHistory(callbacks) {
  actions = callbacks;
  let timer = 0;
  $('search').oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(loadHistory, 150);
  };
  $('search').onkeydown = (event) => {
    if (event.key === 'Escape' && $('search').value) {
      event.stopPropagation();
      $('search').value = '';
      loadHistory();
    } else if (event.key === 'ArrowDown' || event.key === 'Enter') {
      event.preventDefault();
      $('chat-list').querySelector('.open')?.focus();
    }
  };
  $('chat-list').onkeydown = (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!step || event.target.tagName === 'INPUT') return;
    event.preventDefault();
    const all = [...$('chat-list').querySelectorAll('.open')];
    (all[all.indexOf(document.activeElement) + step] || $('search')).focus();
  };
  $('new-chat').onclick = () => actions.begin();
  for (const format of ['markdown', 'json', 'jsonl']) {
    $(`export-${format}`).onclick = () =>
      keeper.download(actions.current(), format).catch((error) => actions.notice(error.message));
  }
}

export async function loadHistory() {
  await page(0);
}

async function page(offset) {
  const number = ++asked;
  try {
    const answer = await keeper.list($('search').value.trim(), offset);
    if (number !== asked) return;
    entries = [...entries.slice(0, offset), ...answer.conversations];
    more = answer.more;
  } catch (error) {
    if (number !== asked) return;
    entries = [];
    more = false;
    if (error.status !== 401) actions.notice(error.message);
  }
  showHistory();
}

// What is in this page alone, and what the server knows.
function merged() {
  const known = new Set(entries.map((e) => e.id));
  const search = $('search').value.trim().toLowerCase();
  const here = [...keeper.open.values()].reverse().filter((c) =>
    !known.has(c.id) && c.messages.size && (!search || c.title.toLowerCase().includes(search)) &&
    (keeper.keeping.off || c.unsaved.size || c.running));
  return [...here.map((c) => ({id: c.id, title: c.title, updated_ms: Date.now()})), ...entries];
}

function dayOf(ms) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const day = 86400e3;
  return say(ms >= midnight ? 'today' : ms >= midnight - day ? 'yesterday' : ms >= midnight - 7 * day ? 'week' : 'older');
}

function titleEditor(entry) {
  const input = element('input', 'rename');
  input.value = entry.title;
  input.maxLength = 100;
  input.setAttribute('aria-label', say('rename'));
  const end = (keep) => {
    if (renaming !== entry.id) return;
    renaming = null;
    const title = input.value.trim();
    if (keep && title && title !== entry.title) {
      entry.title = title;
      keeper.rename(entry.id, title).catch((error) => actions.notice(error.message));
    }
    showHistory();
  };
  input.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === 'Enter' && !event.isComposing) end(true);
    if (event.key === 'Escape') end(false);
  };
  input.onblur = () => end(true);
  setTimeout(() => input.select());
  return input;
}

function entryElement(entry) {
  const li = element('li');
  li.classList.toggle('current', entry.id === actions.current().id);
  if (renaming === entry.id) {
    li.append(titleEditor(entry));
    return li;
  }
  const title = keeper.open.get(entry.id)?.title || entry.title || say('untitled');
  const open = button(element('span', 'title', title), () => actions.open(entry.id));
  open.className = 'open';
  open.title = title;
  if (entry.id === actions.current().id) open.setAttribute('aria-current', 'true');
  if (entry.excerpt) open.append(element('span', 'excerpt', entry.excerpt));
  if (keeper.open.get(entry.id)?.running) li.classList.add('running');
  li.append(open, iconButton('edit', say('rename'), () => {
    renaming = entry.id;
    showHistory();
  }), sureButton('trash', say('remove'), async () => {
    try {
      await keeper.remove(entry.id);
      entries = entries.filter((e) => e.id !== entry.id);
      if (entry.id === actions.current().id) actions.begin();
      showHistory();
    } catch (error) {
      actions.notice(error.message);
    }
  }));
  return li;
}

export function showHistory() {
  const items = [];
  let day = '';
  for (const entry of merged()) {
    const now = dayOf(entry.updated_ms);
    if (now !== day) items.push(element('li', 'day', now));
    day = now;
    items.push(entryElement(entry));
  }
  if (!items.length) items.push(element('li', 'quiet', say($('search').value ? 'nothing' : 'noChats')));
  if (more) {
    const next = button(say('more'), () => page(entries.length));
    items.push(element('li', 'more', next));
  }
  $('chat-list').replaceChildren(...items);
  const {off, memory, failing} = keeper.keeping;
  const warning = off ? say('keptNowhere') : failing ? say('notKept')(failing) : memory ? say('keptInMemory')(memory) : '';
  $('keeping').textContent = warning;
  $('keeping').hidden = !warning;
  $('export').hidden = off || !actions.current().messages.size;
}

// A conversation was written to: it is the latest.
export function touchHistory(conversation) {
  const entry = {id: conversation.id, title: conversation.title, updated_ms: Date.now()};
  if (!$('search').value && !keeper.keeping.off) entries = [entry, ...entries.filter((e) => e.id !== entry.id)];
  showHistory();
}
