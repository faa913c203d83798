// What a tokenizer knows, apart from how it is used: filled by a constructor or a reader, then
// immutable and shared.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex_splitter.h"

namespace stepstone {

struct Pipeline;

// One splitting step; a regex where no scanner is known for the pattern.
struct SplitStep {
  Pattern pattern = Pattern::none;
  std::shared_ptr<const RegexSplitter> regex = nullptr;
};

// A token that only template text can give.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = true;                  // decode(skip_special) leaves it out
  bool normalized = false;              // kept for the file's sake; matching is the same
  bool single_word = false;             // only where no letter, digit or "_" touches it
  bool lstrip = false, rstrip = false;  // takes the spaces before or after it along
};

// Token bytes by id, in one allocation.
class TokenTable {
 public:
  std::int32_t size() const { return static_cast<std::int32_t>(ends_.size()); }
  std::string_view operator[](std::int32_t id) const {
    const std::uint32_t begin = id == 0 ? 0 : ends_[id - 1];
    return std::string_view(bytes_).substr(begin, ends_[id] - begin);
  }
  // Throws Error once all tokens together reach 4 GiB.
  void push_back(std::string_view token);

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

struct TokenizerModel {
  enum class Kind : std::uint8_t { bytes, characters, pipeline };

  Kind kind = Kind::bytes;
  TokenTable tokens;
  std::vector<AddedToken> added;  // ascending ids

  // Kind::bytes: byte-level BPE.
  Bpe bpe;
  std::vector<SplitStep> splits;  // applied one after another
  bool add_prefix_space = false;
  bool compose = false;        // NFC before splitting
  bool ignore_merges = false;  // a piece that is a token is that token
  // Pieces that are tokens, for ignore_merges; views into `tokens`.
  std::unordered_map<std::string_view, std::int32_t> whole_pieces;

  // Kind::characters.
  std::unordered_map<char32_t, std::int32_t> characters;
  std::optional<std::int32_t> unknown;

  // Kind::pipeline.
  std::shared_ptr<const Pipeline> pipeline;
  // The tokens that the "post_processor" puts around a text.
  std::vector<std::int32_t> before_text, after_text;

  std::optional<std::int32_t> bos, eos, pad;
  // The "post_processor" of the file this came from, as JSON text, to be written back.
  std::string post_processor;

  // Lookup tables over `added`; index_added() fills them.
  std::unordered_map<std::string_view, std::int32_t> added_by_content;
  std::vector<std::uint32_t> added_by_first_byte[256];  // indices into `added`, longest first
  std::vector<std::uint8_t> added_flags;                // per id: 0 text, 1 control, 3 skippable

  TokenizerModel() = default;
  TokenizerModel(const TokenizerModel& other);  // its views point into the copy
  TokenizerModel& operator=(const TokenizerModel&) = delete;

  void index_added();
  void index_whole_pieces();
  // True when a token of text is spelled `content` in a file.
  bool is_text_token(std::string_view content) const;
  // Appends an added token with the next id.
  std::int32_t append_added(std::string_view content);
};

}  // namespace stepstone
