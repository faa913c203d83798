// The chat in a terminal: commands and messages in, answers out as they come.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "infer/chat_session.h"
#include "infer/input_lines.h"

namespace stepstone {

// How the chat reaches the world; tests put their own in.
struct ChatConsole {
  std::function<InputLines::Result(std::string& line)> read;
  std::function<void(std::string_view)> out;    // answers alone
  std::function<void(std::string_view)> notes;  // prompts, help, complaints
  // True once after each Ctrl-C.
  std::function<bool()> interrupted;
  bool terminal = false;  // people at both ends: prompts are shown, control characters made visible
  bool verbose = false;   // speed after each answer
};

enum class ChatEnd : std::uint8_t {
  done,
  failed,       // done, but there were lines that failed
  interrupted,  // by Ctrl-C, without a terminal: at one it ends an answer, never the chat
};

// Runs until the end of the input or /quit. Errors of the conversation and of commands are notes,
// not exceptions. A person has seen them; a program at the other end is told by ChatEnd::failed.
ChatEnd run_chat(ChatSession& session, const ChatConsole& console);

// Control characters but line break and tab as U+FFFD: a model must not steer the terminal.
std::string without_controls(std::string_view text);

}  // namespace stepstone
