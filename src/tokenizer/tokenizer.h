// Text to token ids and back: byte-level BPE, plain bytes, or characters.
//
// Byte-level tokenizers take any bytes: what is not well-formed UTF-8 passes through byte by byte
// and decode() returns it unchanged. (A tokenizer with an NFC normalizer changes text to its
// composed form first.) A character tokenizer takes an invalid byte for an unknown character.
//
// Text never becomes a control token: encode() treats "<|im_end|>" like any other text. Only
// encode_with_specials(), which is for template text written by the program, looks for them.
//
// Every const member may be called from many threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stepstone {

struct TokenizerModel;

class Tokenizer {
 public:
  // Reads a tokenizer.json, or a folder that holds one (or GPT-2's vocab.json and merges.txt).
  // tokenizer_config.json beside it, where there is one, names bos, eos and pad.
  // Throws FormatError (file, field) for anything that would not encode as its author meant.
  static Tokenizer load(const std::filesystem::path& file_or_folder);

  // Ids 0 to 255 are the bytes, then `specials` in order.
  static Tokenizer bytes(std::span<const std::string> specials = {});

  // One token per distinct code point of `text`, in code point order from 0, then "<unk>" if
  // asked for, then `specials`. Without "<unk>", encoding another character throws Error.
  static Tokenizer characters(std::string_view text, std::span<const std::string> specials = {},
                              bool with_unknown = false);

  explicit Tokenizer(std::shared_ptr<const TokenizerModel> model);

  // Writes a tokenizer.json that Hugging Face `tokenizers` loads and that encodes identically
  // there. The file appears whole or not at all. A folder as `path` gets tokenizer.json and
  // tokenizer_config.json (the names of bos, eos and pad).
  void save(const std::filesystem::path& path) const;

  // Ids of `text`, never a control token.
  std::vector<std::int32_t> encode(std::string_view text) const;
  // `at_start`: the text begins the whole input, where some tokenizers put a space before it.
  void encode_append(std::string_view text, std::vector<std::int32_t>& out,
                     bool at_start = true) const;
  // The ids of `text` with the tokens that the file's post-processor puts around it ([CLS], <s>…).
  std::vector<std::int32_t> encode_document(std::string_view text) const;

  // Ids of template text: control tokens are recognised, leftmost and longest first.
  std::vector<std::int32_t> encode_with_specials(std::string_view text) const;

  // Template text cut at its control tokens. `trusted` says of every byte whether it may take part
  // in one (not 0); empty: every byte may.
  struct Section {
    std::size_t begin, end;  // bytes
    std::int32_t control;    // the control token that they spell, -1 for text between two
  };
  std::vector<Section> sections(std::string_view text, std::string_view trusted = {}) const;

  // The bytes of the tokens, one after another. Throws UsageError for an id out of range.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;

  std::string_view token_bytes(std::int32_t id) const;
  std::int32_t vocab_size() const;

  // Control tokens: the file's added tokens.
  std::optional<std::int32_t> special_id(std::string_view content) const;
  bool is_special(std::int32_t id) const;
  bool is_skipped(std::int32_t id) const;  // by decode(…, skip_special)
  // Gives `content` the next free id, or returns the one it has.
  std::int32_t add_special(std::string_view content);

  // Roles; each is a control token's id, named by the folder's tokenizer_config.json, set here, or
  // known by its usual name.
  std::optional<std::int32_t> bos() const;
  std::optional<std::int32_t> eos() const;
  std::optional<std::int32_t> pad() const;
  void set_bos(std::string_view content);
  void set_eos(std::string_view content);
  void set_pad(std::string_view content);

  const TokenizerModel& model() const { return *model_; }

 private:
  class ScratchPool;
  void set_role(std::optional<std::int32_t> TokenizerModel::*member, std::string_view content);

  std::shared_ptr<const TokenizerModel> model_;
  std::shared_ptr<ScratchPool> scratch_;
};

// Turns a stream of tokens into text that always ends on a character boundary.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = false);

  // Text that became complete with this token; empty while a character is still open.
  std::string push(std::int32_t id);
  // What is left at the end of the stream: bytes of an unfinished character as they are.
  std::string flush();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  bool started_ = false;
  std::string pending_;
};

}  // namespace stepstone
