#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <set>

#include "core/error.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/text_steps.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/tokenizer_model.h"
#include "tokenizer/unicode.h"
#include "tokenizer/word_cache.h"

namespace stepstone {
namespace {

struct Scratch {
  WordCache words;
  Bpe::Scratch bpe;
  // Below this many nodes the memory of a long piece is kept for the next.
  static constexpr std::size_t kKeptNodes = std::size_t{1} << 20;
};

void encode_piece(const TokenizerModel& model, Scratch& scratch, std::string_view piece,
                  const char* text_end, std::vector<std::int32_t>& out) {
  const std::size_t before = out.size();
  const bool cached = piece.size() <= WordCache::kMaxWordBytes;
  WordCache::Key key;
  if (cached) {
    key = WordCache::key_of(piece, text_end);
    std::int32_t ids[WordCache::kMaxTokens];
    if (const std::size_t count = scratch.words.find(key, ids)) {
      out.insert(out.end(), ids, ids + count);
      return;
    }
  }
  const auto whole =
      model.ignore_merges ? model.whole_pieces.find(piece) : model.whole_pieces.end();
  if (whole != model.whole_pieces.end()) {
    out.push_back(whole->second);
  } else {
    model.bpe.encode(piece, scratch.bpe, out);
  }
  const std::size_t count = out.size() - before;
  if (cached && count <= WordCache::kMaxTokens) {
    scratch.words.insert(key, out.data() + before, count);
  }
}

template <typename F>
void split_from(const std::vector<SplitStep>& steps, std::size_t step, std::string_view text,
                const F& piece) {
  if (step == steps.size()) {
    piece(text);
    return;
  }
  const auto next = [&](std::string_view part) { split_from(steps, step + 1, part, piece); };
  if (steps[step].regex) {
    steps[step].regex->split(text, next);
  } else {
    for_each_piece(steps[step].pattern, text, next);
  }
}

void encode_bytes(const TokenizerModel& model, Scratch& scratch, std::string_view text,
                  std::vector<std::int32_t>& out) {
  if (text.empty()) return;
  std::string changed;
  if (model.compose && !is_surely_composed(text)) {
    changed = compose(text);
    text = changed;
  }
  if (model.add_prefix_space && text[0] != ' ') {
    changed = ' ' + std::string(text);
    text = changed;
  }
  if (model.bpe.merges().empty() && !model.ignore_merges) {
    model.bpe.encode(text, scratch.bpe, out);
    return;
  }
  const char* const end = text.data() + text.size();
  const auto piece = [&](std::string_view part) { encode_piece(model, scratch, part, end, out); };
  if (model.splits.size() == 1 && !model.splits[0].regex) {
    for_each_piece(model.splits[0].pattern, text, piece);
  } else {
    split_from(model.splits, 0, text, piece);
  }
}

void encode_characters(const TokenizerModel& model, std::string_view text,
                       std::vector<std::int32_t>& out) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const Utf8Step step = utf8_step(p, end);
    const auto found = model.characters.find(step.code);
    if (found != model.characters.end()) {
      out.push_back(found->second);
    } else {
      require(model.unknown.has_value(), "character {} at byte {} is not in the vocabulary",
              step.code == Utf8Step::kInvalid
                  ? fmt::format("0x{:02x} (not UTF-8)", static_cast<unsigned char>(*p))
                  : fmt::format("U+{:04X}", static_cast<std::uint32_t>(step.code)),
              p - text.data());
      out.push_back(*model.unknown);
    }
    p += step.length;
  }
}

void encode_text(const TokenizerModel& model, Scratch& scratch, std::string_view text,
                 bool at_start, std::vector<std::int32_t>& out) {
  if (model.kind == TokenizerModel::Kind::pipeline) {
    model.pipeline->encode(text, at_start, scratch.words, out);
  } else if (model.kind == TokenizerModel::Kind::characters) {
    encode_characters(model, text, out);
  } else {
    encode_bytes(model, scratch, text, out);
  }
}

bool is_white_byte(char c) { return c == ' ' || (c >= 9 && c <= 13); }

// True when the characters on either side of text[begin, end) belong to a word with it.
bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  const auto in_word = [](char32_t code) {
    return code == '_' || char_class(code) == CharClass::letter ||
           char_class(code) == CharClass::number;
  };
  std::size_t before = begin;
  while (before > 0 && begin - before < 4 && (text[before - 1] & 0xC0) == 0x80) --before;
  if (before > 0) --before;
  const char* const text_end = text.data() + text.size();
  return (begin > 0 && in_word(utf8_step(text.data() + before, text_end).code)) ||
         (end < text.size() && in_word(utf8_step(text.data() + end, text_end).code));
}

// The longest added token that `text` starts with.
const AddedToken* added_at(const TokenizerModel& model, std::string_view text) {
  for (const std::uint32_t i : model.added_by_first_byte[static_cast<unsigned char>(text[0])]) {
    if (text.starts_with(model.added[i].content)) return &model.added[i];
  }
  return nullptr;
}

}  // namespace

// Working spaces, each lent to one caller at a time. One that saw an exception is not taken back.
class Tokenizer::ScratchPool {
 public:
  std::unique_ptr<Scratch> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Scratch>();
    auto scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void put_back(std::unique_ptr<Scratch> scratch) {
    if (scratch->bpe.nodes.capacity() > Scratch::kKeptNodes) scratch->bpe = {};
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

Tokenizer::Tokenizer(std::shared_ptr<const TokenizerModel> model)
    : model_(std::move(model)), scratch_(std::make_shared<ScratchPool>()) {}

Tokenizer Tokenizer::load(const std::filesystem::path& file_or_folder) {
  return Tokenizer(load_tokenizer(file_or_folder));
}

void Tokenizer::save(const std::filesystem::path& path) const { save_tokenizer(*model_, path); }

Tokenizer Tokenizer::bytes(std::span<const std::string> specials) {
  auto model = std::make_shared<TokenizerModel>();
  std::array<std::int32_t, 256> byte_ids;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    model->tokens.push_back({&byte, 1});
    byte_ids[b] = b;
  }
  model->bpe = Bpe(byte_ids, {});
  model->index_added();
  Tokenizer tokenizer(std::move(model));
  for (const std::string& special : specials) tokenizer.add_special(special);
  return tokenizer;
}

Tokenizer Tokenizer::characters(std::string_view text, std::span<const std::string> specials,
                                bool with_unknown) {
  std::set<char32_t> codes;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const Utf8Step step = utf8_step(p, end);
    require(step.code != Utf8Step::kInvalid,
            "a character tokenizer needs UTF-8 text; byte {} is 0x{:02x}", p - text.data(),
            static_cast<unsigned char>(*p));
    codes.insert(step.code);
    p += step.length;
  }
  auto model = std::make_shared<TokenizerModel>();
  model->kind = TokenizerModel::Kind::characters;
  for (const char32_t code : codes) {
    std::string character;
    append_utf8(code, character);
    model->characters[code] = model->tokens.size();
    model->tokens.push_back(character);
  }
  if (with_unknown) {
    model->unknown = model->tokens.size();
    model->tokens.push_back("<unk>");
  }
  model->index_added();
  Tokenizer tokenizer(std::move(model));
  for (const std::string& special : specials) tokenizer.add_special(special);
  return tokenizer;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> out;
  encode_append(text, out);
  return out;
}

void Tokenizer::encode_append(std::string_view text, std::vector<std::int32_t>& out,
                              bool at_start) const {
  auto scratch = scratch_->take();
  encode_text(*model_, *scratch, text, at_start, out);
  scratch_->put_back(std::move(scratch));
}

std::vector<std::int32_t> Tokenizer::encode_document(std::string_view text) const {
  std::vector<std::int32_t> out = model_->before_text;
  encode_append(text, out);
  out.insert(out.end(), model_->after_text.begin(), model_->after_text.end());
  return out;
}

std::vector<std::int32_t> Tokenizer::encode_with_specials(std::string_view text) const {
  std::vector<std::int32_t> out;
  auto scratch = scratch_->take();
  for (const Section& section : sections(text)) {
    if (section.control < 0) {
      encode_text(*model_, *scratch, text.substr(section.begin, section.end - section.begin),
                  section.begin == 0, out);
    } else {
      out.push_back(section.control);
    }
  }
  scratch_->put_back(std::move(scratch));
  return out;
}

std::vector<Tokenizer::Section> Tokenizer::sections(std::string_view text,
                                                    std::string_view trusted) const {
  std::vector<Section> out;
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t stop =
        trusted.empty() ? text.size() : std::min(trusted.find('\0', at), text.size());
    if (at >= stop) {
      at = std::min(trusted.find_first_not_of('\0', at), text.size());
      continue;
    }
    for (; at < stop; ++at) {
      const AddedToken* const token = added_at(*model_, text.substr(at, stop - at));
      if (token == nullptr) continue;
      std::size_t begin = at, end = at + token->content.size();
      if (token->single_word && touches_word(text, begin, end)) continue;
      while (token->lstrip && begin > start && is_white_byte(text[begin - 1])) --begin;
      while (token->rstrip && end < stop && is_white_byte(text[end])) ++end;
      if (begin > start) out.push_back({start, begin, -1});
      out.push_back({begin, end, token->id});
      start = end;
      at = end - 1;
    }
  }
  if (start < text.size()) out.push_back({start, text.size(), -1});
  return out;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string text;
  for (const std::int32_t id : ids) {
    const std::string_view bytes = token_bytes(id);
    if (!skip_special || model_->added_flags[id] != 3) text += bytes;
  }
  if (model_->kind != TokenizerModel::Kind::pipeline) return text;
  const Pipeline& pipeline = *model_->pipeline;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < pipeline.strip_start_count; ++i) {
    if (!std::string_view(text).substr(begin).starts_with(pipeline.strip_start)) break;
    begin += pipeline.strip_start.size();
  }
  text.erase(0, begin);
  if (!pipeline.strip_end.empty() && text.ends_with(pipeline.strip_end)) {
    text.resize(text.size() - pipeline.strip_end.size());
  }
  return text;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  require<UsageError>(id >= 0 && id < vocab_size(), "token id {} is outside the vocabulary of {}",
                      id, vocab_size());
  return model_->tokens[id];
}

std::int32_t Tokenizer::vocab_size() const { return model_->tokens.size(); }

std::optional<std::int32_t> Tokenizer::special_id(std::string_view content) const {
  const auto found = model_->added_by_content.find(content);
  if (found == model_->added_by_content.end()) return std::nullopt;
  return found->second;
}

bool Tokenizer::is_special(std::int32_t id) const {
  return id >= 0 && id < vocab_size() && model_->added_flags[id] != 0;
}

bool Tokenizer::is_skipped(std::int32_t id) const {
  return id >= 0 && id < vocab_size() && model_->added_flags[id] == 3;
}

std::int32_t Tokenizer::add_special(std::string_view content) {
  if (const auto id = special_id(content)) return *id;
  require<UsageError>(!content.empty(), "a special token needs a name");
  require<UsageError>(!model_->is_text_token(content),
                      "\"{}\" cannot be a special token: it is a token of ordinary text", content);
  auto model = std::make_shared<TokenizerModel>(*model_);
  const std::int32_t id = model->append_added(content);
  model->index_added();
  model_ = std::move(model);
  return id;
}

namespace {

// The role's token: the one set, else the first known by a usual name.
std::optional<std::int32_t> role(const Tokenizer& tokenizer, std::optional<std::int32_t> set,
                                 std::initializer_list<std::string_view> names) {
  if (set) return set;
  for (const std::string_view name : names) {
    if (const auto id = tokenizer.special_id(name)) return id;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::int32_t> Tokenizer::bos() const {
  return role(*this, model_->bos, {"<|begin_of_text|>", "<|bos|>", "<s>", "<bos>"});
}

std::optional<std::int32_t> Tokenizer::eos() const {
  return role(*this, model_->eos, {"<|endoftext|>", "<|end_of_text|>", "<|eos|>", "</s>", "<eos>"});
}

std::optional<std::int32_t> Tokenizer::pad() const {
  return role(*this, model_->pad, {"<|pad|>", "<pad>", "[PAD]"});
}

void Tokenizer::set_bos(std::string_view content) { set_role(&TokenizerModel::bos, content); }
void Tokenizer::set_eos(std::string_view content) { set_role(&TokenizerModel::eos, content); }
void Tokenizer::set_pad(std::string_view content) { set_role(&TokenizerModel::pad, content); }

void Tokenizer::set_role(std::optional<std::int32_t> TokenizerModel::*member,
                         std::string_view content) {
  const std::int32_t id = add_special(content);
  auto model = std::make_shared<TokenizerModel>(*model_);
  (*model).*member = id;
  model_ = std::move(model);
}

}  // namespace stepstone
