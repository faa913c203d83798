// The page Runs: what was trained here, its curves while they grow, and its family.
import {askJson} from './api.js';
import {Chart} from './chart.js';
import {drawFamily} from './family.js';
import {$, element, load, setUpFrame, store} from './frame.js';
import {language, say} from './words.js';

const kPollMs = 2000;
const kColours = 8;
const kMaxCompared = 8;
// The word for a title; the names of the log's curves below it, with a word for each where there are
// several. The second is dashed where runs are compared.
const kinds = [
  ['loss', {loss: 'training', val_loss: 'validation'}], ['bpb', {val_bpb: ''}], ['speed', {tok_per_sec: ''}],
  ['learningRate', {lr_scale: ''}], ['gradient', {grad_norm: ''}],
];

let runs = [];
let selected = [];         // ids; the first is the one in detail
const details = new Map(); // id → the run with its recipe
const logs = new Map();    // id → {version, curves, samples, status, complete}
const charts = kinds.map(([word]) => new Chart(say(word)));
$('charts').append(...charts.map((c) => c.element));

const byId = (id) => runs.find((r) => r.id === id);
const colourOf = (id) => selected.indexOf(id) % kColours;

// --- words about a run

const short = (value) => (Number.isInteger(value) ? String(value) : Number(value.toPrecision(4)).toString());
// The number by which a run is known.
function headline(run) {
  for (const numbers of [run.scores, run.metrics]) {
    for (const name of ['accuracy', 'val_bpb', 'val_loss', 'loss']) {
      if (typeof numbers?.[name] === 'number') return `${name} ${short(numbers[name])}`;
    }
  }
  return '';
}
function timeOf(ms) {
  return new Date(ms).toLocaleString(language(), {month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit'});
}
function duration(run) {
  const seconds = Math.round(((run.ended_ms || Date.now()) - run.started_ms) / 1000);
  if (seconds < 0 || (!run.ended_ms && run.status !== 'running')) return '';
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` :
    `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}
const joined = (...parts) => parts.filter(Boolean).join(' · ');

// --- drawing

function listItem(run) {
  const chosen = selected.includes(run.id);
  const box = element('input');
  box.type = 'checkbox';
  box.checked = chosen;
  box.disabled = !chosen && selected.length >= kMaxCompared;
  box.setAttribute('aria-label', `${say('compare')} ${run.id} ${run.name}`);
  box.onchange = () => select(chosen ? selected.filter((id) => id !== run.id) : [...selected, run.id]);
  const open = element('button', 'open',
    element('span', 'name', element('i', chosen ? `key c${colourOf(run.id)}` : 'key none'), `${run.id} ${run.name}`),
    element('span', 'quiet', joined(say(`kind_${run.kind}`) || run.kind, headline(run))),
    element('span', 'quiet', element('i', `state ${run.status}`), joined(say(`state_${run.status}`), timeOf(run.started_ms), duration(run))));
  open.type = 'button';
  open.onclick = () => select([run.id]);
  if (chosen) open.setAttribute('aria-current', 'true');
  const li = element('li', chosen ? 'current' : '', box, open);
  return li;
}

let listState = '';
function showList() {
  const state = JSON.stringify([runs, selected, language(), runs.some((r) => r.status === 'running') && Date.now()]);
  if (state === listState) return;
  listState = state;
  const focused = [...$('run-list').querySelectorAll('button, input')].indexOf(document.activeElement);
  $('run-list').replaceChildren(...runs.map(listItem));
  if (focused >= 0) $('run-list').querySelectorAll('button, input')[focused]?.focus({preventScroll: true});
}

function showCharts() {
  const options = {logX: $('log-x').checked, logY: $('log-y').checked};
  const known = selected.filter((id) => logs.get(id)?.curves);
  const several = known.length > 1;
  kinds.forEach(([word, names], i) => {
    const series = known.flatMap((id) => Object.entries(names).map(([name, meaning], n) => ({
      name: joined(several ? `${id} ${byId(id)?.name ?? ''}` : '', meaning && say(meaning)),
      colour: several ? colourOf(id) : n,
      dashed: several && n > 0,
      points: logs.get(id).curves[name] || [],
    })));
    charts[i].setTitle(say(word));
    charts[i].draw(series, options);
  });
  const notes = [];
  const damaged = known.reduce((sum, id) => sum + logs.get(id).damaged_lines, 0);
  if (known.some((id) => !logs.get(id).complete)) notes.push(say('reading'));
  if (damaged) notes.push(say('damaged')(damaged));
  if (known.length && charts.every((c) => c.element.hidden)) notes.push(say('noCurves'));
  $('curve-note').textContent = notes.join(' ');
}

function showSamples() {
  const all = selected.flatMap((id) => (logs.get(id)?.samples || []).map((s) => ({...s, id})));
  all.sort((a, b) => b.step - a.step);
  const state = JSON.stringify([all, selected]);
  if ($('samples').state === state) return;
  $('samples').state = state;
  $('samples-section').hidden = !all.length;
  $('samples').replaceChildren(...all.slice(0, 40).map(({id, step, text}) => element('figure', 'sample',
    element('figcaption', 'quiet', element('i', `key c${colourOf(id)}`), joined(selected.length > 1 ? String(id) : '', `${say('step')} ${step}`)),
    element('p', '', text))));
}

function flat(value, path, out) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) out.set(path, Array.isArray(value) ? JSON.stringify(value) : String(value));
  else for (const [key, member] of Object.entries(value)) flat(member, path ? `${path}.${key}` : key, out);
  return out;
}

function showRecipe() {
  const columns = selected.map((id) => details.get(id)).filter(Boolean).map((run) => flat({
    ...run.recipe, seed: run.seed, code: run.code_version, folder: run.out_dir, metrics: run.metrics, scores: run.scores,
  }, '', new Map()));
  const keys = [...new Set(columns.flatMap((c) => [...c.keys()]))];
  const table = element('table', '', ...keys.map((key) => {
    const cells = columns.map((c) => c.get(key) ?? '–');
    const row = element('tr', new Set(cells).size > 1 ? 'differs' : '', element('th', '', key), ...cells.map((text) => element('td', '', text)));
    return row;
  }));
  if (columns.length > 1) {
    table.prepend(element('tr', '', element('th'), ...selected.filter((id) => details.has(id)).map((id) =>
      element('th', '', element('i', `key c${colourOf(id)}`), String(id)))));
  }
  $('recipe').replaceChildren(table);
}

function showHead() {
  const chosen = selected.map(byId).filter(Boolean);
  $('title').textContent = chosen.length === 1 ? `${chosen[0].id} ${chosen[0].name}` : say('comparing')(chosen.length);
  $('about').textContent = chosen.length === 1 ?
    joined(say(`kind_${chosen[0].kind}`) || chosen[0].kind, say(`state_${chosen[0].status}`), headline(chosen[0]), duration(chosen[0]), chosen[0].out_dir) : '';
}

let familyState = '';
function showFamily() {
  const state = JSON.stringify([selected, runs.map((r) => [r.id, r.parents, r.status, r.metrics, r.scores]), language()]);
  if (state === familyState) return;
  familyState = state;
  drawFamily($('family'), runs, selected, (run) => joined(say(`kind_${run.kind}`) || run.kind, headline(run)), (id) => select([id]));
}

function show() {
  $('empty').hidden = runs.length > 0;
  $('content').hidden = !runs.length;
  if (!runs.length) return;
  showList();
  showHead();
  showCharts();
  showSamples();
  showRecipe();
  showFamily();
}

// --- asking

async function readRuns() {
  runs = (await askJson('GET', '/runs/all?limit=1000')).runs;
  selected = selected.filter(byId);
  if (!selected.length && runs.length) selected = [runs[0].id];
}

async function readLog(id) {
  const known = logs.get(id);
  const answer = await askJson('GET', `/runs/${id}/curves?version=${known?.version ?? -1}`);
  logs.set(id, {...known, ...answer});
}

// Reads what the selection needs: all of a log, however many requests that takes.
async function readSelected() {
  for (const id of selected) {
    const run = byId(id);
    if (!details.has(id) || run.status === 'running') details.set(id, await askJson('GET', `/runs/${id}`));
    do {
      if (logs.get(id)?.complete && run.status !== 'running' && logs.get(id).status === run.status) break;
      await readLog(id);
      showCharts();
    } while (!logs.get(id).complete && selected.includes(id));
  }
}

let reading = null;
async function refresh() {
  if (reading) return reading;
  reading = (async () => {
    try {
      await readRuns();
      show();
      await readSelected();
      show();
      $('problem').hidden = true;
    } catch (error) {
      $('problem').textContent = error.message;
      $('problem').hidden = false;
    }
    reading = null;
  })();
  return reading;
}

async function select(ids) {
  selected = ids.length ? ids : selected;
  history.replaceState(null, '', `#${selected.join(',')}`);
  show();
  await refresh();
  if (selected.some((id) => !logs.has(id))) refresh();  // chosen while the others were being read
}

function selectFromAddress() {
  const ids = location.hash.slice(1).split(',').map(Number).filter((id) => id > 0);
  if (ids.length) selected = ids.slice(0, kMaxCompared);
}

for (const name of ['log-x', 'log-y']) {
  $(name).checked = load(name, false);
  $(name).onchange = () => {
    store(name, $(name).checked);
    showCharts();
  };
}
addEventListener('hashchange', () => {
  selectFromAddress();
  refresh();
});
setUpFrame(show);
selectFromAddress();
refresh();
let ticks = 0;
setInterval(() => {
  const slow = !runs.some((r) => r.status === 'running');
  if (!document.hidden && (!slow || ++ticks % 5 === 0)) refresh();
}, kPollMs);
