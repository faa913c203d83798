// Markdown to DOM nodes. Text only ever becomes text nodes and links only http(s) and mailto, so no
// answer can bring markup, scripts or images of its own.

const inlineRules = [
  [/^(`+)([\s\S]*?[^`])\1(?!`)/, (m) => node('code', m[2].trim())],
  [/^\\([\\`*_{}[\]()#+\-.!~|$])/, (m) => document.createTextNode(m[1])],
  [/^\$\$([^$]+)\$\$/, (m) => node('span', m[1], 'maths')],
  [/^\$([^\s$](?:[^$\n]*[^\s$])?)\$(?!\d)/, (m) => node('span', m[1], 'maths')],
  [/^\*\*(?=\S)([\s\S]*?\S)\*\*/, (m) => inlineNode('strong', m[1])],
  [/^__(?=\S)([\s\S]*?\S)__(?!\w)/, (m) => inlineNode('strong', m[1])],
  [/^~~(?=\S)([\s\S]*?\S)~~/, (m) => inlineNode('del', m[1])],
  [/^\*(?=\S)([^*]*?[^\s*])\*/, (m) => inlineNode('em', m[1])],
  [/^_(?=\S)([^_]*?[^\s_])_(?!\w)/, (m) => inlineNode('em', m[1])],
  [/^!?\[([^\]\n]*)\]\(\s*<?((?:https?:\/\/|mailto:)[^\s<>)]*)>?[^)]*\)/i, (m) => link(m[2], m[1])],
  [/^https?:\/\/[^\s<>()"']*[^\s<>()"'.,;:!?]/i, (m) => link(m[0], m[0])],
  [/^(?: {2,}|\\)\n/, () => document.createElement('br')],
];

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
        if (match) {
          found = [match[0].length, make(match)];
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

const cells = (line) => line.trim().replace(/^\||\|$/g, '').split('|').map((c) => c.trim());

function table(parent, lines, i) {
  const e = document.createElement('table');
  const row = (line, tag) => {
    const tr = document.createElement('tr');
    for (const cell of cells(line)) tr.append(inlineNode(tag, cell));
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

function startsBlock(lines, i) {
  return /^\s*(```|~~~|>|#{1,6}\s)/.test(lines[i]) || listItem.test(lines[i]) ||
    (lines[i].includes('|') && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/.test(lines[i + 1] || ''));
}

function blocks(parent, lines, depth) {
  for (let i = 0; i < lines.length;) {
    const line = lines[i];
    const heading = /^\s*(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (!line.trim()) {
      ++i;
    } else if (/^\s*(```|~~~)/.test(line)) {
      i = fence(parent, lines, i);
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
