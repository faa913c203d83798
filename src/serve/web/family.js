// The family of a run as a picture: parents on the left, children on the right.
import {svgElement} from './chart.js';
import {say} from './words.js';

const kWidth = 178, kHeight = 46, kGapX = 44, kGapY = 14;

// The runs that are connected with those of `ids`.
function connected(byId, children, ids) {
  const found = new Set();
  const open = [...ids];
  while (open.length) {
    const id = open.pop();
    if (found.has(id) || !byId.has(id)) continue;
    found.add(id);
    open.push(...byId.get(id).parents, ...(children.get(id) || []));
  }
  return found;
}

// The column of each run: one more than that of its rightmost parent. A parent is always older, so
// ids in their order will do.
function columnsOf(found, byId) {
  const column = new Map();
  for (const id of [...found].sort((a, b) => a - b)) {
    column.set(id, Math.max(-1, ...byId.get(id).parents.map((p) => column.get(p) ?? -1)) + 1);
  }
  return column;
}

// The row of each run: its first child stands beside it, further ones below.
function rowsOf(found, byId, children, column) {
  const row = new Map();
  const used = [];  // rows taken, by column
  const place = (id, wanted) => {
    if (row.has(id)) return;
    const at = Math.max(wanted, used[column.get(id)] ?? 0);
    row.set(id, at);
    used[column.get(id)] = at + 1;
    let next = at;
    for (const child of children.get(id) || []) {
      place(child, next);
      next = Math.max(next, row.get(child) + 1);
    }
  };
  const roots = [...found].filter((id) => column.get(id) === 0);
  for (const id of [...roots, ...found]) place(id, Math.max(0, ...used.map((n) => n || 0)));
  return row;
}

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function nodeOf(run, x, y, selected, note, onChoose) {
  const g = svgElement('g', {
    class: `node ${run.status}${selected ? ' selected' : ''}`, transform: `translate(${x} ${y})`, tabindex: '0',
    role: 'link', 'aria-label': `${run.id} ${run.name}`,
  }, svgElement('title', {}, `${run.id} ${run.name}\n${run.out_dir}`), svgElement('rect', {width: kWidth, height: kHeight, rx: 8}),
  svgElement('text', {x: 10, y: 19, class: 'name'}, cut(`${run.id} ${run.name}`, 22)),
  svgElement('text', {x: 10, y: 36, class: 'note'}, cut(note, 28)));
  g.addEventListener('click', () => onChoose(run.id));
  g.addEventListener('keydown', (event) => { if (event.key === 'Enter') onChoose(run.id); });
  return g;
}

// `note` says in a few words what came of a run.
export function drawFamily(box, runs, selected, note, onChoose) {
  const byId = new Map(runs.map((r) => [r.id, r]));
  const children = new Map();
  for (const run of [...runs].reverse()) {
    for (const parent of run.parents) children.set(parent, [...(children.get(parent) || []), run.id]);
  }
  const found = connected(byId, children, selected);
  const column = columnsOf(found, byId);
  const row = rowsOf(found, byId, children, column);
  const x = (id) => 4 + column.get(id) * (kWidth + kGapX);
  const y = (id) => 4 + row.get(id) * (kHeight + kGapY);
  const edges = [];
  for (const id of found) {
    for (const parent of byId.get(id).parents) {
      if (!found.has(parent)) continue;
      const [fromX, fromY, toX, toY] = [x(parent) + kWidth, y(parent) + kHeight / 2, x(id), y(id) + kHeight / 2];
      const middle = (fromX + toX) / 2;
      edges.push(svgElement('path', {class: 'edge', d: `M${fromX} ${fromY}C${middle} ${fromY} ${middle} ${toY} ${toX - 6} ${toY}`}),
                 svgElement('path', {class: 'tip', d: `M${toX} ${toY}l-7 -4v8z`}));
    }
  }
  const width = 8 + Math.max(...[...found].map(x)) + kWidth;
  const height = 8 + Math.max(...[...found].map(y)) + kHeight;
  box.replaceChildren(svgElement('svg', {viewBox: `0 0 ${width} ${height}`, width, height, role: 'group', 'aria-label': say('family')},
    ...edges, ...[...found].map((id) => nodeOf(byId.get(id), x(id), y(id), selected.includes(id), note(byId.get(id)), onChoose))));
}
