// What a request asks for beside its messages: the model, the system message, the sampler's numbers.
import {ask, askJson} from './api.js';
import {$, element, load, store} from './frame.js';
import {say} from './words.js';

const defaults = {
  system: '', temperature: 0.8, top_p: 0.95, top_k: 40, min_p: 0.05, repeat_penalty: 1,
  max_tokens: '', seed: '', key: '',
};
const numbers = ['temperature', 'top_p', 'top_k', 'min_p', 'repeat_penalty', 'max_tokens', 'seed'];
let settings = {...defaults, ...load('settings', {})};
let models = [];
let asking = 0;

// The body of a request for an answer to `messages`.
export function requestBody(messages) {
  const body = {messages, stream: true, stream_options: {include_usage: true}};
  if (settings.system) body.messages = [{role: 'system', content: settings.system}, ...messages];
  if ($('model').value) body.model = $('model').value;
  for (const name of numbers) {
    if (settings[name] !== '') body[name] = Number(settings[name]);
  }
  return body;
}

// Fills the picker; asks again until every model is loaded or failed.
export async function showModels() {
  const number = ++asking;
  let note = '';
  try {
    models = (await askJson('GET', '/v1/models')).data;
  } catch (error) {
    models = [];
    note = error.message;
    if (error.status !== 401) setTimeout(() => number === asking && showModels(), 1500);
  }
  if (number !== asking) return;
  const chosen = $('model').value || load('model', '');
  $('model').replaceChildren(...models.map(({id, status}) => {
    const option = element('option', '', status.value === 'loaded' ? id : `${id} (${say(`state_${status.value}`)})`);
    option.value = id;
    option.selected = id === chosen;
    return option;
  }));
  $('model').hidden = !models.length;
  if (models.some((m) => m.status.value === 'loading')) {
    note = say('loading');
    setTimeout(() => number === asking && showModels(), 700);
  }
  $('model-note').textContent = models.length > 1 && !note.length ? '' : note;
}

function save() {
  store('settings', settings);
}

function showSettings() {
  for (const name of Object.keys(defaults)) $(name).value = settings[name];
}

// `onKey` is called when another API key was given.
export function setUpSettings({onKey, notice}) {
  for (const name of Object.keys(defaults)) {
    $(name).onchange = () => {
      if (!$(name).reportValidity()) return;
      settings[name] = $(name).value;
      save();
      if (name === 'key') onKey();
    };
  }
  $('reset-settings').onclick = () => {
    settings = {...defaults, key: settings.key};
    save();
    showSettings();
  };
  $('model').onchange = async () => {
    store('model', $('model').value);
    const model = models.find((m) => m.id === $('model').value);
    if (model.status.value !== 'unloaded') return;
    await ask('POST', '/models/load', {body: {model: model.id}}).catch((error) => notice(error.message));
    showModels();
  };
  showSettings();
}
