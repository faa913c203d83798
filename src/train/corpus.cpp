#include "train/corpus.h"

#include "data/readers.h"
#include "data/shards.h"
#include "data/tokenize.h"
#include "io/atomic_folder.h"
#include "io/hash.h"
#include "io/paths.h"
#include "tokenizer/train_bpe.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEndOfText = "<|endoftext|>";
constexpr std::string_view kValidation = "in the part for validation ";

Pattern pattern_of(const std::string& name) {
  if (name == "gpt2") return Pattern::gpt2;
  if (name == "cl100k" || name == "llama3") return Pattern::cl100k;  // the same expression
  if (name == "qwen2") return Pattern::qwen2;
  throw UsageError(fmt::format("tokenizer.pattern: unknown pattern \"{}\"", name));
}

// All text of a chat, for counting words.
void append_messages(const Document& document, std::string& text) {
  for (const Message& m : document.messages) text += m.content + "\n";
}

TextSource texts_of(DocumentReader& reader) {
  return [&reader, document = Document()](std::string& text) mutable {
    if (!reader.next(document)) return false;
    text = document.text;
    append_messages(document, text);
    return true;
  };
}

std::string all_text(const std::vector<fs::path>& files) {
  DocumentReader reader(files, {.text_split = TextSplit::file});
  const TextSource next = texts_of(reader);
  std::string all, text;
  while (next(text)) all += text;
  return all;
}

Tokenizer train_tokenizer(const TokenizerRecipe& recipe, const std::vector<fs::path>& files) {
  const auto specials = ChatTemplate::special_tokens();  // kEndOfText among them
  BpeTrainOptions options;
  options.vocab_size = static_cast<std::int32_t>(recipe.vocab_size);
  options.pattern = pattern_of(recipe.pattern);
  options.special_tokens.assign(specials.begin(), specials.end());
  DocumentReader reader(files);
  Tokenizer tokenizer = train_bpe(texts_of(reader), options);
  tokenizer.set_eos(kEndOfText);
  tokenizer.set_pad(kEndOfText);
  return tokenizer;
}

// One path of a mixture, or all texts together where there are no weights.
struct Source {
  std::vector<fs::path> texts;
  fs::path tokens;    // a token folder instead
  double weight = 0;  // 0: as many as its tokens
};

std::vector<Source> find_sources(const DataRecipe& data) {
  std::vector<Source> sources;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < data.paths.size(); ++i) {
    const fs::path path = expand_home(data.paths[i]);
    const double weight = data.weights.empty() ? 0 : data.weights[i];
    if (is_token_folder(path)) {
      sources.push_back({{}, path, weight});
    } else if (data.weights.empty()) {
      texts.push_back(data.paths[i]);
    } else {
      sources.push_back({find_corpus_files(std::span(&data.paths[i], 1)), {}, weight});
    }
  }
  if (!texts.empty()) sources.insert(sources.begin(), Source{find_corpus_files(texts), {}, 0});
  return sources;
}

std::vector<fs::path> texts_in(const std::vector<Source>& sources) {
  std::vector<fs::path> files;
  for (const Source& source : sources) {
    files.insert(files.end(), source.texts.begin(), source.texts.end());
  }
  return files;
}

// Where the first dataset among the sources keeps its tokenizer; empty without one.
fs::path tokenizer_of_tokens(const std::vector<Source>& sources) {
  for (const Source& source : sources) {
    if (source.tokens.empty()) continue;
    for (const fs::path& place : {source.tokens, source.tokens / "train"}) {
      if (fs::exists(place / "tokenizer.json")) return place;
    }
    throw UsageError(
        fmt::format("{}: holds no tokenizer.json; name it by tokenizer.kind=file tokenizer.path=…",
                    source.tokens.string()));
  }
  return {};
}

Tokenizer make_tokenizer(const Recipe& recipe, const std::vector<Source>& sources,
                         const fs::path& run) {
  const TokenizerRecipe& t = recipe.tokenizer;
  if (fs::exists(run / "tokenizer.json")) return Tokenizer::load(run);
  const fs::path with_tokens = t.kind == "file" ? fs::path() : tokenizer_of_tokens(sources);
  const auto files = texts_in(sources);
  Tokenizer tokenizer = t.kind == "file"       ? Tokenizer::load(t.path)
                        : !with_tokens.empty() ? Tokenizer::load(with_tokens)
                        : t.kind == "char"     ? Tokenizer::characters(all_text(files))
                        : t.kind == "bytes"    ? Tokenizer::bytes()
                                               : train_tokenizer(t, files);
  tokenizer.save(run);
  return tokenizer;
}

struct Split {
  std::vector<MixtureEntry> train;
  Dataset validation;
};

Dataset open_part(const fs::path& folder, const Tokenizer& tokenizer) {
  OpenedShards shards = open_shards(folder);
  require_tokenizer(shards, folder, tokenizer_hash(tokenizer), tokenizer.vocab_size());
  return shards.dataset;
}

Dataset one_stream(const std::vector<Source>& sources, const Tokenizer& tokenizer) {
  if (sources.size() == 1 && is_shard_folder(sources[0].tokens)) {
    return open_part(sources[0].tokens, tokenizer);
  }
  for (const Source& source : sources) {
    require<UsageError>(source.tokens.empty(),
                        "{}: data.mode \"windows\" takes texts, or one folder of tokens that was "
                        "made without a validation part",
                        source.tokens.string());
  }
  std::vector<std::int32_t> ids;
  tokenizer.encode_append(all_text(texts_in(sources)), ids);
  return Dataset::from_tokens(ids);
}

std::string names_of(const Source& source) {
  constexpr std::size_t kShown = 3;
  if (source.texts.empty()) return source.tokens.string();
  std::string names;
  for (std::size_t i = 0; i < std::min(kShown, source.texts.size()); ++i) {
    names += (i > 0 ? ", " : "") + source.texts[i].string();
  }
  const std::size_t more = source.texts.size() - std::min(kShown, source.texts.size());
  return more == 0 ? names : fmt::format("{} and {} more", names, more);
}

// Without a token to learn from, or to be measured by, a run would end with a loss of 0.
void require_loss(const Dataset& dataset, const Source& source, std::string_view part) {
  require(!dataset.has_mask() || dataset.has_target(),
          "{}: {}no token carries loss: no message of the role assistant", names_of(source), part);
}

// One stream cut into training and validation at a place, as nanoGPT does it.
Split make_windows(const Recipe& recipe, const std::vector<Source>& sources,
                   const Tokenizer& tokenizer) {
  const Dataset all = one_stream(sources, tokenizer);
  const auto cut =
      static_cast<std::int64_t>(static_cast<double>(all.tokens()) * (1 - recipe.data.val_fraction));
  const std::int64_t val_tokens = recipe.data.val_tokens;
  std::int64_t end = all.tokens();
  if (val_tokens > 0) end = std::min(end, cut + val_tokens + 1);
  Split split{{{all.slice(0, cut), 1.0}}, all.slice(cut, end)};
  require_loss(split.train[0].dataset, sources[0], "");
  require_loss(split.validation, sources[0], kValidation);
  return split;
}

// Shards of one source of the mixture, made once per run: train/ and, unless there are too few
// documents for any to fall there, val/.
void make_shards(const std::vector<fs::path>& files, const fs::path& folder,
                 const Tokenizer& tokenizer, TokenizeOptions tokenize) {
  if (is_shard_folder(folder / "train")) return;
  fs::create_directories(folder);
  TokenShardOptions options;
  options.vocab_size = tokenizer.vocab_size();
  options.tokenizer_hash = tokenizer_hash(tokenizer);
  options.mask = true;
  ShardWriter train(folder / "train", options), val(folder / "val", options);
  DocumentReader reader(files);
  tokenize_corpus(reader, tokenizer, tokenize, train, &val);
  if (val.tokens() > 0 && train.tokens() > 0) {
    val.finish();
    train.finish();
    return;
  }
  ShardWriter all(folder / "train", options);
  DocumentReader again(files);
  tokenize.val_fraction = 0;
  tokenize_corpus(again, tokenizer, tokenize, all);
  all.finish();
}

// Training and validation part of one source. A corpus of a few long documents is cut near its end.
std::pair<Dataset, Dataset> open_source(const fs::path& folder, const Tokenizer& tokenizer,
                                        double val_fraction) {
  const Dataset train = open_part(is_shard_folder(folder) ? folder : folder / "train", tokenizer);
  if (is_shard_folder(folder / "val")) return {train, open_part(folder / "val", tokenizer)};
  const auto cut =
      static_cast<std::int64_t>(static_cast<double>(train.tokens()) * (1 - val_fraction));
  require(cut >= 2 && train.tokens() - cut >= 2,
          "{}: {} tokens are too few to keep a share of {} for validation", folder.string(),
          train.tokens(), val_fraction);
  return {train.slice(0, cut), train.slice(cut, train.tokens())};
}

// The first `tokens` tokens (0: all); the last document may be cut.
Dataset head(const Dataset& dataset, std::int64_t tokens) {
  if (tokens <= 0 || dataset.tokens() <= tokens) return dataset;
  return dataset.slice(0, std::max<std::int64_t>(2, tokens));
}

Split make_documents(const Recipe& recipe, const std::vector<Source>& sources,
                     const Tokenizer& tokenizer, const fs::path& run,
                     const TokenizeOptions& tokenize) {
  const DataRecipe& data = recipe.data;
  Split split{{}, Dataset::from_tokens(std::vector<std::int32_t>{0})};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    fs::path folder = sources[i].tokens;
    if (folder.empty()) {
      folder = run / "data" / std::to_string(i);
      make_shards(sources[i].texts, folder, tokenizer, tokenize);
    }
    auto [train, validation] = open_source(folder, tokenizer, data.val_fraction);
    validation = head(validation, data.val_tokens);
    try {
      require_loss(train, sources[i], "");
      if (i == 0) require_loss(validation, sources[i], kValidation);
    } catch (const Error&) {
      // Or the shards would stand for the mended files of the next try.
      if (sources[i].tokens.empty()) fs::remove_all(folder);
      throw;
    }
    // Alone, or as one of several without weights: by size.
    const double weight = sources.size() == 1 ? 1
                          : sources[i].weight == 0 && data.weights.empty()
                              ? static_cast<double>(train.tokens())
                              : sources[i].weight;
    split.train.push_back({std::move(train), weight});
    if (i == 0) split.validation = std::move(validation);
  }
  return split;
}

Json hashes_of(const std::vector<Source>& sources) {
  Json hashes = Json::object();
  for (const fs::path& file : texts_in(sources)) hashes[file.string()] = hash_file(file).hex();
  for (const Source& source : sources) {
    if (source.tokens.empty()) continue;
    for (const char* part : {".", "train", "val"}) {
      const auto manifest = (source.tokens / part / kManifestName).lexically_normal();
      if (fs::exists(manifest)) hashes[manifest.string()] = hash_file(manifest).hex();
    }
  }
  return hashes;
}

}  // namespace

SamplerOptions Corpus::sampling(const Recipe& recipe) const {
  SamplerOptions options;
  options.mode = recipe.data.mode == "windows" ? SamplingMode::contiguous : SamplingMode::packed;
  options.rows = recipe.rows;
  options.cols = recipe.context;
  options.seed = recipe.train.seed;
  options.pad_id = tokenizer.pad().value_or(0);
  options.token_bytes = token_byte_lengths(tokenizer);
  return options;
}

Corpus prepare_corpus(const Recipe& recipe, const fs::path& run, const Tokenizer* given,
                      std::string_view chat_template) {
  const DataRecipe& data = recipe.data;
  check_corpus(data);
  const std::vector<Source> sources = find_sources(data);
  if (!chat_template.empty()) {
    for (const Source& source : sources) {
      require<UsageError>(source.tokens.empty(), "{}: holds tokens; chats are tuned on as text",
                          source.tokens.string());
    }
  }
  const Tokenizer tokenizer = given ? *given : make_tokenizer(recipe, sources, run);
  TokenizeOptions tokenize;
  tokenize.val_fraction = data.val_fraction;
  if (!chat_template.empty()) {
    tokenize.chat = ChatTemplate(tokenizer, chat_template, "chat_template.jinja");
  }
  Split split = data.mode == "windows" ? make_windows(recipe, sources, tokenizer)
                                       : make_documents(recipe, sources, tokenizer, run, tokenize);
  return {tokenizer, std::move(split.train), std::move(split.validation), hashes_of(sources)};
}

void check_corpus(const DataRecipe& data) {
  require<UsageError>(!data.paths.empty(),
                      "data.paths: name files, folders or globs there, or use --data");
  require<UsageError>(data.weights.empty() || data.weights.size() == data.paths.size(),
                      "data.weights: {} weights for {} paths", data.weights.size(),
                      data.paths.size());
  find_sources(data);
}

}  // namespace stepstone
