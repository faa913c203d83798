// Markdown to DOM nodes. Text only ever becomes text nodes and links only http(s) and mailto, so no
// answer can bring markup, scripts or images of its own.
import {renderMaths} from './maths.js';

const inlineRules = [
  [/^(`+)([\s\S]*?[^`])\1(?!`)/, (m) => node('code', m[2].trim())],
  [/^\$\$([^$]{1,9999})\$\$/, (m) => maths(m[0], m[1], true)],
  [/^\\\[([\s\S]{1,9999}?)\\\]/, (m) => maths(m[0], m[1], true)],
  [/^\\\(([\s\S]{1,9999}?)\\\)/, (m) => maths(m[0], m[1], false)],
  [/^\$(?!\s)((?:[^$\\\n]|\\[^\n])+)(?<!\s)\$(?!\d)/, (m) => (isPrice(m[1]) ? null : maths(m[0], m[1], false))],
  [/^\\([\\`*_{}[\]()#+\-.!~|$])/, (m) => document.createTextNode(m[1])],
  [/^\*\*(?=\S)([\s\S]*?\S)\*\*/, (m) => inlineNode('strong', m[1])],
  [/^__(?=\S)([\s\S]*?\S)__(?!\w)/, (m) => inlineNode('strong', m[1])],
  [/^~~(?=\S)([\s\S]*?\S)~~/, (m) => inlineNode('del', m[1])],
  [/^\*(?=\S)([^*]*?[^\s*])\*/, (m) => inlineNode('em', m[1])],
  [/^_(?=\S)([^_]*?[^\s_])_(?!\w)/, (m) => inlineNode('em', m[1])],
  [/^!?\[([^\]\n]*)\]\(\s*<?((?:https?:\/\/|mailto:)[^\s<>)]*)>?[^)]*\)/i, (m) => link(m[2], m[1])],
  [/^https?:\/\/[^\s<>()"']*[^\s<>()"'.,;:!?]/i, (m) => link(m[0], m[0])],
  [/^(?: {2,}|\\)\n/, () => document.createElement('br')],
];

// "$20, and you have 30$": a number and words, and nothing that only maths has.
const isPrice = (text) => /^\d/.test(text) && /[a-z]{2}/i.test(text) && !/[\\^_=]/.test(text);

// The formula; its source where that is no maths.
function maths(source, tex, display) {
  const e = document.createElement('span');
  e.className = display ? 'maths display' : 'maths';
  try {
    e.append(renderMaths(tex, display));
  } catch {
    e.textContent = source;
  }
  return e;
}

function node(tag, text, name) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (name) e.className = name;
  return e;
}

function inlineNode(tag, text) {
  const e = document.createElement(tag);
  inline(e, text);
  return e;
}

function link(address, text) {
  const a = inlineNode('a', text === address ? '' : text);
  if (!a.firstChild) a.textContent = address;
  a.href = address;
  a.target = '_blank';
  a.rel = 'noopener noreferrer nofollow';
  return a;
}

function inline(parent, text) {
  let plain = '';
  let before = ' ';
  const flush = () => {
    if (plain) parent.append(plain);
    plain = '';
  };
  while (text) {
    let found = null;
    // A rule begins only at a character that some rule begins with, and _ not within a word.
    if (/[`\\$*_~![h ]/.test(text[0]) && !(/[_h]/.test(text[0]) && /\w/.test(before))) {
      for (const [pattern, make] of inlineRules) {
        const match = pattern.exec(text);
        const made = match && make(match);
        if (made) {
          found = [match[0].length, made];
          break;
        }
      }
    }
    const length = found ? found[0] : 1;
    if (found) {
      flush();
      parent.append(found[1]);
    } else {
      plain += text[0];
    }
    before = text[length - 1];
    text = text.slice(length);
  }
  flush();
}

const listItem = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;

// The lines that belong to the list item which begins at `i`, without its indentation.
function takeItem(lines, i) {
  const [, indent, mark, rest] = listItem.exec(lines[i]);
  const inner = indent.length + mark.length + 1;
  const body = [rest];
  for (++i; i < lines.length; ++i) {
    const leading = lines[i].search(/\S/);
    if (leading < 0) {
      if (i + 1 >= lines.length || lines[i + 1].search(/\S/) < inner) break;
      body.push('');
    } else if (leading > indent.length) {
      body.push(lines[i].slice(Math.min(leading, inner)));
    } else {
      break;
    }
  }
  return [body, i];
}

function list(parent, lines, i, depth) {
  const ordered = /\d/.test(listItem.exec(lines[i])[2]);
  const e = document.createElement(ordered ? 'ol' : 'ul');
  if (ordered) e.start = parseInt(listItem.exec(lines[i])[2], 10);
  while (i < lines.length) {
    const match = listItem.exec(lines[i]);
    if (!match || /\d/.test(match[2]) !== ordered) break;
    const [body, next] = takeItem(lines, i);
    const item = document.createElement('li');
    blocks(item, body, depth + 1);
    e.append(item);
    i = next;
    while (i + 1 < lines.length && !lines[i].trim() && listItem.test(lines[i + 1])) ++i;
  }
  parent.append(e);
  return i;
}

// What stands between the bars that are no part of code or maths.
const cells = (line) => (line.trim().replace(/^\||\|$/g, '')
  .match(/(?:\\.|`[^`]*`|\$[^$]+\$|[^|])+|(?<=\|)(?=\|)/g) || []).map((c) => c.trim());

function table(parent, lines, i) {
  const e = document.createElement('table');
  const sides = cells(lines[i + 1]).map((mark) => (!mark.endsWith(':') ? '' : mark[0] === ':' ? 'center' : 'right'));
  const row = (line, tag) => {
    const tr = document.createElement('tr');
    cells(line).forEach((text, column) => {
      const cell = inlineNode(tag, text);
      cell.style.textAlign = sides[column] || '';
      tr.append(cell);
    });
    e.append(tr);
  };
  row(lines[i], 'th');
  for (i += 2; i < lines.length && lines[i].includes('|'); ++i) row(lines[i], 'td');
  parent.append(e);
  return i;
}

function fence(parent, lines, i) {
  const [, mark, kind] = /^\s*(`{3,}|~{3,})\s*(\S*)/.exec(lines[i]);
  const code = [];
  for (++i; i < lines.length && !lines[i].trim().startsWith(mark); ++i) code.push(lines[i]);
  const pre = document.createElement('pre');
  const e = node('code', code.join('\n'));
  e.dataset.kind = kind;
  pre.append(e);
  parent.append(pre);
  return i + 1;
}

// A display formula that begins at line `i`: its lines and the formula; null where it does not end.
function displayMaths(lines, i) {
  const begin = /^\s*(\$\$|\\\[|\\begin\{(?:align|equation|gather|multline|eqnarray)\*?\})/.exec(lines[i]);
  if (!begin) return null;
  const environment = begin[1].startsWith('\\begin');
  const end = environment ? begin[1].replace('begin', 'end') : begin[1] === '$$' ? '$$' : '\\]';
  const text = [lines[i].slice(begin[0].length)];
  for (let last = i; ; text.push(lines[last])) {
    const at = text.at(-1).indexOf(end);
    if (at >= 0) {
      if (text.at(-1).slice(at + end.length).trim()) return null;  // more text follows on the line
      text[text.length - 1] = text.at(-1).slice(0, at);
      const tex = environment ? begin[1] + text.join('\n') + end : text.join('\n');
      return [last + 1, maths(lines.slice(i, last + 1).join('\n'), tex, true)];
    }
    if (++last >= lines.length || last > i + 200) return null;
  }
}

function startsBlock(lines, i) {
  return /^\s*(```|~~~|>|#{1,6}\s|\$\$|\\\[|\\begin\{)/.test(lines[i]) || listItem.test(lines[i]) ||
    (lines[i].includes('|') && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/.test(lines[i + 1] || ''));
}

function blocks(parent, lines, depth) {
  for (let i = 0; i < lines.length;) {
    const line = lines[i];
    const formula = displayMaths(lines, i);
    const heading = /^\s*(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (!line.trim()) {
      ++i;
    } else if (/^\s*(```|~~~)/.test(line)) {
      i = fence(parent, lines, i);
    } else if (formula) {
      parent.append(formula[1]);
      i = formula[0];
    } else if (heading) {
      parent.append(inlineNode(`h${Math.min(6, heading[1].length + 1)}`, heading[2]));
      ++i;
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      parent.append(document.createElement('hr'));
      ++i;
    } else if (/^\s*>/.test(line) && depth < 20) {
      const quoted = [];
      for (; i < lines.length && /^\s*>/.test(lines[i]); ++i) quoted.push(lines[i].replace(/^\s*> ?/, ''));
      const e = document.createElement('blockquote');
      blocks(e, quoted, depth + 1);
      parent.append(e);
    } else if (listItem.test(line) && depth < 20) {
      i = list(parent, lines, i, depth);
    } else if (startsBlock(lines, i) && line.includes('|')) {
      i = table(parent, lines, i);
    } else {
      const text = [line];
      for (++i; i < lines.length && lines[i].trim() && !startsBlock(lines, i); ++i) text.push(lines[i]);
      parent.append(inlineNode('p', text.join('\n')));
    }
  }
}

export function renderMarkdown(element, text) {
  element.replaceChildren();
  blocks(element, text.split('\n'), 0);
}
