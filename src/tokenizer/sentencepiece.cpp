#include "tokenizer/sentencepiece.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "io/file.h"
#include "io/utf8.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxPieces = std::size_t{1} << 22;
constexpr std::size_t kMaxPieceBytes = 4096;

// One message of protocol buffers: fields of varints, fixed numbers and byte strings.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, const std::string& file, std::string field)
      : bytes_(bytes), file_(file), field_(std::move(field)) {}

  struct Field {
    std::uint32_t number = 0;
    int wire = 0;
    std::uint64_t value = 0;      // a varint or fixed number
    std::string_view bytes = {};  // of a byte string
  };

  // False at the end.
  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t tag = varint();
    field = {.number = static_cast<std::uint32_t>(tag >> 3), .wire = static_cast<int>(tag & 7)};
    if (field.number == 0 || tag >> 32 != 0) fail("a field without a number");
    if (field.wire == 0) {
      field.value = varint();
    } else if (field.wire == 2) {
      field.bytes = take(varint());
    } else if (field.wire == 1 || field.wire == 5) {
      const std::string_view raw = take(field.wire == 1 ? 8 : 4);
      std::memcpy(&field.value, raw.data(), raw.size());
    } else {
      fail(fmt::format("wire type {} of field {}", field.wire, field.number));
    }
    return true;
  }

  // The field's value where it has the wire type that the format gives it.
  std::uint64_t number(const Field& field) const { return expect(field, 0).value; }
  std::string_view string(const Field& field) const { return expect(field, 2).bytes; }
  float real(const Field& field) const {
    float value = 0;
    const auto bits = static_cast<std::uint32_t>(expect(field, 5).value);
    std::memcpy(&value, &bits, 4);
    return value;
  }

  [[noreturn]] void fail(std::string_view problem) const {
    throw FormatError(file_, field_, problem, at_);
  }

 private:
  const Field& expect(const Field& field, int wire) const {
    if (field.wire != wire) {
      fail(fmt::format("field {} has wire type {}, not {}", field.number, field.wire, wire));
    }
    return field;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("ends within a number");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    fail("a number of more than 64 bits");
  }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_) {
      fail(fmt::format("needs {} bytes, but only {} are left", size, bytes_.size() - at_));
    }
    const std::string_view taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }

  std::string_view bytes_;
  const std::string& file_;
  std::string field_;
  std::size_t at_ = 0;
};

using Model = SentencePieceModel;
using Piece = Model::Piece;
using PieceType = Model::PieceType;

Piece read_piece(std::string_view bytes, const std::string& file, std::size_t index) {
  ProtoReader reader(bytes, file, fmt::format("pieces[{}]", index));
  Piece piece;
  for (ProtoReader::Field field; reader.next(field);) {
    if (field.number == 1) piece.text = reader.string(field);
    if (field.number == 2) piece.score = reader.real(field);
    if (field.number == 3) {
      const std::uint64_t type = reader.number(field);
      if (type < 1 || type > 6) reader.fail(fmt::format("type {}", type));
      piece.type = static_cast<PieceType>(type);
    }
  }
  return piece;
}

void read_trainer(std::string_view bytes, const std::string& file, Model& model) {
  ProtoReader reader(bytes, file, "trainer_spec");
  for (ProtoReader::Field field; reader.next(field);) {
    if (field.number == 3) model.type = reader.number(field);
    if (field.number == 24) model.suffix_spaces = reader.number(field) != 0;
    if (field.number == 35) model.byte_fallback = reader.number(field) != 0;
    if (field.number == 40) model.unk_id = reader.number(field);
    if (field.number == 41) model.bos_id = reader.number(field);
    if (field.number == 42) model.eos_id = reader.number(field);
    if (field.number == 43) model.pad_id = reader.number(field);
  }
  if (model.type != 1 && model.type != 2) {
    throw FormatError(file, "trainer_spec.model_type",
                      fmt::format("{} where 1 (unigram) and 2 (BPE) are supported", model.type));
  }
  if (model.suffix_spaces) {
    throw FormatError(file, "trainer_spec.treat_whitespace_as_suffix", "true is not supported");
  }
}

void read_normalizer_spec(std::string_view bytes, const std::string& file, Model& model) {
  ProtoReader reader(bytes, file, "normalizer_spec");
  for (ProtoReader::Field field; reader.next(field);) {
    if (field.number == 2) model.charsmap = reader.string(field);
    if (field.number == 3) model.add_prefix = reader.number(field) != 0;
    if (field.number == 4) model.remove_spaces = reader.number(field) != 0;
    if (field.number == 5) model.escape_spaces = reader.number(field) != 0;
  }
  if (!model.escape_spaces) {
    throw FormatError(file, "normalizer_spec.escape_whitespaces", "false is not supported");
  }
}

Model read_model(std::string_view bytes, const std::string& file) {
  if (is_lfs_pointer(bytes)) throw FormatError(file, "document", kLfsProblem);
  Model model;
  ProtoReader reader(bytes, file, "document");
  for (ProtoReader::Field field; reader.next(field);) {
    if (field.number == 1) {
      if (model.pieces.size() >= kMaxPieces) reader.fail("more than 4 million pieces");
      model.pieces.push_back(read_piece(reader.string(field), file, model.pieces.size()));
    }
    if (field.number == 2) read_trainer(reader.string(field), file, model);
    if (field.number == 3) read_normalizer_spec(reader.string(field), file, model);
  }
  return model;
}

void check(const Model& model, const std::string& file) {
  if (model.pieces.empty()) throw FormatError(file, "pieces", "there are none");
  std::unordered_set<std::string_view> seen;
  std::size_t unknowns = 0;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const Piece& piece = model.pieces[i];
    const auto fail = [&](std::string_view problem) {
      throw FormatError(file, fmt::format("pieces[{}]", i), problem);
    };
    if (piece.text.empty()) fail("has no text");
    if (piece.text.size() > kMaxPieceBytes) fail("is longer than 4096 bytes");
    if (!is_utf8(piece.text)) fail("is not UTF-8");
    if (!std::isfinite(piece.score)) fail("has a score that is no number");
    if (piece.type == PieceType::byte && !byte_of_token(piece.text)) {
      fail(fmt::format("is a byte, but spelled \"{}\"", piece.text));
    }
    unknowns += piece.type == PieceType::unknown;
    if (!seen.insert(model.pieces[i].text).second) {
      throw FormatError(file, fmt::format("pieces[{}]", i),
                        fmt::format("\"{}\" is there twice", model.pieces[i].text));
    }
  }
  if (unknowns != 1) {
    throw FormatError(file, "pieces",
                      fmt::format("{} unknown pieces where there is one", unknowns));
  }
}

// SentencePiece's Normalizer: rules of longest match, spaces made single, U+2581 for a space.
TextStep normalizer_step(const Model& model, const std::string& file,
                         const std::vector<std::pair<std::string, std::int32_t>>& user_defined) {
  std::shared_ptr<const Charsmap> rules;
  if (!model.charsmap.empty()) {
    rules = std::make_shared<const Charsmap>(model.charsmap, file,
                                             "normalizer_spec.precompiled_charsmap");
  }
  std::vector<std::pair<std::string_view, std::int32_t>> entries(user_defined.begin(),
                                                                 user_defined.end());
  const auto kept = std::make_shared<const Trie>(entries.empty() ? Trie() : Trie(entries));
  const bool add_prefix = model.add_prefix, remove = model.remove_spaces;
  return limited("tokenizer", "normalizer_spec", [=](std::string& text, const TextLimit& limit) {
    std::string out;
    bool after_space = remove, started = false;
    const char* const end = text.data() + text.size();
    for (const char* p = text.data(); p < end;) {
      const std::string_view rest(p, static_cast<std::size_t>(end - p));
      std::size_t length = 0;
      kept->prefixes(rest, [&](std::size_t size, std::int32_t) { length = size; });
      std::string_view part = rest.substr(0, length);
      if (length == 0) {
        const auto match = rules ? rules->find(rest, true) : std::nullopt;
        length = match ? match->length : static_cast<std::size_t>(utf8_step(p, end).length);
        part = match ? match->replacement : rest.substr(0, length);
      }
      p += length;
      while (after_space && part.starts_with(' ')) part.remove_prefix(1);
      if (part.empty()) continue;
      if (!started && add_prefix) out += kWordStart;
      started = true;
      for (const char c : part) {
        if (c == ' ') {
          out += kWordStart;
        } else {
          out += c;
        }
      }
      limit.check(out.size());
      after_space = remove && part.ends_with(' ');
    }
    while (remove && out.ends_with(kWordStart)) out.resize(out.size() - kWordStart.size());
    text = std::move(out);
  });
}

bool is_tag(std::string_view text) {
  return text.size() > 2 && ((text.front() == '<' && text.back() == '>') ||
                             (text.front() == '[' && text.back() == ']'));
}

std::unique_ptr<const SubwordModel> subword_model(const Model& model, const std::string& file,
                                                  const std::vector<std::string>& tokens,
                                                  const std::vector<std::int32_t>& user_defined) {
  Unknowns unknowns{.unk = std::nullopt, .fuse = true, .bytes = std::nullopt};
  std::array<std::int32_t, 256> bytes;
  bytes.fill(-1);
  std::vector<float> scores;
  float least = std::numeric_limits<float>::max();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const Piece& piece = model.pieces[id];
    scores.push_back(piece.score);
    if (piece.type == PieceType::unknown) unknowns.unk = static_cast<std::int32_t>(id);
    if (piece.type == PieceType::byte)
      bytes[*byte_of_token(piece.text)] = static_cast<std::int32_t>(id);
    if (piece.type == PieceType::normal) least = std::min(least, piece.score);
  }
  if (model.byte_fallback) {
    if (*std::min_element(bytes.begin(), bytes.end()) < 0) {
      throw FormatError(file, "pieces", "byte fallback without a piece for every byte");
    }
    unknowns.bytes = bytes;
  }
  if (model.type == 1) {
    return std::make_unique<Unigram<float>>(tokens, std::move(scores), least, user_defined,
                                            std::move(unknowns));
  }
  SymbolBpe::Options options;
  options.unknowns = std::move(unknowns);
  return std::make_unique<SymbolBpe>(tokens, sentencepiece_merges(model, tokens), user_defined,
                                     std::move(options));
}

std::string decoded(const Piece& piece, bool control) {
  if (piece.type == PieceType::unknown) return " \u2047 ";  // as SentencePiece shows it
  if (control) return piece.text;
  if (piece.type == PieceType::byte) return {static_cast<char>(*byte_of_token(piece.text))};
  return replaced(piece.text, kWordStart, " ");
}

}  // namespace

// The higher a piece's score, the lower the rank of its merges.
std::vector<SymbolMerge> sentencepiece_merges(const SentencePieceModel& model,
                                              const std::vector<std::string>& tokens) {
  const std::vector<Piece>& pieces = model.pieces;
  std::unordered_map<std::string_view, std::int32_t> ids;
  std::vector<float> scores;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty() || pieces[id].type == PieceType::user_defined) continue;
    ids.emplace(tokens[id], static_cast<std::int32_t>(id));
    scores.push_back(pieces[id].score);
  }
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<SymbolMerge> merges;
  for (const auto& [token, id] : ids) {
    const auto place = std::lower_bound(
        scores.begin(), scores.end(), pieces[static_cast<std::size_t>(id)].score, std::greater<>());
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      if ((token[cut] & 0xC0) == 0x80) continue;
      const auto left = ids.find(token.substr(0, cut)), right = ids.find(token.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back(
          {left->second, right->second, id, static_cast<std::uint32_t>(place - scores.begin())});
    }
  }
  return merges;
}

std::shared_ptr<TokenizerModel> read_sentencepiece(const std::filesystem::path& path) {
  return build_sentencepiece(read_model(read_file(path), path.string()), path.string());
}

std::shared_ptr<TokenizerModel> build_sentencepiece(const SentencePieceModel& read,
                                                    const std::string& file) {
  check(read, file);
  auto model = std::make_shared<TokenizerModel>();
  model->kind = TokenizerModel::Kind::pipeline;
  std::vector<std::string> tokens;  // what text may give
  std::vector<std::int32_t> user_defined;
  std::vector<std::pair<std::string, std::int32_t>> kept;
  for (std::size_t i = 0; i < read.pieces.size(); ++i) {
    const Piece& piece = read.pieces[i];
    const auto id = static_cast<std::int32_t>(i);
    const bool user = piece.type == PieceType::user_defined;
    const bool control = piece.type == PieceType::control || (user && is_tag(piece.text));
    // SentencePiece leaves a NUL to byte fallback.
    const bool unused = read.byte_fallback && piece.text == std::string_view("\0", 1);
    const bool text = (piece.type == PieceType::normal && !unused) || (user && !control);
    if (control) model->added.push_back({.id = id, .content = piece.text});
    if (user && !control) {
      user_defined.push_back(id);
      kept.emplace_back(piece.text, id);
    }
    tokens.push_back(text ? piece.text : std::string());
    model->tokens.push_back(decoded(piece, control));
  }
  auto pipeline = std::make_shared<Pipeline>();
  pipeline->text_steps.push_back(normalizer_step(read, file, kept));
  pipeline->model = subword_model(read, file, tokens, user_defined);
  pipeline->strip_start = std::string(1, ' ');
  pipeline->strip_start_count = read.add_prefix || read.remove_spaces ? 1 : 0;
  pipeline->sentencepiece = std::make_shared<const SentencePieceModel>(read);
  model->pipeline = std::move(pipeline);
  model->index_added();
  const auto role = [&](std::uint64_t id) -> std::optional<std::int32_t> {
    if (id >= read.pieces.size() || model->added_flags[id] == 0) return std::nullopt;
    return static_cast<std::int32_t>(id);
  };
  model->bos = role(read.bos_id);
  model->eos = role(read.eos_id);
  model->pad = role(read.pad_id);
  return model;
}

}  // namespace stepstone
