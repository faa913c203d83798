#include "infer/chat_console.h"

#include <array>

#include "core/suggest.h"
#include "data/utf8.h"
#include "io/paths.h"

namespace stepstone {
namespace {

constexpr std::string_view kHelp =
    "/help          this list\n"
    "/reset         begin a new conversation\n"
    "/regen         another answer to the last message\n"
    "/system TEXT   set the system message (without TEXT: none)\n"
    "/save FILE     save the conversation as one JSON line\n"
    "/quit          end (so does Ctrl-D); Ctrl-C ends an answer\n";

class Loop {
 public:
  Loop(ChatSession& session, const ChatConsole& console) : session_(session), console_(console) {}

  ChatEnd run() {
    if (console_.terminal) console_.notes("Write a message, or /help. Ctrl-D ends.\n");
    for (std::string line;;) {
      if (console_.terminal) console_.notes("> ");
      const InputLines::Result result = console_.read(line);
      ++line_number_;
      switch (result) {
        case InputLines::Result::line:
          if (!handle(line)) return end();
          break;
        case InputLines::Result::too_long:
          refuse("that line is too long (the limit is 1 MiB); it was not sent");
          break;
        case InputLines::Result::interrupted:
          if (!console_.terminal) return ChatEnd::interrupted;
          (void)console_.interrupted();
          console_.notes("\n(Ctrl-D or /quit ends the chat)\n");
          break;
        case InputLines::Result::end:
          if (console_.terminal) console_.notes("\n");
          return end();
      }
    }
  }

 private:
  ChatEnd end() const { return failed_ && !console_.terminal ? ChatEnd::failed : ChatEnd::done; }

  // False to end the chat.
  bool handle(const std::string& line) {
    if (line.empty()) {
      if (!console_.terminal) console_.out("\n");  // answers stay in step with lines
      return true;
    }
    try {
      if (const auto invalid = find_invalid_utf8(line)) {
        throw Error(fmt::format("text (byte {}): is not valid UTF-8", *invalid));
      }
      if (line.front() == '/') return command(line);
      answer(
          [&](const auto& on_text) { return session_.ask(line, on_text, console_.interrupted); });
    } catch (const Error& error) {
      if (line.front() == '/') {
        failed_ = true;
        console_.notes(fmt::format("{}\n", error.what()));
      } else {
        refuse(error.what());
      }
    }
    return true;
  }

  // A message that gets no answer. A program at the other end gets an empty line for it.
  void refuse(std::string_view why) {
    failed_ = true;
    if (console_.terminal) {
      console_.notes(fmt::format("{}\n", why));
    } else {
      console_.notes(fmt::format("line {}: {}\n", line_number_, why));
      console_.out("\n");
    }
  }

  bool command(const std::string& line) {
    const std::size_t space = line.find_first_of(" \t");
    const std::string name = line.substr(0, space);
    std::string rest;
    if (const auto begin = line.find_first_not_of(" \t", name.size()); begin != std::string::npos) {
      rest = line.substr(begin, line.find_last_not_of(" \t") + 1 - begin);
    }
    if (name == "/quit" || name == "/exit") return false;
    if (name == "/help") {
      console_.notes(kHelp);
    } else if (name == "/reset") {
      session_.reset();
      console_.notes("new conversation\n");
    } else if (name == "/regen") {
      answer(
          [&](const auto& on_text) { return session_.regenerate(on_text, console_.interrupted); });
    } else if (name == "/system") {
      session_.set_system(rest);
      console_.notes(rest.empty() ? "no system message\n" : "system message set\n");
    } else if (name == "/save") {
      require<UsageError>(!rest.empty(), "/save needs the name of a file");
      const auto file = expand_home(rest);
      session_.save(file);
      console_.notes(fmt::format("saved {}\n", file.string()));
    } else {
      static const std::array<std::string, 6> kNames = {"/help",   "/reset", "/regen",
                                                        "/system", "/save",  "/quit"};
      throw UsageError(
          fmt::format("unknown command {}{}; see /help", name, did_you_mean(name, kNames)));
    }
    return true;
  }

  template <typename Ask>
  void answer(Ask&& ask) {
    (void)console_.interrupted();  // one that came too late for the last answer
    const ChatSession::Reply reply = ask([this](std::string_view text) {
      console_.out(console_.terminal ? without_controls(text) : std::string(text));
    });
    console_.out("\n");
    const Generation& made = reply.generation;
    if (made.reason == FinishReason::context_full) {
      console_.notes("(the context is full: the answer ends here)\n");
    } else if (made.reason == FinishReason::max_tokens && console_.terminal) {
      console_.notes("(cut off; -n allows longer answers)\n");
    }
    if (reply.dropped > dropped_) {
      console_.notes("(the context is full: the oldest messages are forgotten)\n");
    }
    dropped_ = reply.dropped;
    if (console_.verbose) {
      const EngineUsage& u = made.usage;
      console_.notes(
          fmt::format("({} tokens read, {} of them known; {} written, {:.0f} per second)\n",
                      u.prompt_tokens, u.cached_tokens, u.completion_tokens, decode_rate(u)));
    }
  }

  ChatSession& session_;
  const ChatConsole& console_;
  std::size_t dropped_ = 0;
  std::int64_t line_number_ = 0;  // of the input
  bool failed_ = false;
};

}  // namespace

ChatEnd run_chat(ChatSession& session, const ChatConsole& console) {
  return Loop(session, console).run();
}

std::string without_controls(std::string_view text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
      out += kReplacement;
    } else if (c == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F
      out += kReplacement;
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace stepstone
