// A model's answer as it is written: what is text and what is a call of a function.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/tool_style.h"

namespace stepstone {

// One JSON object {"name": …, "arguments" or "parameters": …}, byte by byte: the arguments can be
// passed on before they are complete. What lies inside them is not checked but for its brackets.
class CallScanner {
 public:
  enum class State : std::uint8_t { more, done, bad };
  State take(char c);

  const std::optional<std::string>& name() const { return name_; }
  // A value was just completed.
  bool closed_value() const { return phase_ == Phase::after; }
  // Of the arguments, what has come since the last call; only once the name is known.
  std::string take_arguments();

 private:
  enum class Phase : std::uint8_t { open, key, in_key, colon, value, in_value, after };
  State take_value(char c);
  bool end_value();
  bool streams() const { return key_is_arguments_ && !value_.empty() && value_[0] != '"'; }

  Phase phase_ = Phase::open;
  bool first_key_ = true, escaped_ = false, in_string_ = false, key_is_arguments_ = false;
  int depth_ = 0;
  std::string key_, value_, arguments_;
  std::optional<std::string> name_;
};

struct ToolCallPiece {
  std::size_t call = 0;        // which one of the answer
  std::string name = {};       // in its first piece
  std::string arguments = {};  // the next bytes
};

struct AnswerPiece {
  std::string text;
  std::vector<ToolCallPiece> calls;
};

class ToolCallParser {
 public:
  // `names`: of the functions that there are. `in_call`: the answer begins inside a call, after
  // what opens one. Calls after the first `max_calls` are dropped.
  ToolCallParser(ToolStyle style, std::vector<std::string> names, bool in_call,
                 std::size_t max_calls);

  AnswerPiece push(std::string_view text);
  // What was held back, at the end.
  AnswerPiece finish();
  std::size_t calls() const { return calls_; }

 private:
  enum class Where : std::uint8_t { begin, text, open, named, call, closing, plain };

  bool step(AnswerPiece& out);
  bool step_begin(AnswerPiece& out);
  bool step_text(AnswerPiece& out);
  bool step_open(AnswerPiece& out);
  bool step_named(AnswerPiece& out);
  bool step_call(AnswerPiece& out);
  bool step_closing(AnswerPiece& out);
  void begin_call();
  bool take_call_byte(char c, AnswerPiece& out);
  void say_call(AnswerPiece& out);
  void give_up(AnswerPiece& out);
  bool known(const std::string& name) const;
  bool skip_space();

  ToolStyle style_;
  std::vector<std::string> names_;
  std::size_t max_calls_;
  Where where_;
  std::string held_;  // not looked at yet
  std::string raw_;   // all of the call so far
  CallScanner scanner_;
  bool named_ = false;  // the call is one of NAME[ARGS]{…}
  bool said_name_ = false, said_arguments_ = false;
  std::size_t calls_ = 0;
};

}  // namespace stepstone
