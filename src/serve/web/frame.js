// What both pages share: elements and their icons, what this browser remembers, light and dark, the
// language.
import {applyWords, say, switchLanguage} from './words.js';

export const $ = (id) => document.getElementById(id);

export function load(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}
export function store(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch { /* a browser that remembers nothing */ }
}

export function element(tag, name, ...children) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  e.append(...children);
  return e;
}

// Strokes on a field of 24 × 24.
const icons = {
  menu: 'M4 6h16M4 12h16M4 18h16', plus: 'M12 5v14M5 12h14', search: 'M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14M16 16l4 4',
  edit: 'M5 19l1-4L16 5l3 3L9 18zM14 7l3 3', trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  copy: 'M9 9h10v11H9zM15 9V5H5v11h4', check: 'M5 13l4 4L19 7', again: 'M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5',
  left: 'M14 6l-6 6l6 6', right: 'M10 6l6 6l-6 6', down: 'M12 5v14M6 13l6 6l6-6', up: 'M12 19V5M6 11l6-6l6 6',
  stop: 'M7 7h10v10H7z', settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4', close: 'M6 6l12 12M18 6L6 18',
  theme: 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16', runs: 'M4 4v16h16M8 15l4-5l3 3l5-7',
  chat: 'M4 5h16v11H11l-5 4v-4H4z', download: 'M12 4v11M7 11l5 5l5-5M5 20h14',
};
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', icons[name]);
  svg.append(path);
  return svg;
}

export function button(text, action) {
  const b = element('button', '', text);
  b.type = 'button';
  b.onclick = action;
  return b;
}
// A button that is an icon, named for those who do not see it.
export function iconButton(name, title, action) {
  const b = button(icon(name), action);
  b.className = 'plain';
  b.title = title;
  b.setAttribute('aria-label', title);
  return b;
}

// A button whose action takes a second press.
export function sureButton(name, title, action) {
  const b = iconButton(name, title, () => {
    if (b.classList.contains('sure')) return action();
    b.classList.add('sure');
    b.replaceChildren(say('sure'));
    setTimeout(() => {
      b.classList.remove('sure');
      b.replaceChildren(icon(name));
    }, 3000);
  });
  return b;
}

// Wires the header; `onLanguage` draws anew what was made from words.
export function setUpFrame(onLanguage) {
  for (const b of document.querySelectorAll('[data-icon]')) b.prepend(icon(b.dataset.icon));
  const root = document.documentElement;
  root.dataset.theme = load('theme', matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  $('theme').onclick = () => {
    root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
    store('theme', root.dataset.theme);
  };
  $('language').onclick = () => {
    switchLanguage();
    onLanguage();
  };
  applyWords();
}
