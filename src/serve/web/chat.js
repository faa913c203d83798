// The chat page: what is said goes to /v1/chat/completions and into the conversation.
import {ask, readEvents} from './api.js';
import {Conversation} from './conversation.js';
import {$, icon, load, setUpFrame, store} from './frame.js';
import {loadHistory, setUpHistory, showHistory, touchHistory} from './history.js';
import * as keeper from './keeper.js';
import {setUpMessages, showGrowth, showMessages} from './messages.js';
import {requestBody, setUpSettings, showModels} from './settings.js';
import {say} from './words.js';

const narrow = matchMedia('(max-width: 52rem)');
let current = new Conversation();

function show(options = {}) {
  showMessages({conversation: current, ...options});
  const busy = Boolean(current.running);
  $('send').replaceChildren(icon(busy ? 'stop' : 'up'));
  $('send').title = say(busy ? 'stop' : 'sendHint');
  $('send').setAttribute('aria-label', $('send').title);
  document.title = current.title ? `${current.title} – Stepstone` : 'Stepstone';
}

let noticeTimer = 0;
function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { $('notice').hidden = true; }, 8000);
}

// --- answers

// Adds what the model says to `message`, until its end.
async function receive(conversation, message, signal) {
  let first = 0;
  const body = requestBody(conversation.prompt(message.parent));
  const {details} = message;
  try {
    const response = await ask('POST', '/v1/chat/completions', {body, signal});
    await readEvents(response, (event) => {
      details.model = event.model;
      if (event.usage) details.tokens = event.usage.completion_tokens;
      for (const choice of event.choices) {
        if (choice.delta.content && !first) first = performance.now();
        message.content += choice.delta.content || '';
        details.finish = choice.finish_reason || details.finish;
      }
      showGrowth(conversation);
    });
  } catch (error) {
    if (error.name === 'AbortError') details.finish = 'stopped';
    else details.error = error.message;
  }
  if (first) details.seconds = Math.round(performance.now() - first) / 1000;
}

// A new answer below the message `parent`.
async function answer(conversation, parent) {
  if (conversation.running) return;
  const controller = new AbortController();
  const message = conversation.append('assistant', '', parent);
  conversation.unsaved.delete(message);  // until there is something to keep
  conversation.running = {controller, message};
  keeper.open.set(conversation.id, conversation);
  touchHistory(conversation);
  if (conversation === current) show();
  keeper.save(conversation);
  await receive(conversation, message, controller.signal);
  conversation.running = null;
  conversation.unsaved.add(message);
  if (conversation === current) show({scroll: 'follow'});
  if (conversation.removed) return;
  await keeper.save(conversation);
  showHistory();
}

// A message of the user below `parent`, and the answer to it.
function put(conversation, text, parent) {
  if (!text.trim() || conversation.running) return;
  conversation.append('user', text, parent);
  if (!conversation.title) conversation.title = text.trim().split('\n')[0].slice(0, 60);
  location.replace(`#${conversation.id}`);
  answer(conversation, conversation.leaf);
}

const stop = () => current.running?.controller.abort();

// --- going from one conversation to another

function begin() {
  current = new Conversation();
  history.replaceState(null, '', location.pathname);
  show();
  showHistory();
  hidePanels();
  $('input').focus();
}

async function open(id) {
  try {
    current = await keeper.read(id);
  } catch (error) {
    notice(error.message);
    if (error.status === 404) begin();
    return;
  }
  if (location.hash !== `#${id}`) location.hash = id;
  show();
  showHistory();
  hidePanels();
}

function openFromAddress() {
  const id = location.hash.slice(1);
  if (id && id !== current.id) open(id);
  else if (!id && current.messages.size) begin();
}

// --- controls

function fitInput() {
  $('input').style.height = 'auto';
  $('input').style.height = `${$('input').scrollHeight}px`;
}

function send() {
  const text = $('input').value;
  $('input').value = '';
  fitInput();
  put(current, text);
}

function setPanel(name, visible) {
  $(name).hidden = !visible;
  $(`open-${name}`).setAttribute('aria-expanded', String(visible));
  if (!narrow.matches) store(`panel-${name}`, visible);
  $('shade').hidden = !narrow.matches || ($('chats').hidden && $('settings').hidden);
}
function hidePanels() {
  if (!narrow.matches) return;
  for (const name of ['chats', 'settings']) setPanel(name, false);
}

function setUpControls() {
  $('composer').onsubmit = (event) => {
    event.preventDefault();
    if (current.running) stop();
    else send();
  };
  $('input').oninput = fitInput;
  $('input').onkeydown = (event) => {
    // While a Chinese input method composes, Enter chooses a word.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!current.running) send();
    }
  };
  document.onkeydown = (event) => {
    if (event.key === 'Escape') {
      if (narrow.matches && !$('shade').hidden) hidePanels();
      else stop();
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      setPanel('chats', true);
      $('search').select();
    }
  };
  for (const name of ['chats', 'settings']) {
    $(`open-${name}`).onclick = () => setPanel(name, $(name).hidden);
    setPanel(name, !narrow.matches && load(`panel-${name}`, name === 'chats'));
  }
  narrow.onchange = () => {
    setPanel('chats', !narrow.matches);
    setPanel('settings', false);
  };
  $('shade').onclick = hidePanels;
  addEventListener('hashchange', openFromAddress);
  addEventListener('pagehide', keeper.saveAtEnd);
}

setUpMessages({ask: put, answer, save: keeper.save});
setUpHistory({open, begin, notice, current: () => current});
setUpSettings({
  notice,
  onKey: () => {
    keeper.open.clear();
    begin();
    showModels();
    loadHistory();
  },
});
setUpFrame(() => {
  show({scroll: 'stay'});
  showHistory();
  showModels();
});
setUpControls();
keeper.onKeeping(showHistory);
show();
showModels();
loadHistory();
openFromAddress();
if (!narrow.matches) $('input').focus();
