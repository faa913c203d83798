#include "serve/tool_call_parser.h"

#include <algorithm>
#include <utility>

#include "io/json.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// Bytes at the end of `text` that could be the beginning of `marker`, white space before included.
std::size_t open_end(std::string_view text, std::string_view marker) {
  std::size_t n = std::min(text.size(), marker.size() - 1);
  while (n > 0 && !marker.starts_with(text.substr(text.size() - n))) --n;
  while (n < text.size() && is_space(text[text.size() - n - 1])) ++n;
  return n;
}

std::string_view trimmed_right(std::string_view text) {
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

CallScanner::State CallScanner::take(char c) {
  switch (phase_) {
    case Phase::open:
      if (is_space(c)) return State::more;
      phase_ = Phase::key;
      return c == '{' ? State::more : State::bad;
    case Phase::key:
      if (is_space(c)) return State::more;
      if (c == '}' && first_key_) return State::done;
      first_key_ = false;
      key_.clear();
      phase_ = Phase::in_key;
      return c == '"' ? State::more : State::bad;
    case Phase::in_key:
      if (c == '"') {
        key_is_arguments_ = key_ == "arguments" || key_ == "parameters";
        phase_ = Phase::colon;
      } else {
        key_ += c;
      }
      return c == '\\' ? State::bad : State::more;
    case Phase::colon:
      if (is_space(c)) return State::more;
      phase_ = Phase::value;
      return c == ':' ? State::more : State::bad;
    case Phase::value:
      if (is_space(c)) return State::more;
      value_.clear();
      depth_ = 0;
      in_string_ = escaped_ = false;
      phase_ = Phase::in_value;
      if (c == ',' || c == '}' || c == ']') return State::bad;
      return take_value(c);
    case Phase::in_value:
      return take_value(c);
    case Phase::after:
      if (is_space(c)) return State::more;
      if (c == '}') return State::done;
      phase_ = Phase::key;
      return c == ',' ? State::more : State::bad;
  }
  return State::bad;
}

CallScanner::State CallScanner::take_value(char c) {
  const bool scalar_ends =
      !in_string_ && depth_ == 0 && !value_.empty() && (is_space(c) || c == ',' || c == '}');
  if (scalar_ends) {
    phase_ = Phase::after;
    return end_value() ? take(c) : State::bad;
  }
  value_ += c;
  bool closed = false;
  if (in_string_) {
    const bool escape = std::exchange(escaped_, c == '\\' && !escaped_);
    if (c == '"' && !escape) {
      in_string_ = false;
      closed = depth_ == 0;
    }
  } else if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (c == '}' || c == ']') {
    closed = --depth_ == 0;
    if (depth_ < 0) return State::bad;
  }
  if (streams()) arguments_ += c;
  if (!closed) return State::more;
  phase_ = Phase::after;
  return end_value() ? State::more : State::bad;
}

// False for a name that is no string.
bool CallScanner::end_value() {
  const bool wanted = key_ == "name" || (key_is_arguments_ && value_[0] == '"');
  if (!wanted) return true;
  const Json value = Json::parse(value_, nullptr, false);
  if (!value.is_string()) return false;
  (key_ == "name" ? name_.emplace() : arguments_) = value.get<std::string>();
  return true;
}

std::string CallScanner::take_arguments() {
  return name_ ? std::exchange(arguments_, {}) : std::string();
}

ToolCallParser::ToolCallParser(ToolStyle style, std::vector<std::string> names, bool in_call,
                               std::size_t max_calls)
    : style_(style), names_(std::move(names)), max_calls_(max_calls) {
  where_ = in_call ? Where::open : style == ToolStyle::llama3 ? Where::begin : Where::text;
}

AnswerPiece ToolCallParser::push(std::string_view text) {
  held_ += text;
  AnswerPiece out;
  while (step(out)) {
  }
  return out;
}

AnswerPiece ToolCallParser::finish() {
  AnswerPiece out;
  if (where_ == Where::call && !said_name_) give_up(out);
  if (where_ == Where::begin || where_ == Where::text || where_ == Where::plain) out.text += held_;
  held_.clear();
  return out;
}

// Takes some of what is held; false when more has to come first.
bool ToolCallParser::step(AnswerPiece& out) {
  switch (where_) {
    case Where::begin:
      return step_begin(out);
    case Where::text:
      return step_text(out);
    case Where::open:
      return step_open(out);
    case Where::named:
      return step_named(out);
    case Where::call:
      return step_call(out);
    case Where::closing:
      return step_closing(out);
    case Where::plain:
      out.text += std::exchange(held_, {});
      return false;
  }
  return false;
}

bool ToolCallParser::skip_space() {
  const auto begin = std::ranges::find_if_not(held_, is_space);
  held_.erase(held_.begin(), begin);
  return !held_.empty();
}

// Llama 3: an answer is a call when it begins like one.
bool ToolCallParser::step_begin(AnswerPiece&) {
  const auto start = std::ranges::find_if_not(held_, is_space) - held_.begin();
  const auto rest = std::string_view(held_).substr(static_cast<std::size_t>(start));
  if (rest.starts_with(kLlamaTag)) {
    held_ = rest.substr(kLlamaTag.size());
    where_ = Where::open;
    return true;
  }
  if (kLlamaTag.starts_with(rest)) return false;
  if (rest[0] == '{') {
    begin_call();
  } else {
    where_ = Where::plain;
  }
  return true;
}

bool ToolCallParser::step_text(AnswerPiece& out) {
  const std::string_view marker = style_ == ToolStyle::hermes ? kHermesOpen : kMistralOpen;
  const auto at = held_.find(marker);
  if (at == std::string::npos) {
    const std::size_t shown = held_.size() - open_end(held_, marker);
    out.text += held_.substr(0, shown);
    held_.erase(0, shown);
    return false;
  }
  out.text += trimmed_right(std::string_view(held_).substr(0, at));
  held_.erase(0, at + marker.size());
  where_ = Where::open;
  return true;
}

// After what opens a call.
bool ToolCallParser::step_open(AnswerPiece&) {
  if (!skip_space()) return false;
  if (style_ == ToolStyle::mistral && held_[0] == '[') {
    held_.erase(0, 1);
    return true;
  }
  if (style_ == ToolStyle::mistral && held_[0] != '{') {
    where_ = Where::named;
  } else {
    begin_call();
  }
  return true;
}

// NAME[ARGS]{…} is read as {"name": "NAME", "arguments": {…}}.
bool ToolCallParser::step_named(AnswerPiece& out) {
  const auto at = held_.find('{');
  if (at == std::string::npos) return false;
  std::string name(trimmed_right(std::string_view(held_).substr(0, at)));
  if (name.ends_with(kMistralArguments)) name.resize(name.size() - kMistralArguments.size());
  held_.erase(0, at);
  begin_call();
  for (const char c : fmt::format("{{\"name\":{},\"arguments\":", dump_json(to_utf8_lossy(name)))) {
    take_call_byte(c, out);
  }
  named_ = true;
  return true;
}

void ToolCallParser::begin_call() {
  scanner_ = {};
  raw_.clear();
  named_ = said_name_ = said_arguments_ = false;
  where_ = Where::call;
}

bool ToolCallParser::step_call(AnswerPiece& out) {
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (take_call_byte(held_[i], out)) continue;
    held_.erase(0, i + 1);
    return true;
  }
  held_.clear();
  say_call(out);
  return false;
}

// False when the call ends with this byte.
bool ToolCallParser::take_call_byte(char c, AnswerPiece& out) {
  raw_ += c;
  CallScanner::State state = scanner_.take(c);
  if (named_ && state == CallScanner::State::more && scanner_.closed_value()) {
    state = scanner_.take('}');
  }
  if (state == CallScanner::State::more) return true;
  const bool is_call = scanner_.name() && (style_ != ToolStyle::llama3 || known(*scanner_.name()));
  if (state == CallScanner::State::bad || !is_call) {
    if (said_name_) {
      ++calls_;
      where_ = Where::plain;
    } else {
      give_up(out);
    }
    return false;
  }
  say_call(out);
  if (!said_arguments_ && calls_ < max_calls_) out.calls.push_back({calls_, {}, "{}"});
  ++calls_;
  where_ = Where::closing;
  return false;
}

// Passes on what is known of the call.
void ToolCallParser::say_call(AnswerPiece& out) {
  if (!scanner_.name() || calls_ >= max_calls_) return;
  if (style_ == ToolStyle::llama3 && !known(*scanner_.name())) return;
  ToolCallPiece piece{calls_, {}, scanner_.take_arguments()};
  if (!std::exchange(said_name_, true)) piece.name = *scanner_.name();
  said_arguments_ |= !piece.arguments.empty();
  if (!piece.name.empty() || !piece.arguments.empty()) out.calls.push_back(std::move(piece));
}

// It was no call: what was held back is text, and so is all that follows.
void ToolCallParser::give_up(AnswerPiece& out) {
  if (style_ == ToolStyle::hermes) out.text += kHermesOpen;
  out.text += std::exchange(raw_, {});
  where_ = Where::plain;
}

// After a call.
bool ToolCallParser::step_closing(AnswerPiece&) {
  if (!skip_space()) return false;
  if (style_ == ToolStyle::hermes) {
    if (held_.starts_with(kHermesClose)) {
      held_.erase(0, kHermesClose.size());
      return true;
    }
    if (kHermesClose.starts_with(held_)) return false;
    where_ = Where::text;
    return true;
  }
  const char c = held_[0];
  if (c == ',' || c == ';' || c == ']') {
    held_.erase(0, 1);
  } else if (c == '{') {
    begin_call();
  } else {
    where_ = style_ == ToolStyle::mistral ? Where::text : Where::plain;
  }
  return true;
}

bool ToolCallParser::known(const std::string& name) const {
  return std::ranges::find(names_, name) != names_.end();
}

}  // namespace stepstone
