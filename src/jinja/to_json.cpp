#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "jinja/value.h"

namespace stepstone::jinja {
namespace {

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value, int level) {
    if (value.is<None>()) {
      out.append("null");
    } else if (const auto* flag = value.get_if<bool>()) {
      out.append(*flag ? "true" : "false");
    } else if (const auto* whole = value.get_if<std::int64_t>()) {
      out.append(fmt::format("{}", *whole));
    } else if (const auto* real = value.get_if<double>()) {
      out.append(real_name(*real));
    } else if (const auto* text = value.get_if<Text>()) {
      write_string(*text);
    } else if (const auto* list = value.get_if<List>();
               list != nullptr && list->kind != List::Kind::sequence) {
      write_list(*list, level);
    } else if (const auto* dict = value.get_if<Dict>()) {
      write_dict(*dict, level);
    } else {
      throw EvalError(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }

  Text out;

 private:
  static std::string real_name(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return real_to_string(value);
  }

  void new_line(int level) {
    if (!style_.pretty) return;
    out.append("\n");
    for (int i = 0; i < level; ++i) out.append(style_.indent);
  }

  void write_list(const List& list, int level) {
    out.append("[");
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out.append(style_.item_separator);
      new_line(level + 1);
      write(list.items[i], level + 1);
    }
    if (!list.items.empty()) new_line(level);
    out.append("]");
  }

  void write_dict(const Dict& dict, int level) {
    auto items = dict.items;
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(),
                       [](const auto& a, const auto& b) { return less(a.first, b.first); });
    }
    out.append("{");
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out.append(style_.item_separator);
      new_line(level + 1);
      write_key(items[i].first);
      out.append(style_.key_separator);
      write(items[i].second, level + 1);
    }
    if (!items.empty()) new_line(level);
    out.append("}");
  }

  void write_key(const Value& key) {
    if (const auto* text = key.get_if<Text>()) return write_string(*text);
    if (key.is_number() || key.is<None>()) {
      out.append("\"");
      write(key, 0);
      out.append("\"");
      return;
    }
    throw EvalError(
        fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
  }

  static const char* short_escape(char32_t code) {
    switch (code) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\f':
        return "\\f";
      case '\b':
        return "\\b";
      default:
        return nullptr;
    }
  }

  void write_string(const Text& text) {
    out.append("\"");
    for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
      const char32_t code = character_at(text.bytes, at, length);
      const Origin origin = text.origin[at];
      if (const char* escape = short_escape(code)) {
        out.append(escape, origin);
      } else if (code < 0x20 || (style_.ascii && code >= 0x7F && code < 0x10000 && code != 0x7F)) {
        out.append(fmt::format("\\u{:04x}", static_cast<unsigned>(code)), origin);
      } else if (style_.ascii && code >= 0x10000) {
        const auto rest = static_cast<unsigned>(code - 0x10000);
        out.append(
            fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF)),
            origin);
      } else {
        out.append(std::string_view(text.bytes).substr(at, length), origin);
      }
    }
    out.append("\"");
  }

  const JsonStyle& style_;
};

}  // namespace

Text to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value, 0);
  return std::move(writer.out);
}

}  // namespace stepstone::jinja
