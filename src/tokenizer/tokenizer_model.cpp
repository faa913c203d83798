#include "tokenizer/tokenizer_model.h"

#include <algorithm>

#include "core/error.h"
#include "tokenizer/byte_level.h"

namespace stepstone {

void TokenTable::push_back(std::string_view token) {
  require(bytes_.size() + token.size() < std::uint64_t{1} << 32,
          "the tokens of the vocabulary together are over 4 GiB");
  bytes_ += token;
  ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
}

TokenizerModel::TokenizerModel(const TokenizerModel& other)
    : kind(other.kind),
      tokens(other.tokens),
      added(other.added),
      bpe(other.bpe),
      splits(other.splits),
      add_prefix_space(other.add_prefix_space),
      compose(other.compose),
      ignore_merges(other.ignore_merges),
      characters(other.characters),
      unknown(other.unknown),
      pipeline(other.pipeline),
      before_text(other.before_text),
      after_text(other.after_text),
      bos(other.bos),
      eos(other.eos),
      pad(other.pad),
      post_processor(other.post_processor) {
  index_added();
  index_whole_pieces();
}

void TokenizerModel::index_added() {
  added_by_content.clear();
  for (auto& list : added_by_first_byte) list.clear();
  added_flags.assign(tokens.size(), 0);
  for (std::uint32_t i = 0; i < added.size(); ++i) {
    const AddedToken& token = added[i];
    added_by_content[token.content] = token.id;
    added_by_first_byte[static_cast<unsigned char>(token.content[0])].push_back(i);
    added_flags[token.id] = token.special ? 3 : 1;
  }
  for (auto& list : added_by_first_byte) {
    std::stable_sort(list.begin(), list.end(), [this](std::uint32_t a, std::uint32_t b) {
      return added[a].content.size() > added[b].content.size();
    });
  }
}

void TokenizerModel::index_whole_pieces() {
  whole_pieces.clear();
  if (!ignore_merges) return;
  for (std::int32_t id = 0; id < tokens.size(); ++id) {
    if (added_flags[id] == 0) whole_pieces.emplace(tokens[id], id);
  }
}

bool TokenizerModel::is_text_token(std::string_view content) const {
  const auto spelled =
      kind == Kind::bytes ? from_byte_level(content) : std::optional<std::string>(content);
  for (std::int32_t id = 0; spelled && id < tokens.size(); ++id) {
    if (added_flags[id] == 0 && tokens[id] == *spelled) return true;
  }
  return false;
}

std::int32_t TokenizerModel::append_added(std::string_view content) {
  const std::int32_t id = tokens.size();
  tokens.push_back(content);
  added.push_back({.id = id, .content = std::string(content)});
  return id;
}

}  // namespace stepstone
