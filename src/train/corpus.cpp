#include "train/corpus.h"

#include "data/readers.h"
#include "data/shards.h"
#include "data/tokenize.h"
#include "io/hash.h"
#include "tokenizer/train_bpe.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEndOfText = "<|endoftext|>";

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

Tokenizer make_tokenizer(const Recipe& recipe, const std::vector<fs::path>& files,
                         const fs::path& run) {
  const TokenizerRecipe& t = recipe.tokenizer;
  if (fs::exists(run / "tokenizer.json")) return Tokenizer::load(run);
  Tokenizer tokenizer = t.kind == "file"    ? Tokenizer::load(t.path)
                        : t.kind == "char"  ? Tokenizer::characters(all_text(files))
                        : t.kind == "bytes" ? Tokenizer::bytes()
                                            : train_tokenizer(t, files);
  tokenizer.save(run);
  return tokenizer;
}

struct Split {
  std::vector<MixtureEntry> train;
  Dataset validation;
};

// One stream cut into training and validation at a place, as nanoGPT does it.
Split make_windows(const Recipe& recipe, const std::vector<fs::path>& files,
                   const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  tokenizer.encode_append(all_text(files), ids);
  const Dataset all = Dataset::from_tokens(ids);
  const auto cut =
      static_cast<std::int64_t>(static_cast<double>(ids.size()) * (1 - recipe.data.val_fraction));
  const std::int64_t val_tokens = recipe.data.val_tokens;
  std::int64_t end = all.tokens();
  if (val_tokens > 0) end = std::min(end, cut + val_tokens + 1);
  return {{{all.slice(0, cut), 1.0}}, all.slice(cut, end)};
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

Dataset open_part(const fs::path& folder, const Tokenizer& tokenizer) {
  OpenedShards shards = open_shards(folder);
  require_tokenizer(shards, folder, tokenizer_hash(tokenizer), tokenizer.vocab_size());
  return shards.dataset;
}

// Training and validation part of one source. A corpus of a few long documents is cut near its end.
std::pair<Dataset, Dataset> open_source(const fs::path& folder, const Tokenizer& tokenizer,
                                        double val_fraction) {
  const Dataset train = open_part(folder / "train", tokenizer);
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

Split make_documents(const Recipe& recipe, const std::vector<fs::path>& files,
                     const Tokenizer& tokenizer, const fs::path& run,
                     const TokenizeOptions& tokenize) {
  const DataRecipe& data = recipe.data;
  // With weights each path is a dataset of its own, without them all are one.
  const std::size_t sources = data.weights.empty() ? 1 : data.paths.size();
  Split split{{}, Dataset::from_tokens(std::vector<std::int32_t>{0})};
  for (std::size_t i = 0; i < sources; ++i) {
    const auto folder = run / "data" / std::to_string(i);
    const auto mine =
        data.weights.empty() ? files : find_corpus_files(std::span(&data.paths[i], 1));
    make_shards(mine, folder, tokenizer, tokenize);
    auto [train, validation] = open_source(folder, tokenizer, data.val_fraction);
    split.train.push_back({std::move(train), data.weights.empty() ? 1.0 : data.weights[i]});
    if (i == 0) split.validation = head(validation, data.val_tokens);
  }
  return split;
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
  require<UsageError>(!data.paths.empty(),
                      "data.paths: name files, folders or globs there, or use --data");
  require<UsageError>(data.weights.empty() || data.weights.size() == data.paths.size(),
                      "data.weights: {} weights for {} paths", data.weights.size(),
                      data.paths.size());
  const auto files = find_corpus_files(data.paths);
  const Tokenizer tokenizer = given ? *given : make_tokenizer(recipe, files, run);
  TokenizeOptions tokenize;
  tokenize.val_fraction = data.val_fraction;
  if (!chat_template.empty()) {
    tokenize.chat = ChatTemplate(tokenizer, chat_template, "chat_template.jinja");
  }
  Split split = data.mode == "windows" ? make_windows(recipe, files, tokenizer)
                                       : make_documents(recipe, files, tokenizer, run, tokenize);
  Json sources = Json::object();
  for (const fs::path& file : files) sources[file.string()] = hash_file(file).hex();
  return {tokenizer, std::move(split.train), std::move(split.validation), std::move(sources)};
}

}  // namespace stepstone
