"""The chat page as people use it, in headless Chromium."""

import json
import tempfile
import time

from browser import Browser, skip_without_browser
from harness import Server, check, finish

DONE = "document.querySelectorAll('.message').length === {} && !document.querySelector('.waiting') && " \
       "document.querySelectorAll('.message .tools').length === {}"


def conversation(server, name, title, messages, **more):
    """Puts a conversation on the server; each message is below the one before it."""
    made = []
    for i, (role, content) in enumerate(messages):
        made.append({"id": f"m{i}", "parent": f"m{i - 1}" if i else "", "role": role, "content": content})
    body = {"title": title, "leaf": made[-1]["id"], "messages": made}
    check(server.post(f"/conversations/{name}", body, **more)[0] == 200, f"{name} is written")


def text_of(browser, selector):
    return browser.js(f"document.querySelector({json.dumps(selector)})?.textContent")


def ask(browser, text, messages):
    browser.click("#input")
    browser.type(text)
    browser.press("Enter")
    browser.until(DONE.format(messages, messages))


def stored(server):
    return [server.get(f"/conversations/{c['id']}")[1] for c in server.get("/conversations")[1]["conversations"]]


def test_chat(server, browser):
    browser.open(server.url)
    browser.until("document.querySelector('#model').value === 'tiny'")
    check(browser.js("document.activeElement.id") == "input", "the page is ready to write in")
    # A model with a small context is not asked for more than it has.
    check(browser.js("document.querySelector('#max_tokens').value") == "", "as many tokens as fit")
    # This model seldom ends by itself: an answer that fills its context leaves no room for a question.
    browser.js("document.querySelector('#max_tokens').value = 60; document.querySelector('#max_tokens').onchange()")
    ask(browser, "First <b>question</b>", 2)
    check(browser.js("document.querySelector('.user .body').children.length") == 0, "markup in a question is text")
    check("tokens" in text_of(browser, ".assistant .tools"), "tokens per second")
    check(browser.js("location.hash.length") > 10, "the conversation has an address")
    browser.until("document.querySelectorAll('#chat-list .open').length === 1")
    ask(browser, "Second question", 4)
    # Ask again: a branch, and back.
    answer = text_of(browser, ".message:nth-child(4) .body")
    browser.click(".message:nth-child(4) .tools > button:last-of-type")
    browser.until("document.querySelector('.branches')?.textContent === '2/2'")
    browser.until(DONE.format(4, 4))
    browser.click(".branches button")
    browser.until("document.querySelector('.branches')?.textContent === '1/2'")
    check(text_of(browser, ".message:nth-child(4) .body") == answer, "the first answer is still there")
    # Edit the first question: another branch at the beginning.
    browser.click(".message:nth-child(1) .tools button:last-of-type")
    browser.until("document.activeElement.className === 'editor'")
    browser.js("document.activeElement.select()")
    browser.type("Edited question")
    browser.press("Enter")
    browser.until("document.querySelectorAll('.message').length === 2")
    browser.until(DONE.format(2, 2))
    deadline = time.monotonic() + 10
    while len(kept := stored(server)[0]["messages"]) < 7 and time.monotonic() < deadline:
        time.sleep(0.05)
    check(len(kept) == 7 and kept[0]["content"] == "First <b>question</b>", f"{len(kept)} messages are kept")
    check(sum(m["parent"] == "" for m in kept) == 2, "two beginnings")
    # All of it is there again.
    browser.open(browser.js("location.href"))
    browser.js("location.reload()")
    time.sleep(0.3)
    browser.until(DONE.format(2, 2))
    check(text_of(browser, ".user .body") == "Edited question", "the branch that was shown")
    browser.click(".branches button")
    browser.until(DONE.format(4, 4))
    check(not browser.errors, f"{browser.errors}")


def test_stop(server, browser):
    browser.js("document.querySelector('#max_tokens').value = 3800; document.querySelector('#max_tokens').onchange()")
    browser.js("document.querySelector('#temperature').value = 5; document.querySelector('#temperature').onchange()")
    for way in ("Escape", "button"):
        browser.click("#new-chat")
        browser.click("#input")
        browser.type("Talk for long")
        browser.press("Enter")
        browser.until("document.querySelector('.assistant .body')?.textContent.length > 5")
        browser.press("Escape") if way == "Escape" else browser.click("#send")
        browser.until(DONE.format(2, 2))
        note = text_of(browser, ".assistant .tools")
        if "stopped" not in note:  # it may have been quicker
            check("tokens" in note, f"{way}: {note}")
    deadline = time.monotonic() + 5
    while server.metric("vllm:num_requests_running") and time.monotonic() < deadline:
        time.sleep(0.02)
    check(server.metric("vllm:num_requests_running") == 0, "a stopped answer frees its place")


def test_history(server, browser):
    conversation(server, "bread", "About bread", [("user", "How to bake?"), ("assistant", "With *patience*.")])
    conversation(server, "primes", "素数", [("user", "什么是素数?"), ("assistant", "很难说。")])
    browser.open(server.url + "/?again")
    browser.until("document.querySelectorAll('#chat-list .open').length >= 4")
    browser.press("k", ctrl=True)
    check(browser.js("document.activeElement.id") == "search", "Ctrl+K")
    browser.type("patience")
    browser.until("document.querySelectorAll('#chat-list .open').length === 1")
    check("patience" in text_of(browser, "#chat-list .excerpt"), "excerpt")
    browser.press("ArrowDown")
    browser.press("Enter")
    browser.until("document.querySelector('.assistant em')?.textContent === 'patience'")
    check(browser.js("location.hash") == "#bread", "opened by keys")
    browser.js("document.querySelector('#search').focus()")
    browser.press("Escape")
    browser.until("document.querySelectorAll('#chat-list .open').length >= 4")
    # Rename and delete.
    browser.click("#chat-list .current .plain")
    browser.until("document.activeElement.className === 'rename'")
    browser.js("document.activeElement.select()")
    browser.type("Bread, renamed")
    browser.press("Enter")
    browser.until("document.querySelector('#chat-list .current .title')?.textContent === 'Bread, renamed'")
    deadline = time.monotonic() + 5
    while server.get("/conversations/bread")[1]["title"] != "Bread, renamed" and time.monotonic() < deadline:
        time.sleep(0.02)
    check(server.get("/conversations/bread")[1]["title"] == "Bread, renamed", "renamed")
    browser.click("#chat-list .current .plain:last-child")
    check(text_of(browser, "#chat-list .sure") == "Delete?", "it asks first")
    browser.click("#chat-list .current .plain:last-child")
    browser.until("!document.querySelector('#chat-list .current')")
    check(server.get("/conversations/bread")[0] == 404, "deleted")
    check(browser.js("document.querySelectorAll('.message').length") == 0, "a new chat")
    check(not [e for e in browser.errors if "404" not in e], f"{browser.errors}")


def test_keys_and_size(server, browser):
    """Tab reaches everything with a visible focus; nothing is wider than a telephone."""
    long = "Averylongwordwithoutaspace" * 12
    conversation(server, "wide", long, [("user", long), ("assistant", f"{long}\n\n`{long}`\n\n```\n{long}\n```\n\n| {long} |\n|--|\n\n"
                                                         f"$${'x+' * 200}y$$")])
    browser.open(server.url + "/?wide#wide")
    browser.until("document.querySelectorAll('.code-box').length === 1")
    seen = set()
    browser.js("document.activeElement.blur()")
    for _ in range(40):
        browser.press("Tab")
        seen.add(browser.js("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
        check(browser.js("(() => { const e = document.activeElement; const s = getComputedStyle(e); const p = e.closest('#composer, main');"
                         "return e === document.body || s.outlineStyle !== 'none' || Boolean(p); })()"), "visible focus")
    for name in ("new-chat", "search", "export-json", "open-chats", "model", "language", "theme", "open-settings", "messages", "input", "send"):
        check(name in seen, f"Tab does not reach {name}: {sorted(seen)}")
    for width, height, touch in ((375, 812, True), (1280, 800, False)):
        browser.resize(width, height, touch)
        time.sleep(0.2)
        check(browser.js("document.documentElement.scrollWidth") <= width, f"wider than {width}")
        check(browser.js("(() => { const m = document.querySelector('#messages'); return m.scrollWidth <= m.clientWidth; })()"),
              f"messages are wider than {width}")


def test_many(server, browser):
    """A conversation of 1,000 messages."""
    messages = [("user" if i % 2 == 0 else "assistant", f"Message {i} with **bold** text, $x^{{{i}}}$ and `code`.\n\n- one\n- two")
                for i in range(1000)]
    conversation(server, "many", "Many", messages)
    browser.open(server.url + "/?many")
    browser.until("document.querySelector('#model').value")
    start = time.monotonic()
    browser.js("location.hash = 'many'")
    browser.until("document.querySelectorAll('.message').length === 1000", 30)
    opening = time.monotonic() - start
    check(opening < 6, f"opening 1,000 messages takes {opening:.1f} s")
    browser.until("(() => { const m = document.querySelector('#messages'); return m.scrollHeight - m.scrollTop - m.clientHeight < 80; })()")
    redraw = browser.js("""(async () => { const {showMessages} = await import('/messages.js'); const t = performance.now();
        for (let i = 0; i < 5; ++i) { showMessages(); document.body.offsetHeight; } return (performance.now() - t) / 5; })()""")
    check(redraw < 150, f"drawing again takes {redraw:.0f} ms")
    return opening, redraw


def test_trouble():
    """Without a key, without a disk, without a server: told, and chatting goes on."""
    with Server("--api-key", "secret") as server, Browser() as browser:
        server.headers = {"x-api-key": "secret"}
        browser.open(server.url)
        browser.until("document.querySelector('#model-note').textContent.includes('API key')")
        browser.click("#open-settings")
        browser.click("#key")
        browser.type("secret")
        browser.press("Tab")
        browser.until("document.querySelector('#model').value === 'tiny'")
        ask(browser, "Hello", 2)
    with Server("--no-conversations") as server, Browser(language="zh") as browser:
        browser.open(server.url)
        browser.until("document.querySelector('#model').value === 'tiny'")
        check(text_of(browser, "#new-chat") == "新对话", "Chinese")
        ask(browser, "你好", 2)
        check(not browser.js("document.querySelector('#keeping').hidden"), "the page says that nothing is kept")
        browser.click("#new-chat")
        browser.click("#chat-list .open")
        browser.until(DONE.format(2, 2))
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"no database" * 500)
        file.flush()
        with Server("--conversations-file", file.name) as server, Browser() as browser:
            browser.open(server.url)
            browser.until("document.querySelector('#keeping').textContent.includes('until the server ends')")
            ask(browser, "Hello", 2)
        # The server has gone: what is on the page stays.
        with Browser() as browser:
            with Server() as server:
                browser.open(server.url)
                browser.until("document.querySelector('#model').value === 'tiny'")
                ask(browser, "Hello", 2)
            browser.click("#input")
            browser.type("Are you there?")
            browser.press("Enter")
            browser.until("document.querySelector('.message .error')?.textContent.includes('cannot be reached')")
            check(browser.js("document.querySelectorAll('.message').length") == 4, "messages stay")
            browser.until("document.querySelector('#keeping').textContent.includes('trying again')")


def main():
    skip_without_browser()
    with Server() as server, Browser() as browser:
        test_chat(server, browser)
        test_stop(server, browser)
        test_history(server, browser)
        test_keys_and_size(server, browser)
        opening, redraw = test_many(server, browser)
    test_trouble()
    finish(f"the chat page works; 1,000 messages: opened in {opening:.2f} s, drawn again in {redraw:.0f} ms")


main()
