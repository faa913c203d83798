// A conversation: a tree of messages, one branch of which is shown.

const newId = () =>
  [...crypto.getRandomValues(new Uint8Array(10))].map((b) => b.toString(16).padStart(2, '0')).join('');

export class Conversation {
  constructor({id = newId(), title = '', leaf = '', messages = []} = {}) {
    this.id = id;
    this.title = title;
    this.leaf = leaf;
    this.messages = new Map();
    this.children = new Map();  // parent's id → messages, the oldest first
    this.unsaved = new Set();   // messages that the server does not know as they are
    this.running = null;        // {controller, message} while an answer is written
    for (const message of messages) this.insert(message);
  }

  insert(message) {
    this.messages.set(message.id, message);
    if (!this.children.has(message.parent)) this.children.set(message.parent, []);
    this.children.get(message.parent).push(message);
  }

  // Messages from the first one to the leaf.
  branch() {
    const path = [];
    for (let m = this.messages.get(this.leaf); m; m = this.messages.get(m.parent)) path.push(m);
    return path.reverse();
  }

  // The message and the others in its place.
  siblings(message) {
    return this.children.get(message.parent);
  }

  // A new message below `parent`; it becomes the leaf.
  append(role, content, parent = this.leaf) {
    const message = {id: newId(), parent, role, content, details: {}};
    this.insert(message);
    this.unsaved.add(message);
    this.leaf = message.id;
    return message;
  }

  // Shows the branch of `message`, from it on the latest.
  choose(message) {
    let last = message;
    for (let next; (next = this.children.get(last.id)?.at(-1));) last = next;
    this.leaf = last.id;
  }

  // What the messages are to an answer below `leaf`.
  prompt(leaf) {
    const path = [];
    for (let m = this.messages.get(leaf); m; m = this.messages.get(m.parent)) {
      if (m.content) path.push({role: m.role, content: m.content});
    }
    return path.reverse();
  }
}
