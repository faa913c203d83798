#include "tokenizer/text_steps.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "core/error.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/regex_splitter.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

using Change = std::function<void(std::string&, const TextLimit&)>;

// Each character through change(code, out).
template <typename F>
void map_characters(std::string& text, F&& change) {
  std::string out;
  out.reserve(text.size());
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const Utf8Step step = utf8_step(p, end);
    change(step.code, out);
    p += step.length;
  }
  text = std::move(out);
}

utf8proc_category_t category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

// Bytes that a normal form makes of one, at most: U+FDFA, of 3, has 33 in NFKD.
constexpr std::size_t kFormGrowth = 11;

void to_form(std::string& text, int options, const TextLimit& limit) {
  if (is_ascii(text)) return;
  utf8proc_uint8_t* raw = nullptr;
  require(text.size() < std::size_t{1} << 30, "text of {} bytes is too long to normalize",
          text.size());
  if (text.size() > limit.most / kFormGrowth) {  // it might not fit: its characters are counted
    const auto count =
        utf8proc_decompose(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                           static_cast<utf8proc_ssize_t>(text.size()), nullptr, 0,
                           static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
    require(count >= 0, "normalizing text: {}", utf8proc_errmsg(count));
    limit.check(static_cast<std::size_t>(count));
  }
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &raw,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(raw, &std::free);
  require(size >= 0, "normalizing text: {}", utf8proc_errmsg(size));
  text.assign(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(size));
}

void lowercase(std::string& text, const TextLimit&) {
  map_characters(text, [](char32_t code, std::string& out) {
    if (code == 0x130) {
      out += "i\u0307";
    } else {
      append_utf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))),
                  out);
    }
  });
}

template <typename F>
void erase_characters(std::string& text, F&& erased) {
  map_characters(text, [&](char32_t code, std::string& out) {
    if (!erased(code)) append_utf8(code, out);
  });
}

bool is_mark(char32_t code) {
  const auto kind = category(code);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC ||
         kind == UTF8PROC_CATEGORY_ME;
}

bool is_control(char32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return false;
  const auto kind = category(code);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
         kind == UTF8PROC_CATEGORY_CO;
}

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

Change bert_normalizer(const Json& json, const std::string& file) {
  const bool clean = get_or<bool>(json, "clean_text", file, true);
  const bool chinese = get_or<bool>(json, "handle_chinese_chars", file, true);
  const bool lower = get_or<bool>(json, "lowercase", file, true);
  const bool strip = get_or<bool>(json, "strip_accents", file, lower);
  return [=](std::string& text, const TextLimit& limit) {
    if (clean) {
      map_characters(text, [](char32_t code, std::string& out) {
        if (code == 0 || code == 0xFFFD || is_control(code)) return;
        append_utf8(is_white_space(code) ? U' ' : code, out);
      });
    }
    if (chinese) {
      map_characters(text, [](char32_t code, std::string& out) {
        if (is_chinese(code)) out += ' ';
        append_utf8(code, out);
        if (is_chinese(code)) out += ' ';
      });
    }
    if (strip) {
      to_form(text, UTF8PROC_DECOMPOSE, limit);
      erase_characters(text, [](char32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; });
    }
    if (lower) lowercase(text, limit);
  };
}

void nmt(std::string& text, const TextLimit&) {
  map_characters(text, [](char32_t c, std::string& out) {
    if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
        c == 0x9F) {
      return;
    }
    const bool space = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 ||
                       (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xFEFF || c == 0xFFFD;
    append_utf8(space ? U' ' : c, out);
  });
}

void strip_spaces(std::string& text, bool left, bool right) {
  std::size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const Utf8Step step = utf8_step(text.data() + begin, text.data() + end);
    if (!is_white_space(step.code)) break;
    begin += static_cast<std::size_t>(step.length);
  }
  while (right && begin < end) {
    std::size_t last = end - 1;
    while (last > begin && (text[last] & 0xC0) == 0x80) --last;
    if (!is_white_space(utf8_step(text.data() + last, text.data() + end).code)) break;
    end = last;
  }
  text = text.substr(begin, end - begin);
}

std::string from_base64(const std::string& text, const std::string& field,
                        const std::string& file) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) throw FormatError(file, field, "is not base64");
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return out;
}

// Character by character where a user-perceived character is long, else whole, as `tokenizers`
// does.
Change precompiled(const Json& json, const std::string& field, const std::string& file) {
  const std::string name = field + ".precompiled_charsmap";
  const auto map = std::make_shared<const Charsmap>(
      from_base64(get<std::string>(json, "precompiled_charsmap", file), name, file), file, name);
  return [map](std::string& text, const TextLimit& limit) {
    std::string out;
    const char* const end = text.data() + text.size();
    const auto append = [&](std::string_view part) {
      const auto match = map->find(part, false);
      out += match ? match->replacement : part;
      limit.check(out.size());
    };
    for (const char* p = text.data(); p < end;) {
      const char* q = p;
      utf8proc_int32_t state = 0;
      while (true) {
        const Utf8Step step = utf8_step(q, end);
        q += step.length;
        if (q >= end) break;
        const Utf8Step after = utf8_step(q, end);
        if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(step.code),
                                             static_cast<utf8proc_int32_t>(after.code), &state)) {
          break;
        }
      }
      const std::string_view grapheme(p, static_cast<std::size_t>(q - p));
      if (grapheme.size() < 6 && map->find(grapheme, false)) {
        append(grapheme);
      } else {
        for (const char* c = p; c < q;) {
          const auto length = static_cast<std::size_t>(utf8_step(c, end).length);
          append({c, length});
          c += length;
        }
      }
      p = q;
    }
    text = std::move(out);
  };
}

Change replace_step(const Json& json, const std::string& field, const std::string& file) {
  const Json* pattern = find_field(json, "pattern");
  const Matcher matcher = read_pattern(pattern ? *pattern : Json(), field + ".pattern", file);
  return [matcher, content = get<std::string>(json, "content", file)](std::string& text,
                                                                      const TextLimit& limit) {
    std::string out;
    std::size_t done = 0;
    matcher(text, [&](std::size_t begin, std::size_t end) {
      out.append(text, done, begin - done);
      out += content;
      limit.check(out.size());
      done = end;
    });
    if (done == 0) return;  // no match: each has a byte at least
    out.append(text, done);
    text = std::move(out);
  };
}

Change form(int options) {
  return [options](std::string& text, const TextLimit& limit) { to_form(text, options, limit); };
}

Change read_change(const std::string& type, const Json& json, const std::string& field,
                   const std::string& file) {
  if (type == "NFC") return form(UTF8PROC_COMPOSE);
  if (type == "NFD") return form(UTF8PROC_DECOMPOSE);
  if (type == "NFKC") return form(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  if (type == "NFKD") return form(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  if (type == "Lowercase") return lowercase;
  if (type == "StripAccents") {
    return [](std::string& text, const TextLimit&) { erase_characters(text, is_mark); };
  }
  if (type == "Nmt") return nmt;
  if (type == "BertNormalizer") return bert_normalizer(json, file);
  if (type == "Precompiled") return precompiled(json, field, file);
  if (type == "Replace") return replace_step(json, field, file);
  if (type == "Strip") {
    const bool left = get_or<bool>(json, "strip_left", file, true);
    const bool right = get_or<bool>(json, "strip_right", file, true);
    return [left, right](std::string& text, const TextLimit&) { strip_spaces(text, left, right); };
  }
  if (type == "Prepend") {
    return [prefix = get<std::string>(json, "prepend", file)](std::string& text, const TextLimit&) {
      if (!text.empty()) text.insert(0, prefix);
    };
  }
  throw FormatError(file, field + ".type", fmt::format("\"{}\" is not supported", type));
}

}  // namespace

void TextLimit::check(std::size_t bytes) const {
  if (bytes <= most) return;
  throw FormatError(file, step, fmt::format("makes a text of more than {} bytes", most));
}

TextStep limited(std::string file, std::string name, Change change) {
  return [file = std::move(file), name = std::move(name), change = std::move(change)](
             std::string& text, std::size_t most) {
    const TextLimit limit{file, name, most};
    change(text, limit);
    limit.check(text.size());
  };
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to,
                     const TextLimit& limit) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = 0; !from.empty() && (at = text.find(from, done)) != text.npos;) {
    out += text.substr(done, at - done);
    out += to;
    limit.check(out.size());
    done = at + from.size();
  }
  out += text.substr(done);
  return out;
}

bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::vector<TextStep> read_normalizer(const Json& json, const std::string& field,
                                      const std::string& file) {
  if (json.is_null()) return {};
  if (!json.is_object()) throw FormatError(file, field, "expected an object or null");
  const auto type = get<std::string>(json, "type", file);
  if (type != "Sequence") {
    return {limited("tokenizer", "normalizer " + type, read_change(type, json, field, file))};
  }
  const Json* const parts = find_field(json, "normalizers");
  if (parts == nullptr || !parts->is_array()) {
    throw FormatError(file, field + ".normalizers", "expected an array");
  }
  std::vector<TextStep> steps;
  for (std::size_t i = 0; i < parts->size(); ++i) {
    for (TextStep& step :
         read_normalizer((*parts)[i], fmt::format("{}.normalizers[{}]", field, i), file)) {
      steps.push_back(std::move(step));
    }
  }
  return steps;
}

Matcher read_pattern(const Json& json, const std::string& field, const std::string& file) {
  if (!json.is_object() || json.size() != 1 ||
      (!json.contains("String") && !json.contains("Regex"))) {
    throw FormatError(file, field, "expected {\"String\": …} or {\"Regex\": …}");
  }
  if (json.contains("String")) {
    return [needle = get<std::string>(json, "String", file)](std::string_view text,
                                                             const Found& found) {
      for (std::size_t at = 0; !needle.empty() && (at = text.find(needle, at)) != text.npos;
           at += needle.size()) {
        found(at, at + needle.size());
      }
    };
  }
  std::shared_ptr<const RegexSplitter> regex;
  try {
    regex = std::make_shared<const RegexSplitter>(get<std::string>(json, "Regex", file));
  } catch (const UsageError& error) {
    throw FormatError(file, field + ".Regex", error.what());
  }
  return [regex](std::string_view text, const Found& found) { regex->matches(text, found); };
}

}  // namespace stepstone
