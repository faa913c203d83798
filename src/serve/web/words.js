// What the page says, in each of its languages.
const words = {
  en: {
    other: '中文', newChat: 'New chat', exportChat: 'Export this chat', system: 'System message',
    temperature: 'Temperature', repeat: 'Repeat penalty', maxTokens: 'Tokens per answer',
    seed: 'Seed (empty: random)', key: 'API key', defaults: 'Defaults', placeholder: 'Write a message…',
    send: 'Send (Enter)', stop: 'Stop (Esc)', settings: 'Settings', chats: 'Chats', theme: 'Light or dark',
    edit: 'Edit', regenerate: 'Again', copy: 'Copy', copied: 'Copied', remove: 'Delete',
    save: 'Send', cancel: 'Cancel', welcome: 'Ask something. Nothing leaves this server.',
    loading: 'The model is being loaded…', needKey: 'This server wants an API key: see Settings.',
    stopped: 'stopped', cut: 'cut at the token limit', rate: (n, s) => `${n} tokens, ${s} per second`,
    failed: 'The server cannot be reached.', untitled: 'New chat',
  },
  zh: {
    other: 'English', newChat: '新对话', exportChat: '导出此对话', system: '系统消息',
    temperature: '温度', repeat: '重复惩罚', maxTokens: '每次回答的词元数',
    seed: '随机种子(留空则随机)', key: 'API 密钥', defaults: '恢复默认', placeholder: '输入消息…',
    send: '发送(回车)', stop: '停止(Esc)', settings: '设置', chats: '对话', theme: '浅色或深色',
    edit: '编辑', regenerate: '重新回答', copy: '复制', copied: '已复制', remove: '删除',
    save: '发送', cancel: '取消', welcome: '问点什么吧。内容不会离开这台服务器。',
    loading: '模型正在加载…', needKey: '此服务器需要 API 密钥:请打开设置。',
    stopped: '已停止', cut: '已达到词元上限', rate: (n, s) => `${n} 个词元,每秒 ${s} 个`,
    failed: '无法连接服务器。', untitled: '新对话',
  },
};

let language = localStorage.getItem('language') ||
  (navigator.language.startsWith('zh') ? 'zh' : 'en');

export const say = (key) => words[language][key];

export function switchLanguage() {
  language = language === 'en' ? 'zh' : 'en';
  localStorage.setItem('language', language);
  applyWords();
}

export function applyWords() {
  document.documentElement.lang = language;
  for (const e of document.querySelectorAll('[data-text]')) e.textContent = say(e.dataset.text);
  for (const e of document.querySelectorAll('[data-title]')) {
    e.title = say(e.dataset.title);
    e.setAttribute('aria-label', e.title);
  }
  for (const e of document.querySelectorAll('[data-placeholder]')) {
    e.placeholder = say(e.dataset.placeholder);
  }
  document.getElementById('language').textContent = say('other');
}
