#include "tokenizer/save_sentencepiece.h"

#include <algorithm>

#include "core/error.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

using OrderedJson = nlohmann::ordered_json;
using PieceType = SentencePieceModel::PieceType;

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t word = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      word = word << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= n ? kDigits[word >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

OrderedJson replace(std::string_view kind, std::string_view pattern, std::string_view content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

OrderedJson normalizer(const SentencePieceModel& model) {
  OrderedJson steps = OrderedJson::array();
  if (!model.charsmap.empty()) {
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64(model.charsmap)}});
  }
  if (model.remove_spaces) {
    steps.push_back(replace("Regex", "\\A +| +\\z", ""));
    steps.push_back(replace("Regex", " {2,}", " "));
  }
  if (model.add_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kWordStart}});
  steps.push_back(replace("String", " ", kWordStart));
  if (model.remove_spaces) steps.push_back(replace("Regex", "\u2581+\\z", ""));
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

OrderedJson decoder(const SentencePieceModel& model) {
  OrderedJson steps = OrderedJson::array();
  steps.push_back(replace("String", kWordStart, " "));
  if (model.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (model.add_prefix || model.remove_spaces) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", steps}};
}

OrderedJson bpe(const SentencePieceModel& model, std::size_t unknown) {
  std::vector<std::string> tokens;
  OrderedJson vocab = OrderedJson::object(), merges = OrderedJson::array();
  for (const auto& piece : model.pieces) {
    tokens.push_back(piece.type == PieceType::normal ? piece.text : std::string());
  }
  auto pairs = sentencepiece_merges(model, tokens);
  std::sort(pairs.begin(), pairs.end(), [](const SymbolMerge& a, const SymbolMerge& b) {
    return std::tie(a.rank, a.result, a.left) < std::tie(b.rank, b.result, b.left);
  });
  for (const SymbolMerge& m : pairs) {
    merges.push_back(
        {tokens[static_cast<std::size_t>(m.left)], tokens[static_cast<std::size_t>(m.right)]});
  }
  // An ordered object looks for a key from its beginning: filled as what it is, a list of pairs.
  auto& list = vocab.get_ref<OrderedJson::object_t&>();
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    list.push_back({model.pieces[id].text, id});
  }
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", model.pieces[unknown].text},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", model.byte_fallback},
          {"ignore_merges", false},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

OrderedJson unigram(const SentencePieceModel& model, std::size_t unknown) {
  OrderedJson vocab = OrderedJson::array();
  for (const auto& piece : model.pieces) vocab.push_back({piece.text, piece.score});
  return {{"type", "Unigram"},
          {"unk_id", unknown},
          {"vocab", std::move(vocab)},
          {"byte_fallback", model.byte_fallback}};
}

}  // namespace

OrderedJson sentencepiece_json(const SentencePieceModel& model) {
  std::size_t unknown = 0;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.type == PieceType::unknown) unknown = id;
    const bool tag = (piece.text.starts_with('<') && piece.text.ends_with('>')) ||
                     (piece.text.starts_with('[') && piece.text.ends_with(']'));
    require<UsageError>(piece.type != PieceType::user_defined || tag,
                        "this tokenizer cannot be saved as tokenizer.json: it has the user-defined "
                        "symbol \"{}\"",
                        piece.text);
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", OrderedJson::array()},
          {"normalizer", normalizer(model)},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", decoder(model)},
          {"model",
           model.type == SentencePieceModel::kBpe ? bpe(model, unknown) : unigram(model, unknown)}};
}

}  // namespace stepstone
