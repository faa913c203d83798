// Comparing a reply with the accepted answers.
#include <string>
#include <string_view>

#include "data/synth.h"

namespace stepstone {
namespace {

// Full-width and Chinese punctuation to its ASCII counterpart.
constexpr std::pair<std::string_view, char> kPunctuation[] = {
    {"，", ','}, {"。", '.'}, {"！", '!'}, {"？", '?'}, {"：", ':'}, {"；", ';'},
    {"、", ','}, {"（", '('}, {"）", ')'}, {"“", '"'},  {"”", '"'},  {"　", ' '}};

std::string fold(std::string_view text, bool match_case) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    bool replaced = false;
    for (const auto& [wide, ascii] : kPunctuation) {
      if (text.substr(i, wide.size()) != wide) continue;
      out += ascii;
      i += wide.size();
      replaced = true;
      break;
    }
    if (replaced) continue;
    char c = text[i++];
    if (c == '\n' || c == '\t' || c == '\r') c = ' ';
    if (!match_case && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    out += c;
  }
  return out;
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string normalise(std::string_view text, bool match_case) {
  const std::string folded = fold(text, match_case);
  std::string out;
  bool space = false;
  for (const char c : folded) {
    if (c == ' ') {
      space = true;
      continue;
    }
    // Only between two ASCII words does a space mean anything.
    if (space && !out.empty() && is_word(out.back()) && is_word(c)) out += ' ';
    space = false;
    out += c;
  }
  while (!out.empty() && (out.back() == '.' || out.back() == '!')) out.pop_back();
  return out;
}

}  // namespace

bool is_correct(const EvalItem& item, std::string_view reply) {
  // npos + 1 is 0: a reply without working
  if (item.shows_working) reply.remove_prefix(reply.rfind(';') + 1);
  const std::string given = normalise(reply, item.match_case);
  if (given.empty()) return false;
  if (given == normalise(item.answer, item.match_case)) return true;
  for (const std::string& accepted : item.accepted) {
    if (given == normalise(accepted, item.match_case)) return true;
  }
  return false;
}

}  // namespace stepstone
