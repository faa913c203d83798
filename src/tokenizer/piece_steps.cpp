#include "tokenizer/piece_steps.h"

#include <utf8proc.h>

#include <memory>

#include "core/error.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/text_steps.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

enum class Behavior : std::uint8_t { removed, isolated, with_previous, with_next, contiguous };

Behavior behavior_of(const std::string& name, const std::string& field, const std::string& file) {
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::with_previous;
  if (name == "MergedWithNext") return Behavior::with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  throw FormatError(file, field + ".behavior", fmt::format("\"{}\" is not supported", name));
}

struct Part {
  std::size_t begin, end;
  bool match;
};

// What a behaviour makes of matches and the stretches between them; in bytes of the piece.
template <typename F>
void arrange(const std::vector<Part>& parts, Behavior behavior, F&& give) {
  switch (behavior) {
    case Behavior::removed:
      for (const Part& part : parts) {
        if (!part.match) give(part.begin, part.end);
      }
      break;
    case Behavior::isolated:
      for (const Part& part : parts) give(part.begin, part.end);
      break;
    case Behavior::contiguous:
      for (std::size_t i = 0; i < parts.size();) {
        std::size_t j = i + 1;
        while (j < parts.size() && parts[j].match == parts[i].match) ++j;
        give(parts[i].begin, parts[j - 1].end);
        i = j;
      }
      break;
    case Behavior::with_previous:
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool joins = !parts[i].match && i + 1 < parts.size() && parts[i + 1].match;
        give(parts[i].begin, parts[joins ? i + 1 : i].end);
        i += joins;
      }
      break;
    case Behavior::with_next:
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool joins = parts[i].match && i + 1 < parts.size() && !parts[i + 1].match;
        give(parts[i].begin, parts[joins ? i + 1 : i].end);
        i += joins;
      }
      break;
  }
}

// Cuts every piece where find(piece, parts) says.
template <typename F>
void cut(Pieces& pieces, Behavior behavior, F&& find) {
  std::vector<Pieces::Range> ranges;
  std::vector<Part> parts;
  for (std::size_t i = 0; i < pieces.ranges.size(); ++i) {
    parts.clear();
    find(pieces[i], parts);
    const std::size_t base = pieces.ranges[i].begin;
    arrange(parts, behavior, [&](std::size_t begin, std::size_t end) {
      if (begin < end) ranges.push_back({base + begin, base + end});
    });
  }
  pieces.ranges = std::move(ranges);
}

// A step whose matches are the single characters of a kind.
template <typename F>
PieceStep character_step(Behavior behavior, F is_match) {
  return [behavior, is_match](Pieces& pieces, bool) {
    cut(pieces, behavior, [&](std::string_view piece, std::vector<Part>& parts) {
      const char* const end = piece.data() + piece.size();
      for (std::size_t at = 0; at < piece.size();) {
        const Utf8Step step = utf8_step(piece.data() + at, end);
        const std::size_t next = at + static_cast<std::size_t>(step.length);
        const bool match = is_match(step.code);
        if (!match && !parts.empty() && !parts.back().match) {
          parts.back().end = next;
        } else {
          parts.push_back({at, next, match});
        }
        at = next;
      }
    });
  };
}

PieceStep pattern_step(Matcher matcher, Behavior behavior, bool invert) {
  return [=](Pieces& pieces, bool) {
    cut(pieces, behavior, [&](std::string_view piece, std::vector<Part>& parts) {
      std::size_t done = 0;
      matcher(piece, [&](std::size_t begin, std::size_t end) {
        if (begin > done) parts.push_back({done, begin, invert});
        parts.push_back({begin, end, !invert});
        done = end;
      });
      if (done < piece.size()) parts.push_back({done, piece.size(), invert});
    });
  };
}

// Every piece through change(piece, index, out); the text is put together anew.
template <typename F>
void rewrite(Pieces& pieces, const TextLimit& limit, F&& change) {
  std::string text;
  text.reserve(pieces.text.size() * 5 / 4);
  for (std::size_t i = 0; i < pieces.ranges.size(); ++i) {
    const std::size_t begin = text.size();
    change(pieces[i], i, text);
    limit.check(text.size());
    pieces.ranges[i] = {begin, text.size()};
  }
  pieces.text = std::move(text);
}

PieceStep byte_level(const Json& json, const std::string& file) {
  const bool add_space = get_or<bool>(json, "add_prefix_space", file, true);
  const bool use_regex = get_or<bool>(json, "use_regex", file, true);
  return [=](Pieces& pieces, bool) {
    const TextLimit limit{"tokenizer", "pre_tokenizer ByteLevel", pieces.most};
    if (add_space) {
      rewrite(pieces, limit, [](std::string_view piece, std::size_t, std::string& out) {
        if (!piece.starts_with(' ')) out += ' ';
        out += piece;
      });
    }
    if (use_regex) {
      cut(pieces, Behavior::isolated, [](std::string_view piece, std::vector<Part>& parts) {
        for_each_piece(Pattern::gpt2, piece, [&](std::string_view part) {
          const auto at = static_cast<std::size_t>(part.data() - piece.data());
          parts.push_back({at, at + part.size(), true});
        });
      });
    }
    rewrite(pieces, limit, [](std::string_view piece, std::size_t, std::string& out) {
      out += to_byte_level(piece);
    });
  };
}

PieceStep metaspace(const Json& json, const std::string& field, const std::string& file) {
  const auto mark = get_or<std::string>(json, "replacement", file, "\u2581");
  const bool old_prefix = get_or<bool>(json, "add_prefix_space", file, true);
  const auto scheme =
      get_or<std::string>(json, "prepend_scheme", file, old_prefix ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    throw FormatError(file, field + ".prepend_scheme", fmt::format("unknown \"{}\"", scheme));
  }
  const bool split = get_or<bool>(json, "split", file, true);
  const Matcher find_mark = read_pattern({{"String", mark}}, field, file);
  const PieceStep at_marks = pattern_step(find_mark, Behavior::with_next, false);
  return [=](Pieces& pieces, bool at_start) {
    const TextLimit limit{"tokenizer", "pre_tokenizer Metaspace", pieces.most};
    rewrite(pieces, limit, [&](std::string_view piece, std::size_t i, std::string& out) {
      const std::size_t begin = out.size();
      for (const char c : piece) {
        if (c == ' ') {
          out += mark;
          limit.check(out.size());
        } else {
          out += c;
        }
      }
      const bool wanted = scheme == "always" || (scheme == "first" && at_start && i == 0);
      if (wanted && !std::string_view(out).substr(begin).starts_with(mark)) {
        out.insert(begin, mark);
      }
    });
    if (split) at_marks(pieces, at_start);
  };
}

bool is_punctuation(char32_t code) {
  if (code < 0x80) {
    return (code >= 33 && code <= 47) || (code >= 58 && code <= 64) || (code >= 91 && code <= 96) ||
           (code >= 123 && code <= 126);
  }
  const auto kind = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

PieceStep split_step(const Json& json, const std::string& field, const std::string& file) {
  const Json* pattern = find_field(json, "pattern");
  const Matcher matcher = read_pattern(pattern ? *pattern : Json(), field + ".pattern", file);
  const Behavior behavior = behavior_of(get<std::string>(json, "behavior", file), field, file);
  return pattern_step(matcher, behavior, get_or<bool>(json, "invert", file, false));
}

void add_step(const std::string& type, const Json& json, const std::string& field,
              const std::string& file, std::vector<PieceStep>& steps) {
  if (type == "ByteLevel") {
    steps.push_back(byte_level(json, file));
  } else if (type == "Split") {
    steps.push_back(split_step(json, field, file));
  } else if (type == "Metaspace") {
    steps.push_back(metaspace(json, field, file));
  } else if (type == "Whitespace") {
    const Matcher words = read_pattern({{"Regex", R"(\w+|[^\w\s]+)"}}, field, file);
    steps.push_back(pattern_step(words, Behavior::removed, true));
  } else if (type == "WhitespaceSplit") {
    steps.push_back(character_step(Behavior::removed, is_white_space));
  } else if (type == "BertPreTokenizer") {
    steps.push_back(character_step(Behavior::removed, is_white_space));
    steps.push_back(character_step(Behavior::isolated, is_punctuation));
  } else if (type == "Punctuation") {
    const auto behavior = get_or<std::string>(json, "behavior", file, "Isolated");
    steps.push_back(character_step(behavior_of(behavior, field, file), is_punctuation));
  } else if (type == "Digits") {
    const bool each = get_or<bool>(json, "individual_digits", file, false);
    steps.push_back(
        character_step(each ? Behavior::isolated : Behavior::contiguous,
                       [](char32_t code) { return char_class(code) == CharClass::number; }));
  } else if (type == "CharDelimiterSplit") {
    const auto delimiter = get<std::string>(json, "delimiter", file);
    const Matcher matcher = read_pattern({{"String", delimiter}}, field, file);
    steps.push_back(pattern_step(matcher, Behavior::removed, false));
  } else {
    throw FormatError(file, field + ".type", fmt::format("\"{}\" is not supported", type));
  }
}

}  // namespace

std::vector<PieceStep> read_piece_steps(const Json& json, const std::string& field,
                                        const std::string& file) {
  std::vector<PieceStep> steps;
  if (json.is_null()) return steps;
  if (!json.is_object()) throw FormatError(file, field, "expected an object or null");
  const auto type = get<std::string>(json, "type", file);
  if (type != "Sequence") {
    add_step(type, json, field, file, steps);
    return steps;
  }
  const Json* const parts = find_field(json, "pretokenizers");
  if (parts == nullptr || !parts->is_array()) {
    throw FormatError(file, field + ".pretokenizers", "expected an array");
  }
  for (std::size_t i = 0; i < parts->size(); ++i) {
    for (PieceStep& step :
         read_piece_steps((*parts)[i], fmt::format("{}.pretokenizers[{}]", field, i), file)) {
      steps.push_back(std::move(step));
    }
  }
  return steps;
}

}  // namespace stepstone
