// What the pages say, in each of their languages.
const words = {
  en: {
    other: '中文', newChat: 'New chat', exportChat: 'Export', exportTuning: 'A line of training data',
    system: 'System message', temperature: 'Temperature', repeat: 'Repeat penalty', maxTokens: 'Most tokens', maxHint: 'all that fit',
    seed: 'Seed (empty: random)', key: 'API key', defaults: 'Defaults', placeholder: 'Write a message…',
    send: 'Send', sendHint: 'Send (Enter)', stop: 'Stop (Esc)', settings: 'Settings', chats: 'Chats',
    theme: 'Light or dark', model: 'Model', messages: 'Messages', runs: 'Runs', toEnd: 'To the end',
    user: 'You', assistant: 'Assistant', edit: 'Edit', regenerate: 'Answer again', copy: 'Copy', remove: 'Delete',
    sure: 'Delete?', rename: 'Rename', cancel: 'Cancel', earlier: 'Earlier version', later: 'Later version',
    search: 'Search (Ctrl+K)', nothing: 'Nothing was found.', noChats: 'What you ask will be listed here.',
    more: 'Show more', today: 'Today', yesterday: 'Yesterday', week: 'Last 7 days', older: 'Older',
    welcome: 'What would you like to know?', private: 'Nothing leaves this server.',
    examples: ['Why is the sky blue?', 'Write a haiku about rain.', 'Prove that √2 is irrational.'],
    loading: 'being loaded…', failed: 'The server cannot be reached.',
    cutOff: 'The connection ended before the answer did.',
    needKey: 'This server wants an API key: see Settings.', thinking: 'Thinking…', thought: 'Thoughts',
    stopped: 'stopped', cut: 'cut at the token limit', tokens: (n) => `${n} tokens`, rate: (n) => `${n} per second`,
    untitled: 'New chat', keptNowhere: 'This server keeps no chats: they are lost with this page.',
    keptInMemory: (why) => `Chats are kept until the server ends (${why}).`,
    notKept: (why) => `Not saved yet; trying again. ${why}`,
    noRuns: 'Nothing was trained here yet.', noRunsHint: 'This makes a small model from nothing, and it shows up here:',
    compare: 'Compare', compareHint: 'Tick several runs to compare them.', comparing: (n) => `${n} runs`,
    curves: 'Curves', logX: 'Steps as logarithms', logY: 'Values as logarithms', samples: 'Samples while training',
    family: 'Family', recipe: 'Settings', step: 'step', reading: 'The log is being read…',
    damaged: (n) => `Damaged lines of the log, left out: ${n}.`, noCurves: 'There is no log of this run.',
    loss: 'Loss (nats per token)', training: 'training', validation: 'validation', bpb: 'Validation, bits per byte', speed: 'Tokens per second',
    learningRate: 'Learning rate (share of the peak)', gradient: 'Gradient norm',
    state_running: 'running', state_done: 'done', state_failed: 'failed', state_stopped: 'stopped',
    state_loading: 'being loaded…', state_unloaded: 'not loaded', kind_train: 'training', kind_tune: 'tuning',
    kind_eval: 'evaluation', kind_quantize: 'quantising',
  },
  zh: {
    other: 'English', newChat: '新对话', exportChat: '导出', exportTuning: '一行训练数据', system: '系统消息',
    temperature: '温度', repeat: '重复惩罚', maxTokens: '最多词元数', maxHint: '不限', seed: '随机种子(留空则随机)',
    key: 'API 密钥', defaults: '恢复默认', placeholder: '输入消息…', send: '发送', sendHint: '发送(回车)',
    stop: '停止(Esc)', settings: '设置', chats: '对话', theme: '浅色或深色', model: '模型', messages: '消息',
    runs: '训练记录', toEnd: '到末尾', user: '你', assistant: '助手', edit: '编辑', regenerate: '重新回答',
    copy: '复制', remove: '删除', sure: '确认删除', rename: '重命名', cancel: '取消', earlier: '上一版本',
    later: '下一版本', search: '搜索(Ctrl+K)', nothing: '没有找到。', noChats: '你的对话会列在这里。',
    more: '显示更多', today: '今天', yesterday: '昨天', week: '最近 7 天', older: '更早',
    welcome: '想了解点什么?', private: '内容不会离开这台服务器。',
    examples: ['天空为什么是蓝色的?', '写一首关于雨的俳句。', '证明 √2 是无理数。'],
    loading: '正在加载…', failed: '无法连接服务器。', cutOff: '回答结束前连接已中断。',
    needKey: '此服务器需要 API 密钥:请打开设置。', thinking: '思考中…', thought: '思考过程',
    stopped: '已停止', cut: '已达到词元上限', tokens: (n) => `${n} 个词元`, rate: (n) => `每秒 ${n} 个`,
    untitled: '新对话', keptNowhere: '此服务器不保存对话:关闭页面后即丢失。',
    keptInMemory: (why) => `对话只保存到服务器结束为止(${why})。`,
    notKept: (why) => `尚未保存,正在重试。${why}`,
    noRuns: '这里还没有训练过模型。', noRunsHint: '这条命令从零训练一个小模型,结果会显示在这里:',
    compare: '比较', compareHint: '勾选多个训练以进行比较。', comparing: (n) => `${n} 个训练`,
    curves: '曲线', logX: '步数取对数', logY: '数值取对数', samples: '训练中的样本', family: '家谱', recipe: '设置',
    step: '步', reading: '正在读取日志…', damaged: (n) => `日志中有 ${n} 行损坏,已略过。`, noCurves: '此训练没有日志。',
    loss: '损失(每词元奈特)', training: '训练', validation: '验证', bpb: '验证:每字节比特', speed: '每秒词元数', learningRate: '学习率(占峰值)',
    gradient: '梯度范数', state_running: '进行中', state_done: '完成', state_failed: '失败', state_stopped: '已停止',
    state_loading: '正在加载…', state_unloaded: '未加载', kind_train: '预训练', kind_tune: '微调',
    kind_eval: '评测', kind_quantize: '量化',
  },
};

function remembered() {
  try {
    return localStorage.getItem('language');
  } catch {
    return null;
  }
}
let current = remembered() || (navigator.language.startsWith('zh') ? 'zh' : 'en');

export const language = () => current;
export const say = (key) => words[current][key];

export function switchLanguage() {
  current = current === 'en' ? 'zh' : 'en';
  try {
    localStorage.setItem('language', current);
  } catch { /* a browser that remembers nothing */ }
  applyWords();
}

export function applyWords() {
  document.documentElement.lang = current;
  for (const e of document.querySelectorAll('[data-text]')) {
    const icon = e.querySelector('.icon');
    e.replaceChildren(...(icon ? [icon] : []), say(e.dataset.text));
  }
  for (const e of document.querySelectorAll('[data-title]')) {
    e.title = say(e.dataset.title);
    e.setAttribute('aria-label', e.title);
  }
  for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', say(e.dataset.label));
  for (const e of document.querySelectorAll('[data-placeholder]')) e.placeholder = say(e.dataset.placeholder);
  document.getElementById('language').textContent = say('other');
}
