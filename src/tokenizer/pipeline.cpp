#include "tokenizer/pipeline.h"

#include "io/utf8.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

// What the steps may make of a text of `bytes`. No real tokenizer comes near it (NFKD makes 11
// bytes of one at most), and what comes after the steps needs some fifty bytes for each.
std::size_t most_bytes(std::size_t bytes) { return (std::size_t{1} << 20) + 16 * bytes; }

void encode_word(const SubwordModel& model, std::string_view word, const char* text_end,
                 WordCache& words, std::vector<std::int32_t>& out) {
  if (word.size() > WordCache::kMaxWordBytes) return model.encode(word, out);
  const WordCache::Key key = WordCache::key_of(word, text_end);
  std::int32_t ids[WordCache::kMaxTokens];
  if (const std::size_t count = words.find(key, ids)) {
    out.insert(out.end(), ids, ids + count);
    return;
  }
  const std::size_t before = out.size();
  model.encode(word, out);
  const std::size_t count = out.size() - before;
  if (count > 0 && count <= WordCache::kMaxTokens) words.insert(key, out.data() + before, count);
}

}  // namespace

void Pipeline::encode(std::string_view text, bool at_start, WordCache& words,
                      std::vector<std::int32_t>& out) const {
  if (text.empty()) return;
  Pieces pieces;
  pieces.text = is_utf8(text) ? std::string(text) : to_utf8_lossy(text);
  pieces.most = most_bytes(pieces.text.size());
  for (const TextStep& step : text_steps) step(pieces.text, pieces.most);
  if (pieces.text.empty()) return;
  pieces.ranges = {{0, pieces.text.size()}};
  for (const PieceStep& step : piece_steps) step(pieces, at_start);
  const char* const end = pieces.text.data() + pieces.text.size();
  for (std::size_t i = 0; i < pieces.ranges.size(); ++i) {
    std::string_view piece = pieces[i];
    while (model->words_stand_alone() && !piece.empty()) {
      // A word: from one mark that follows another character to the next.
      std::size_t at = 1;
      while ((at = piece.find(kWordStart, at)) != std::string_view::npos) {
        if (at < 3 || piece.substr(at - 3, 3) != kWordStart) break;
        ++at;
      }
      const std::string_view word = piece.substr(0, at);
      encode_word(*model, word, end, words, out);
      piece.remove_prefix(word.size());
    }
    if (!piece.empty()) encode_word(*model, piece, end, words, out);
  }
}

}  // namespace stepstone
