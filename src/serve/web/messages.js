// The messages on the page: only what changed is drawn again.
import {$, button, element, icon, iconButton} from './frame.js';
import {renderMarkdown} from './markdown.js';
import {language, say} from './words.js';

const list = $('messages');
const shown = new Map();  // message → {element, state}
let current = null;       // the conversation that is shown
let editing = null;       // the message being edited
let actions;              // {ask(conversation, text, parent), answer(conversation, parent), save(conversation)}

export function setUpMessages(callbacks) {
  actions = callbacks;
  $('to-end').onclick = () => scrollToEnd();
  list.onscroll = () => { $('to-end').hidden = isAtEnd(); };
}

const isAtEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 80;
// What comes into sight for the first time may be higher than was guessed: for some frames, again.
function scrollToEnd(frames = 8) {
  list.scrollTop = list.scrollHeight;
  if (frames > 0) requestAnimationFrame(() => scrollToEnd(frames - 1));
}

function copyButton(text) {
  const b = iconButton('copy', say('copy'), async () => {
    await copy(text());
    b.replaceChildren(icon('check'));
    setTimeout(() => b.replaceChildren(icon('copy')), 1200);
  });
  return b;
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element('textarea');  // without https there is no clipboard
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

function decorate(body) {
  for (const pre of body.querySelectorAll('pre')) {
    const code = pre.querySelector('code');
    pre.tabIndex = 0;  // it can be scrolled by keys
    const head = element('div', 'code-head', element('span', '', code.dataset.kind || ''), copyButton(() => code.textContent));
    const box = element('div', 'code-box', head);
    pre.replaceWith(box);
    box.append(pre);
  }
}

// An answer, with what the model thought before it apart.
function renderAnswer(body, text) {
  const [, thought, end, rest] = /^\s*<think>([\s\S]*?)(<\/think>|$)([\s\S]*)$/.exec(text) || [null, '', '', text];
  const wasOpen = body.querySelector('details')?.open;
  renderMarkdown(body, rest);
  if (!thought.trim()) return;
  const inner = element('div');
  renderMarkdown(inner, thought);
  const details = element('details', 'thought', element('summary', '', say(end ? 'thought' : 'thinking')), inner);
  details.open = wasOpen ?? false;
  body.prepend(details);
}

function noteOf({details}) {
  const parts = [];
  if (details.model) parts.push(details.model);
  if (details.tokens) {  // the rate of what came at once would mean nothing
    const rate = details.seconds > 0.05 && (details.tokens / details.seconds).toFixed(1);
    parts.push(say('tokens')(details.tokens), ...(rate ? [say('rate')(rate)] : []));
  }
  if (details.finish === 'length') parts.push(say('cut'));
  if (details.finish === 'stopped') parts.push(say('stopped'));
  return parts.join(' · ');
}

function editor(message) {
  const area = element('textarea', 'editor');
  area.value = message.content;
  area.setAttribute('aria-label', say('edit'));
  const fit = () => {
    area.style.height = 'auto';
    area.style.height = `${Math.min(area.scrollHeight + 2, innerHeight / 2)}px`;
  };
  const close = () => {
    editing = null;
    showMessages();
  };
  const send = () => {
    if (!area.value.trim()) return;
    editing = null;
    actions.ask(current, area.value, message.parent);
  };
  area.oninput = fit;
  area.onkeydown = (event) => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  };
  const sendButton = button(say('send'), send);
  sendButton.className = 'main';
  setTimeout(() => { fit(); area.focus(); });
  return element('div', 'editing', area, element('div', 'tools', button(say('cancel'), close), sendButton));
}

// ‹ 2/3 ›
function branches(message) {
  const all = current.siblings(message);
  if (all.length < 2) return '';
  const at = all.indexOf(message);
  const go = (step) => () => {
    current.choose(all[at + step]);
    actions.save(current);
    showMessages({scroll: 'stay'});
  };
  const back = iconButton('left', say('earlier'), go(-1));
  const on = iconButton('right', say('later'), go(1));
  back.disabled = at === 0 || Boolean(current.running);
  on.disabled = at === all.length - 1 || Boolean(current.running);
  return element('span', 'branches', back, `${at + 1}/${all.length}`, on);
}

function toolsOf(message) {
  const tools = element('div', 'tools', branches(message), copyButton(() => message.content));
  if (!current.running) {
    if (message.role === 'user') {
      tools.append(iconButton('edit', say('edit'), () => { editing = message; showMessages({scroll: 'stay'}); }));
    } else {
      tools.append(iconButton('again', say('regenerate'), () => actions.answer(current, message.parent)));
    }
  }
  tools.append(element('span', 'quiet', noteOf(message)));
  return tools;
}

function messageElement(message) {
  const e = element('article', `message ${message.role}`);
  e.setAttribute('aria-label', say(message.role));
  if (editing === message) {
    e.append(editor(message));
    return e;
  }
  const body = element('div', 'body');
  e.append(body);
  const busy = current.running?.message === message;
  if (message.role === 'user') {
    body.textContent = message.content;
  } else {
    renderAnswer(body, message.content);
    body.classList.toggle('waiting', busy && !message.content);
  }
  if (message.details.error) e.append(element('p', 'error', message.details.error));
  if (busy) return e;
  decorate(body);
  e.append(toolsOf(message));
  return e;
}

// What a message's element depends on.
const stateOf = (message) => [
  language(), message.content.length, editing === message, current.running?.message === message,
  Boolean(current.running), current.siblings(message).length, message.details.finish, message.details.error,
].join();

// Draws the branch that is shown, and scrolls to its end: always, only when it is in sight ('follow'),
// or never ('stay').
export function showMessages({conversation = current, scroll = 'end'} = {}) {
  if (conversation !== current) {
    current = conversation;
    editing = null;
    shown.clear();
    list.replaceChildren();
  }
  const follow = scroll === 'end' || (scroll === 'follow' && isAtEnd());
  const branch = current.branch();
  const wanted = branch.map((message) => {
    const state = stateOf(message);
    const known = shown.get(message);
    if (known?.state === state) return known.element;
    const made = messageElement(message);
    if (known?.element.isConnected) known.element.replaceWith(made);
    shown.set(message, {element: made, state});
    return made;
  });
  if (!branch.length) wanted.push(welcome());
  wanted.forEach((e, i) => {
    if (list.children[i] !== e) list.insertBefore(e, list.children[i] || null);
  });
  while (list.children.length > wanted.length) list.lastElementChild.remove();
  if (follow) scrollToEnd();
  $('to-end').hidden = isAtEnd();
}

function welcome() {
  const examples = element('div', 'examples', ...say('examples').map((text) => {
    const b = button(text, () => actions.ask(current, text, ''));
    return b;
  }));
  return element('div', 'welcome', element('h1', '', say('welcome')), element('p', '', say('private')), examples);
}

// Only the answer that grows is drawn again, once per frame.
let frame = 0;
export function showGrowth(conversation) {
  if (frame || conversation !== current) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    const message = current.running?.message;
    const known = shown.get(message);
    if (!known) return;
    const follow = isAtEnd();
    const body = known.element.querySelector('.body');
    renderAnswer(body, message.content);
    body.classList.toggle('waiting', !message.content);
    if (follow) list.scrollTop = list.scrollHeight;
    $('to-end').hidden = isAtEnd();
  });
}
