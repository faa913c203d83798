#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <limits>
#include <memory>

#include "core/error.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

// Ranges without combining marks, decomposable characters or conjoining jamo.
bool inert(char32_t code) {
  return code < 0x300 || (code >= 0x2010 && code <= 0x2027) || (code >= 0x3001 && code <= 0x3029) ||
         (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0xFF01 && code <= 0xFFEF) ||
         code == Utf8Step::kInvalid;
}

void append_composed(std::string_view text, std::string& out) {
  if (text.empty()) return;
  require(text.size() < std::size_t{1} << 31, "text of {} bytes is too long to normalize",
          text.size());
  utf8proc_uint8_t* raw = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &raw,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(raw, &std::free);
  require(size >= 0, "normalizing text: {}", utf8proc_errmsg(size));
  out.append(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(size));
}

}  // namespace

bool is_surely_composed(std::string_view text) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    if (static_cast<unsigned char>(*p) < 0x80) {
      ++p;
      continue;
    }
    const Utf8Step step = utf8_step(p, end);
    if (!inert(step.code)) return false;
    p += step.length;
  }
  return true;
}

std::string compose(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const char* const end = text.data() + text.size();
  const char* start = text.data();
  for (const char* p = start; p < end;) {
    const Utf8Step step = utf8_step(p, end);
    if (step.code == Utf8Step::kInvalid) {
      append_composed({start, static_cast<std::size_t>(p - start)}, out);
      out += *p;
      start = p + 1;
    }
    p += step.length;
  }
  append_composed({start, static_cast<std::size_t>(end - start)}, out);
  return out;
}

}  // namespace stepstone
