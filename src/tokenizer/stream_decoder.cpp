#include <utility>

#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace stepstone {

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

std::string StreamDecoder::push(std::int32_t id) {
  // Only the first token of a text loses the space before it.
  if (std::exchange(started_, true)) {
    if (!skip_special_ || !tokenizer_.is_skipped(id)) pending_ += tokenizer_.token_bytes(id);
  } else {
    pending_ += tokenizer_.decode({&id, 1}, skip_special_);
  }
  const std::size_t open = incomplete_utf8_suffix(pending_);
  std::string text = pending_.substr(0, pending_.size() - open);
  pending_.erase(0, text.size());
  return text;
}

std::string StreamDecoder::flush() { return std::exchange(pending_, {}); }

}  // namespace stepstone
