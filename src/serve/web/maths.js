// TeX's mathematics to MathML. Text only ever becomes text nodes. What is not understood shows as its
// source: an unknown command alone, a formula that does not parse as a whole.
import {accents, bigOperators, delimiters, functions, inAlphabet, integrals, letters, limitFunctions,
  operators, sizes, spaces, styles} from './maths_symbols.js';

const kNamespace = 'http://www.w3.org/1998/Math/MathML';
const kMaxDepth = 60;
const kMaxLength = 20000;

function make(tag, children = [], attributes = {}) {
  const e = document.createElementNS(kNamespace, tag);
  e.append(...[children].flat());
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}
const row = (nodes) => (nodes.length === 1 ? nodes[0] : make('mrow', nodes));
const space = (em) => make('mspace', [], {width: `${em}em`});
// A fence that has the height of a line, as in TeX outside of \left and \right.
const plainOperator = (text) => make('mo', text, {stretchy: 'false'});

// Commands with their backslash, and single characters.
function split(tex) {
  return tex.match(/\\(?:operatorname\*|[a-zA-Z]+|[\s\S])|\s+|\d+(?:\.\d+)?|[\s\S]/gu) || [];
}

class Parser {
  constructor(tex) {
    this.tokens = split(tex);
    this.at = 0;
    this.depth = 0;
  }

  // The next token that is no space; undefined at the end.
  peek() {
    while (/^\s/.test(this.tokens[this.at] ?? '')) ++this.at;
    return this.tokens[this.at];
  }
  next() {
    const token = this.peek();
    if (token === undefined) throw new Error('the formula ends too early');
    ++this.at;
    return token;
  }
  take(token) {
    if (this.peek() !== token) return false;
    ++this.at;
    return true;
  }
  expect(token) {
    if (!this.take(token)) throw new Error(`${token} is missing`);
  }

  // What stands between { and }, as it is.
  source() {
    this.expect('{');
    let text = '';
    for (let open = 1; ; ) {
      const token = this.tokens[this.at++];
      if (token === undefined) throw new Error('} is missing');
      if (token === '{') ++open;
      if (token === '}' && --open === 0) return text;
      text += token;
    }
  }

  // Nodes up to, and not with, one of `ends`.
  list(ends) {
    if (++this.depth > kMaxDepth) throw new Error('too deep');
    const nodes = [];
    for (let token; (token = this.peek()) !== undefined && !ends.has(token);) {
      if (token === '}' || token === '&' || token === '\\\\' || token === '\\right' || token === '\\end') {
        throw new Error(`${token} out of place`);
      }
      if (token === '\\displaystyle' || token === '\\textstyle') {
        this.next();
        nodes.push(make('mstyle', this.list(ends), {displaystyle: String(token === '\\displaystyle')}));
      } else if (token === '\\over' || token === '\\choose') {
        this.next();
        const above = make('mrow', nodes.splice(0));
        const below = make('mrow', this.list(ends));
        nodes.push(token === '\\over' ? make('mfrac', [above, below]) : binomial(above, below));
      } else {
        const node = this.scripted();
        if (node) nodes.push(node);
      }
    }
    --this.depth;
    return spaced(nodes);
  }

  // An argument: a group, or a single atom.
  argument() {
    if (this.take('{')) {
      const nodes = this.list(new Set(['}']));
      this.expect('}');
      return make('mrow', nodes);
    }
    const token = this.next();
    if (!/^\d./.test(token)) return this.atom(token) || make('mrow');
    this.tokens[--this.at] = token.slice(1);  // \frac12 is a half
    return make('mn', token[0]);
  }
  // [ … ], or null.
  option() {
    if (!this.take('[')) return null;
    const nodes = this.list(new Set([']']));
    this.expect(']');
    return make('mrow', nodes);
  }

  // An atom with what is above and below it.
  scripted() {
    const first = this.peek();
    const base = first === '^' || first === '_' || first === "'" ? make('mrow') : this.atom(this.next());
    if (!base) return null;
    let limits = base.limits;
    let above = null;
    let below = null;
    let primes = '';
    for (;;) {
      if (this.take('\\limits')) limits = true;
      else if (this.take('\\nolimits')) limits = false;
      else if (this.take("'")) primes += '′';
      else if (!above && this.take('^')) above = this.argument();
      else if (!below && this.take('_')) below = this.argument();
      else break;
    }
    if (primes) above = make('mrow', [make('mo', primes), ...(above ? [above] : [])]);
    if (!above && !below) return base;
    const tag = limits ? (above ? (below ? 'munderover' : 'mover') : 'munder') :
      (above ? (below ? 'msubsup' : 'msup') : 'msub');
    const node = make(tag, [base, below, above].filter(Boolean));
    node.isFunction = base.isFunction;
    return node;
  }

  // The node that begins with `token`; null for one that shows nothing.
  atom(token) {
    if (token === '{') {
      --this.at;
      return this.argument();
    }
    if (token.startsWith('\\')) return this.command(token.slice(1));
    if (/^\d/.test(token)) return make('mn', token);
    if (/^[\p{Script=Latin}\p{Script=Greek}]$/u.test(token)) return make('mi', token);
    if (token === '-') return make('mo', '−');
    if (token === '*') return make('mo', '∗');
    if (token === '~') return space(0.3);
    if ('()[]|/'.includes(token)) return plainOperator(token);
    if (token === '^' || token === '_') throw new Error(`${token} out of place`);
    return /^[\p{L}\p{M}]$/u.test(token) ? make('mtext', token) : make('mo', token);
  }

  command(name) {
    if (letters.has(name)) {
      const upright = /^[A-Z]/.test(name) || !/^\p{Script=Greek}/u.test(letters.get(name));
      return make('mi', letters.get(name), upright ? {mathvariant: 'normal'} : {});
    }
    if (bigOperators.has(name)) return withLimits(make('mo', bigOperators.get(name)));
    if (integrals.has(name)) return make('mo', integrals.get(name));
    if (functions.has(name)) return namedFunction(name);
    if (limitFunctions.has(name)) return limitFunction(name.replace(/^(lim|arg)(?=.)/, '$1\u2009'));
    if (accents.has(name)) return this.accent(...accents.get(name));
    if (spaces.has(name)) return space(spaces.get(name));
    if (styles.has(name)) return this.styled(styles.get(name));
    const size = /^(big|Big|bigg|Bigg)[lrm]?$/.exec(name);
    if (size) return sizedFence(this.delimiter(), sizes.get(size[1]));
    if (Parser.commands[name]) return Parser.commands[name](this);
    if (operators.has(name)) {
      const text = operators.get(name);
      return /^[|‖{}[\]⟨⟩⌈⌉⌊⌋∣]$/u.test(text) ? plainOperator(text) : make('mo', text);
    }
    return make('mtext', `\\${name}`, {class: 'unknown'});
  }

  accent(sign, below = false, stretchy = false) {
    const base = this.argument();
    const node = make(below ? 'munder' : 'mover', [base, make('mo', sign, {stretchy})],
                      {[below ? 'accentunder' : 'accent']: 'true'});
    node.limits = '⏞⏟'.includes(sign);
    return node;
  }

  styled(style) {
    const node = this.argument();
    if (style === 'upright' || style === 'bold') {
      // A word of letters is one name, not a product.
      const leaves = [...node.children];
      if (leaves.length > 1 && leaves.every((e) => e.localName === 'mi' && !e.firstElementChild)) {
        node.replaceChildren(make('mi', leaves.map((e) => e.textContent).join('')));
      }
    }
    for (const e of [node, ...node.querySelectorAll('*')]) {
      if (!['mi', 'mn', 'mo'].includes(e.localName)) continue;
      if (['bb', 'cal', 'frak'].includes(style)) {
        e.textContent = [...e.textContent].map((c) => inAlphabet(c, style)).join('');
        e.setAttribute('mathvariant', 'normal');
      } else {
        e.classList.add(style);
        if (!style.includes('italic')) e.setAttribute('mathvariant', 'normal');
      }
    }
    return node;
  }

  delimiter() {
    const token = this.next();
    const text = delimiters.get(token) ?? delimiters.get(token.replace(/^\\(?=.)/, ''));
    if (text === undefined) throw new Error(`${token} is no delimiter`);
    return text;
  }

  fenced() {
    const nodes = [fence(this.delimiter())];
    const ends = new Set(['\\right', '\\middle']);
    for (;;) {
      nodes.push(...this.list(ends));
      const end = this.next();
      nodes.push(fence(this.delimiter()));
      if (end === '\\right') return make('mrow', nodes.filter(Boolean));
    }
  }

  // The rows of an environment up to its \end.
  cells(name) {
    const ends = new Set(['&', '\\\\', '\\cr', '\\end']);
    const rows = [[]];
    for (;;) {
      while (this.take('\\hline')) { /* lines are left out */ }
      rows.at(-1).push(make('mtd', this.list(ends)));
      const end = this.next();
      if (end === '\\end') {
        if (this.source() !== name) throw new Error(`\\end{${name}} is missing`);
        if (rows.length > 1 && rows.at(-1).length === 1 && !rows.at(-1)[0].firstChild) rows.pop();
        return rows;
      }
      if (end !== '&') {
        rows.push([]);
        if (this.peek() === '[' && /^[\d.]/.test(this.tokens[this.at + 1] ?? '')) this.option();
      }
    }
  }

  environment() {
    const name = this.source();
    const plain = name.replace('*', '');
    const kind = environments.get(plain);
    if (!kind) throw new Error(`${name} is no environment that is known`);
    if (plain === 'array' || plain === 'alignat' || plain === 'alignedat') kind.columns = this.source();
    const rows = this.cells(name);
    const style = kind.display ? {displaystyle: 'true'} : {};
    const table = make('mtable', rows.map((cells) => make('mtr', cells)), {class: kind.name, ...style});
    if (plain === 'array') alignColumns(rows, kind.columns.replace(/[^lcr]/g, ''));
    const [open, close] = kind.fences;
    return make('mrow', [fence(open), table, fence(close)].filter(Boolean));
  }
}

// Below: what some commands make of their arguments.

const withLimits = (node) => Object.assign(node, {limits: true});
function namedFunction(name) {
  return Object.assign(make('mi', name, {mathvariant: 'normal'}), {isFunction: true});
}
const limitFunction = (name) => withLimits(make('mo', name, {
  movablelimits: 'true', form: 'prefix', lspace: '.1667em', rspace: '.1667em'}));
const fence = (text) => (text ? make('mo', text, {fence: 'true', stretchy: 'true'}) : null);
const sizedFence = (text, em) =>
  make('mo', text, {fence: 'true', stretchy: 'true', symmetric: 'true', minsize: `${em}em`, maxsize: `${em}em`});
const binomial = (above, below) =>
  make('mrow', [fence('('), make('mfrac', [above, below], {linethickness: '0'}), fence(')')]);
const inStyle = (node, display) => make('mstyle', node, {displaystyle: String(display)});

// A thin space between a function and what is no parenthesis.
function spaced(nodes) {
  const out = [];
  nodes.forEach((node, i) => {
    const before = nodes[i - 1];
    const leaf = (e) => ['mi', 'mn', 'mfrac', 'msqrt', 'msup', 'msub', 'mrow', 'msubsup'].includes(e?.localName);
    const opens = /^[([{|⌊⌈]/.test(node.textContent);
    if (before && ((before.isFunction && leaf(node) && !opens) || (node.isFunction && leaf(before)))) {
      out.push(space(0.1667));
    }
    out.push(node);
  });
  return out;
}

function alignColumns(rows, columns) {
  const side = {l: 'left', c: 'center', r: 'right'};
  for (const cells of rows) {
    cells.forEach((cell, i) => cell.classList.add(`to-${side[columns[i]] || 'center'}`));
  }
}

const kind = (name, open = '', close = '', display = false) => ({name, fences: [open, close], display});
const environments = new Map(Object.entries({
  matrix: kind('matrix'), pmatrix: kind('matrix', '(', ')'), bmatrix: kind('matrix', '[', ']'),
  Bmatrix: kind('matrix', '{', '}'), vmatrix: kind('matrix', '|', '|'), Vmatrix: kind('matrix', '‖', '‖'),
  smallmatrix: kind('matrix'), array: kind('matrix'), cases: kind('cases', '{'), rcases: kind('cases', '', '}'),
  dcases: kind('cases', '{', '', true), aligned: kind('aligned', '', '', true), align: kind('aligned', '', '', true),
  alignat: kind('aligned', '', '', true), alignedat: kind('aligned', '', '', true),
  split: kind('aligned', '', '', true), eqnarray: kind('aligned', '', '', true),
  gathered: kind('gathered', '', '', true), gather: kind('gathered', '', '', true),
  multline: kind('gathered', '', '', true), equation: kind('gathered', '', '', true),
}));

const fraction = (p) => make('mfrac', [p.argument(), p.argument()]);
const text = (name) => (p) => make('mtext', p.source().replace(/\\([{}$%&_# ])/g, '$1').replace(/ /g, '\u00a0'),
                                   name ? {class: name} : {});
const over = (p, sign) => {
  const below = p.option();
  const above = p.argument();
  const arrow = make('mo', sign, {stretchy: 'true', class: 'long'});
  return below ? make('munderover', [arrow, below, above]) : make('mover', [arrow, above]);
};
const nothing = (p) => { p.source(); return null; };

Parser.commands = {
  frac: fraction,
  dfrac: (p) => inStyle(fraction(p), true),
  cfrac: (p) => inStyle(fraction(p), true),
  tfrac: (p) => inStyle(fraction(p), false),
  binom: (p) => binomial(p.argument(), p.argument()),
  dbinom: (p) => inStyle(binomial(p.argument(), p.argument()), true),
  tbinom: (p) => inStyle(binomial(p.argument(), p.argument()), false),
  sqrt: (p) => {
    const index = p.option();
    return index ? make('mroot', [p.argument(), index]) : make('msqrt', p.argument());
  },
  left: (p) => p.fenced(),
  begin: (p) => p.environment(),
  text: text(), mbox: text(), textrm: text(), textnormal: text(), hbox: text(),
  textbf: text('bold'), textit: text('italic'), emph: text('italic'), texttt: text('mono'), textsf: text('sans'),
  operatorname: (p) => namedFunction(p.source().replace(/\\[,;: ]/g, '\u2009').replace(/\\/g, '')),
  'operatorname*': (p) => limitFunction(p.source().replace(/\\[,;: ]/g, '\u2009')),
  overset: (p) => { const above = p.argument(); return make('mover', [p.argument(), above]); },
  stackrel: (p) => { const above = p.argument(); return make('mover', [p.argument(), above]); },
  underset: (p) => { const below = p.argument(); return make('munder', [p.argument(), below]); },
  xrightarrow: (p) => over(p, '→'),
  xleftarrow: (p) => over(p, '←'),
  xleftrightarrow: (p) => over(p, '↔'),
  substack: (p) => {
    p.expect('{');
    const rows = [];
    do rows.push(make('mtr', make('mtd', p.list(new Set(['\\\\', '}']))))); while (p.take('\\\\'));
    p.expect('}');
    return make('mtable', rows, {class: 'substack'});
  },
  not: (p) => {
    const node = p.argument();
    node.append('\u0338');
    return node;
  },
  bmod: () => make('mo', 'mod', {lspace: '.25em', rspace: '.25em'}),
  mod: () => make('mo', 'mod', {lspace: '1em', rspace: '.25em'}),
  pmod: (p) => make('mrow', [space(0.5), plainOperator('('), make('mi', 'mod', {mathvariant: 'normal'}),
                             space(0.3), p.argument(), plainOperator(')')]),
  phantom: (p) => make('mphantom', p.argument()),
  boxed: (p) => make('mrow', p.argument(), {class: 'boxed'}),
  color: (p) => { p.source(); return make('mrow'); },
  textcolor: (p) => { p.source(); return p.argument(); },
  tag: (p) => make('mrow', [space(2), make('mtext', `(${p.source()})`)]),
  hspace: (p) => space(parseFloat(p.source()) || 0),
  label: nothing,
  nonumber: () => null,
  notag: () => null,
  limits: () => null,
};

// The formula as an element <math>. Throws Error for what does not parse.
export function renderMaths(tex, display) {
  if (tex.length > kMaxLength) throw new Error('too long');
  const parser = new Parser(tex);
  const lines = [];
  do lines.push(parser.list(new Set(['\\\\']))); while (parser.take('\\\\'));
  const body = lines.length === 1 ? row(lines[0]) :
    make('mtable', lines.map((nodes) => make('mtr', make('mtd', nodes))), {class: 'gathered', displaystyle: 'true'});
  return make('math', body, display ? {display: 'block'} : {});
}
