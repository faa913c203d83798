#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex_splitter.h"

#include <pcre2.h>

#include <utility>

#include "core/error.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

// Enough for any pattern that makes progress through one piece; a runaway one stops in about a
// tenth of a second.
constexpr std::uint32_t kMatchLimit = 10'000'000;
constexpr std::uint32_t kHeapLimitKib = 65536;

std::string pcre2_message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;

}  // namespace

struct RegexSplitter::Compiled {
  std::unique_ptr<pcre2_code, Free<pcre2_code_free>> code;
  std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>> context;
};

RegexSplitter::RegexSplitter(std::string pattern)
    : pattern_(std::move(pattern)), compiled_(std::make_unique<Compiled>()) {
  require<UsageError>(pattern_.size() <= kMaxPatternBytes, "pattern of {} bytes; the limit is {}",
                      pattern_.size(), kMaxPatternBytes);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern_.data()), pattern_.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  require<UsageError>(compiled_->code != nullptr, "pattern does not compile: {} at byte {}",
                      pcre2_message(error), offset);
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);  // without it, matching is slower
  compiled_->context.reset(pcre2_match_context_create(nullptr));
  require(compiled_->context != nullptr, "out of memory for a pattern");
  pcre2_set_match_limit(compiled_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(compiled_->context.get(), kHeapLimitKib);
}

RegexSplitter::~RegexSplitter() = default;

void RegexSplitter::split(std::string_view text,
                          const std::function<void(std::string_view)>& piece) const {
  const char* const end = text.data() + text.size();
  const char* start = text.data();
  for (const char* p = start; p < end;) {
    const Utf8Step step = utf8_step(p, end);
    if (step.code == Utf8Step::kInvalid) {
      split_valid({start, static_cast<std::size_t>(p - start)}, piece);
      piece({p, 1});
      start = p + 1;
    }
    p += step.length;
  }
  split_valid({start, static_cast<std::size_t>(end - start)}, piece);
}

void RegexSplitter::split_valid(std::string_view text,
                                const std::function<void(std::string_view)>& piece) const {
  std::size_t done = 0;  // everything before has been given out
  matches(text, [&](std::size_t begin, std::size_t end) {
    if (begin > done) piece(text.substr(done, begin - done));
    piece(text.substr(begin, end - begin));
    done = end;
  });
  if (done < text.size()) piece(text.substr(done));
}

void RegexSplitter::matches(
    std::string_view text,
    const std::function<void(std::size_t begin, std::size_t end)>& found) const {
  const MatchData match(pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  require(match != nullptr, "out of memory for a pattern");
  std::size_t from = 0;
  while (from < text.size()) {
    const int result = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                   text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                                   match.get(), compiled_->context.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    require(result >= 0, "pre-tokenizer pattern failed at byte {} of the text: {}", from,
            pcre2_message(result));
    const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(match.get());
    // \K in a look-around can report a match that ends before it starts.
    require(range[0] >= from && range[1] > range[0],
            "pre-tokenizer pattern gives matches that overlap");
    from = range[1];
    found(range[0], range[1]);
  }
}

}  // namespace stepstone
