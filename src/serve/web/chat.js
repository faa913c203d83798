// The page: conversations in this browser, answers from /v1/chat/completions as they come.
import {renderMarkdown} from './markdown.js';
import {applyWords, say, switchLanguage} from './words.js';

const $ = (id) => document.getElementById(id);
const defaults = {
  system: '', temperature: 0.8, top_p: 0.95, top_k: 40, min_p: 0.05, repeat_penalty: 1,
  max_tokens: 512, seed: '', key: '',
};

function load(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}
let settings = {...defaults, ...load('settings', {})};
let chats = load('chats', []);
if (!chats.length) chats = [{messages: []}];
let current = chats[0];
let running = null;  // {controller, message, element}
let draft = null;    // index of the message being edited

function save() {
  localStorage.setItem('chats', JSON.stringify(chats.slice(0, 200)));
}

// --- showing

function button(text, action) {
  const b = document.createElement('button');
  b.type = 'button';
  b.textContent = text;
  b.onclick = action;
  return b;
}

async function copyText(text, b) {
  await navigator.clipboard.writeText(text);
  b.textContent = say('copied');
  setTimeout(() => { b.textContent = say('copy'); }, 1200);
}
const copyButton = (text) => {
  const b = button(say('copy'), () => copyText(text(), b));
  return b;
};

function addCopyToCode(body) {
  for (const pre of body.querySelectorAll('pre')) {
    pre.append(copyButton(() => pre.querySelector('code').textContent));
  }
}

function noteOf(message) {
  if (message.error) return message.error;
  const parts = [];
  if (message.tokens && message.seconds) {
    parts.push(say('rate')(message.tokens, (message.tokens / message.seconds).toFixed(1)));
  }
  if (message.finish === 'length') parts.push(say('cut'));
  if (message.finish === 'stopped') parts.push(say('stopped'));
  return parts.join(' · ');
}

function editor(index) {
  const box = document.createElement('div');
  const area = document.createElement('textarea');
  area.className = 'editor';
  area.rows = 4;
  area.value = current.messages[index].content;
  const tools = document.createElement('div');
  tools.className = 'tools';
  tools.append(
    button(say('save'), () => {
      draft = null;
      current.messages.length = index;
      ask(area.value);
    }),
    button(say('cancel'), () => { draft = null; show(); }));
  box.append(area, tools);
  setTimeout(() => area.focus());
  return box;
}

function messageElement(message, index) {
  const e = document.createElement('article');
  e.className = `message ${message.role}`;
  if (draft === index) {
    e.append(editor(index));
    return e;
  }
  const body = document.createElement('div');
  body.className = 'body';
  const tools = document.createElement('div');
  tools.className = 'tools';
  e.append(body, tools);
  const busy = running?.message === message;
  if (message.role === 'user') {
    body.textContent = message.content;
  } else {
    renderMarkdown(body, message.content);
    body.classList.toggle('waiting', busy && !message.content);
  }
  if (busy) return e;
  addCopyToCode(body);
  if (!running) {
    tools.append(copyButton(() => message.content));
    if (message.role === 'user') {
      tools.append(button(say('edit'), () => { draft = index; show(); }));
    } else if (index === current.messages.length - 1) {
      tools.append(button(say('regenerate'), () => {
        current.messages.length = index;
        answer();
      }));
    }
  }
  const note = document.createElement('span');
  note.className = message.error ? 'error' : 'quiet';
  note.textContent = noteOf(message);
  tools.append(note);
  return e;
}

function showList() {
  $('chat-list').replaceChildren(...chats.map((chat) => {
    const li = document.createElement('li');
    li.classList.toggle('current', chat === current);
    const remove = button('×', () => {
      chats = chats.filter((c) => c !== chat);
      if (!chats.length) chats = [{messages: []}];
      if (chat === current) select(chats[0]);
      save();
      showList();
    });
    remove.title = say('remove');
    li.append(button(chat.messages[0]?.content.slice(0, 60) || say('untitled'), () => select(chat)),
              remove);
    return li;
  }));
}

function show() {
  const list = $('messages');
  list.replaceChildren(...current.messages.map(messageElement));
  if (!current.messages.length) {
    const p = document.createElement('p');
    p.className = 'welcome';
    p.textContent = say('welcome');
    list.append(p);
  }
  if (running) running.element = list.lastElementChild;
  $('send').textContent = running ? '■' : '↑';
  $('send').title = say(running ? 'stop' : 'send');
  list.scrollTop = list.scrollHeight;
  showList();
}

// Only the answer that grows is drawn again, once per frame.
let frame = 0;
function showGrowth() {
  if (frame) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    if (!running) return;
    const list = $('messages');
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    const body = running.element.querySelector('.body');
    renderMarkdown(body, running.message.content);
    body.classList.toggle('waiting', !running.message.content);
    if (atEnd) list.scrollTop = list.scrollHeight;
  });
}

function select(chat) {
  stop();
  current = chat;
  draft = null;
  show();
}

// --- talking to the server

const headers = () => ({
  'Content-Type': 'application/json',
  ...(settings.key ? {Authorization: `Bearer ${settings.key}`} : {}),
});

function requestBody() {
  const messages = current.messages.slice(0, -1).map(({role, content}) => ({role, content}));
  if (settings.system) messages.unshift({role: 'system', content: settings.system});
  const body = {messages, stream: true, stream_options: {include_usage: true}};
  for (const key of ['temperature', 'top_p', 'top_k', 'min_p', 'repeat_penalty', 'max_tokens', 'seed']) {
    if (settings[key] !== '') body[key] = Number(settings[key]);
  }
  return JSON.stringify(body);
}

// Calls `take` with each event of the stream.
async function readEvents(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).replace(/^data: /, '');
      if (data !== '[DONE]') take(JSON.parse(data));
    }
  }
}

async function answer() {
  const message = {role: 'assistant', content: ''};
  current.messages.push(message);
  const controller = new AbortController();
  running = {controller, message};
  show();
  let first = 0;
  try {
    const response = await fetch('/v1/chat/completions', {
      method: 'POST', headers: headers(), body: requestBody(), signal: controller.signal});
    if (!response.ok) {
      if (response.status === 401) throw new Error(say('needKey'));
      throw new Error((await response.json()).error.message);
    }
    await readEvents(response, (event) => {
      if (event.error) throw new Error(event.error.message);
      if (event.usage) message.tokens = event.usage.completion_tokens;
      for (const choice of event.choices) {
        if (choice.delta.content && !first) first = performance.now();
        message.content += choice.delta.content || '';
        message.finish = choice.finish_reason || message.finish;
      }
      showGrowth();
    });
  } catch (error) {
    if (error.name === 'AbortError') {
      message.finish = 'stopped';
    } else {
      message.error = error instanceof TypeError ? say('failed') : error.message;
    }
  }
  message.seconds = first ? (performance.now() - first) / 1000 : 0;
  running = null;
  save();
  show();
  $('input').focus();
}

function ask(text) {
  if (!text.trim()) return;
  stop();
  current.messages.push({role: 'user', content: text});
  chats = [current, ...chats.filter((c) => c !== current)];
  answer();
}

function stop() {
  running?.controller.abort();
}

async function showModel() {
  const response = await fetch('/v1/models', {headers: headers()}).catch(() => null);
  if (response?.ok) {
    $('model').textContent = (await response.json()).data[0].id;
    return;
  }
  $('model').textContent =
    say(!response ? 'failed' : response.status === 401 ? 'needKey' : 'loading');
  if (response?.status !== 401) setTimeout(showModel, 1500);
}

// --- controls

function fitInput() {
  $('input').style.height = 'auto';
  $('input').style.height = `${$('input').scrollHeight + 2}px`;
}

function send() {
  const text = $('input').value;
  $('input').value = '';
  fitInput();
  ask(text);
}
$('composer').onsubmit = (event) => {
  event.preventDefault();
  if (running) stop(); else send();
};
$('input').oninput = fitInput;
$('input').onkeydown = (event) => {
  // While a Chinese input method composes, Enter chooses a word.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!running) send();
  }
};
document.onkeydown = (event) => {
  if (event.key === 'Escape') stop();
};
$('new-chat').onclick = () => {
  if (chats[0].messages.length) chats.unshift({messages: []});
  select(chats[0]);
};
$('export').onclick = () => {
  const messages = current.messages.map(({role, content}) => ({role, content}));
  const a = document.createElement('a');
  a.href = URL.createObjectURL(
    new Blob([`${JSON.stringify({messages})}\n`], {type: 'application/json'}));
  a.download = 'chat.jsonl';
  a.click();
  URL.revokeObjectURL(a.href);
};
for (const panel of ['chats', 'settings']) {
  $(`open-${panel}`).onclick = () => { $(panel).hidden = !$(panel).hidden; };
}

function showSettings() {
  for (const key of Object.keys(defaults)) $(key).value = settings[key];
}
for (const key of Object.keys(defaults)) {
  $(key).onchange = () => {
    settings[key] = $(key).value;
    localStorage.setItem('settings', JSON.stringify(settings));
    if (key === 'key') showModel();
  };
}
$('reset-settings').onclick = () => {
  settings = {...defaults, key: settings.key};
  localStorage.setItem('settings', JSON.stringify(settings));
  showSettings();
};

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
}
$('theme').onclick = () => {
  const theme = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  localStorage.setItem('theme', theme);
  setTheme(theme);
};
$('language').onclick = () => {
  switchLanguage();
  show();
};

setTheme(localStorage.getItem('theme') ||
  (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
applyWords();
showSettings();
show();
showModel();
