// Curves as SVG, with the values under the pointer.
import {element} from './frame.js';

const kHeight = 230;
const kMargin = {left: 52, right: 12, top: 8, bottom: 24};

export function svgElement(tag, attributes = {}, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// A short form: 12500000 as "12.5M".
function shortNumber(value) {
  const size = Math.abs(value);
  for (const [unit, suffix] of [[1e9, 'B'], [1e6, 'M'], [1e4, 'k']]) {
    if (size >= unit) return `${Number((value / (unit === 1e4 ? 1e3 : unit)).toPrecision(4))}${suffix}`;
  }
  return size !== 0 && size < 1e-3 ? value.toExponential(1).replace('.0e', 'e') : String(Number(value.toPrecision(4)));
}

// About `count` round positions within [low, high].
function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((f) => f * power >= rough * (1 - 1e-9));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) ticks.push(i * step);
  return ticks;
}
function logTicks(low, high, count) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; ++power) {
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  if (ticks.length < 3) return linearTicks(low, high, count);
  const every = Math.ceil(ticks.length / 8);
  return ticks.filter((_, i) => i % every === 0);
}

class Axis {
  constructor(values, log, from, to, margin) {
    let low = Infinity;
    let high = -Infinity;
    for (const v of values) {
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
    this.log = log && low > 0;
    if (high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high))) {
      const room = Math.abs(low) / 2 || 1;
      [low, high] = [this.log ? low / 2 : low - room, this.log ? high * 2 : high + room];
    } else if (this.log) {
      const factor = (high / low) ** margin;
      [low, high] = [low / factor, high * factor];
    } else {
      const room = margin * (high - low);
      [low, high] = [low - room, high + room];
    }
    Object.assign(this, {low, high, from, to});
  }
  at(value) {
    const share = this.log ? Math.log(value / this.low) / Math.log(this.high / this.low) :
      (value - this.low) / (this.high - this.low);
    return this.from + share * (this.to - this.from);
  }
  ticks(count) {
    return (this.log ? logTicks : linearTicks)(this.low, this.high, count);
  }
}

const path = (points) => points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');

// One figure; draw() again with new series. A series: {name, colour (its number), dashed, points:
// [x, mean, low, high] with the last two only where they differ}.
export class Chart {
  constructor(title) {
    this.legend = element('ul', 'legend');
    this.svg = svgElement('svg', {class: 'plot', tabindex: '0', role: 'img', 'aria-label': title});
    this.tip = element('div', 'tip');
    this.tip.hidden = true;
    this.caption = element('figcaption', '', title);
    this.element = element('figure', 'chart', this.caption, this.legend, element('div', 'plot-box', this.svg, this.tip));
    this.series = [];
    this.svg.onpointermove = (event) => this.hover(event.clientX - this.svg.getBoundingClientRect().left);
    this.svg.onpointerleave = () => this.leave();
    this.svg.onblur = () => this.leave();
    this.svg.onkeydown = (event) => this.key(event);
    new ResizeObserver(() => this.redraw()).observe(this.svg);
  }

  setTitle(title) {
    this.caption.textContent = title;
    this.svg.setAttribute('aria-label', title);
  }

  draw(series, {logX = false, logY = false} = {}) {
    this.series = series.filter((s) => s.points.length);
    Object.assign(this, {logX, logY});
    this.element.hidden = !this.series.length;
    this.redraw();
  }

  redraw() {
    const width = this.svg.clientWidth;
    if (!width || !this.series.length) return;
    const points = this.series.flatMap((s) => s.points);
    const x = new Axis(points.map((p) => p[0]), this.logX, kMargin.left, width - kMargin.right, 0);
    const y = new Axis(points.flatMap((p) => p.slice(1)), this.logY, kHeight - kMargin.bottom, kMargin.top, 0.04);
    Object.assign(this, {x, y});
    const parts = [];
    for (const tick of y.ticks(5)) {
      const at = y.at(tick);
      parts.push(svgElement('path', {class: 'grid', d: `M${kMargin.left} ${at}H${width - kMargin.right}`}),
                 svgElement('text', {x: kMargin.left - 6, y: at + 4, class: 'y'}, shortNumber(tick)));
    }
    for (const tick of x.ticks(Math.max(4, Math.floor(width / 80)))) {
      parts.push(svgElement('text', {x: x.at(tick), y: kHeight - 6, class: 'x'}, shortNumber(tick)));
    }
    const place = ([step, mean]) => [x.at(step), y.at(mean)];
    for (const s of this.series) {
      const ranged = s.points.filter((p) => p.length > 2);
      if (ranged.length > 1) {
        const edge = (i) => ranged.map((p) => [x.at(p[0]), y.at(p[i])]);
        parts.push(svgElement('path', {class: `band c${s.colour}`, d: `${path([...edge(3), ...edge(2).reverse()])}Z`}));
      }
      if (s.points.length === 1) {
        const [cx, cy] = place(s.points[0]);
        parts.push(svgElement('circle', {class: `dot c${s.colour}`, cx, cy, r: 3}));
      } else {
        parts.push(svgElement('path', {class: `line c${s.colour}${s.dashed ? ' dashed' : ''}`, d: path(s.points.map(place))}));
      }
    }
    this.cursor = svgElement('path', {class: 'cursor'});
    this.svg.setAttribute('viewBox', `0 0 ${width} ${kHeight}`);
    this.svg.replaceChildren(...parts, this.cursor);
    this.legend.replaceChildren(...this.series.map((s) => element('li', '', element('i', `key c${s.colour}${s.dashed ? ' dashed' : ''}`),
      `${s.name} `, element('b', '', shortNumber(s.points.at(-1)[1])))));
    if (!this.tip.hidden) this.hover(this.hoverAt);
  }

  // The values nearest to the pixel `at`.
  hover(at) {
    if (!this.x) return;
    this.hoverAt = at;
    const near = this.series.map((s) => {
      let best = s.points[0];
      for (const p of s.points) if (Math.abs(this.x.at(p[0]) - at) < Math.abs(this.x.at(best[0]) - at)) best = p;
      return best;
    });
    const main = near.reduce((a, b) => (Math.abs(this.x.at(b[0]) - at) < Math.abs(this.x.at(a[0]) - at) ? b : a));
    const px = this.x.at(main[0]);
    this.hoverStep = main[0];
    this.cursor.setAttribute('d', `M${px} ${kMargin.top}V${kHeight - kMargin.bottom}`);
    this.tip.replaceChildren(element('b', '', String(Math.round(main[0]))), ...this.series.map((s, i) => element('div', '',
      element('i', `key c${s.colour}${s.dashed ? ' dashed' : ''}`), `${s.name} ${Number(near[i][1].toPrecision(5))}`)));
    this.tip.hidden = false;
    const {offsetWidth} = this.tip;
    const left = px > this.svg.clientWidth / 2 ? px - 10 - offsetWidth : px + 10;
    this.tip.style.left = `${Math.max(0, Math.min(this.svg.clientWidth - offsetWidth, left))}px`;
  }
  leave() {
    this.tip.hidden = true;
    this.cursor?.removeAttribute('d');
  }
  key(event) {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step || !this.x) return;
    event.preventDefault();
    const points = this.series.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
    const now = this.tip.hidden ? points.length - 1 - Math.max(0, step) : points.findIndex((p) => p[0] >= this.hoverStep);
    const next = points[Math.min(points.length - 1, Math.max(0, now + step))];
    this.hover(this.x.at(next[0]));
  }
}
