#include "tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

constexpr char32_t kCodes = 0x144;

struct Spelling {
  std::array<char32_t, 256> code_of{};
  std::array<std::int16_t, kCodes> byte_of{};
};

constexpr Spelling make_spelling() {
  Spelling spelling;
  for (auto& byte : spelling.byte_of) byte = -1;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
                         (byte >= 0xAE && byte <= 0xFF);
    spelling.code_of[byte] = visible ? static_cast<char32_t>(byte) : next++;
    spelling.byte_of[spelling.code_of[byte]] = static_cast<std::int16_t>(byte);
  }
  return spelling;
}

constexpr Spelling kSpelling = make_spelling();

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  std::string spelled;
  for (const char byte : bytes) {
    append_utf8(kSpelling.code_of[static_cast<unsigned char>(byte)], spelled);
  }
  return spelled;
}

std::optional<std::string> from_byte_level(std::string_view spelled) {
  std::string bytes;
  const char* const end = spelled.data() + spelled.size();
  for (const char* p = spelled.data(); p < end;) {
    const Utf8Step step = utf8_step(p, end);
    if (step.code >= kCodes || kSpelling.byte_of[step.code] < 0) return std::nullopt;
    bytes += static_cast<char>(kSpelling.byte_of[step.code]);
    p += step.length;
  }
  return bytes;
}

}  // namespace stepstone
