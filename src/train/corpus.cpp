#include "train/corpus.h"

#include "io/file.h"
#include "io/hash.h"

namespace stepstone {
namespace {

namespace fs = std::filesystem;

std::string read_all(const Recipe& recipe) {
  require<UsageError>(!recipe.data.paths.empty(), "data.paths: name a text file, or use --data");
  std::string text;
  for (const std::string& path : recipe.data.paths) text += read_file(path);
  require(!text.empty(), "{}: the corpus is empty", recipe.data.paths.front());
  return text;
}

}  // namespace

SamplerOptions Corpus::sampling(const Recipe& recipe) const {
  SamplerOptions options;
  options.mode =
      recipe.data.mode == "windows" ? SamplingMode::contiguous : SamplingMode::packed;
  options.rows = recipe.rows;
  options.cols = recipe.context;
  options.seed = recipe.train.seed;
  options.pad_id = tokenizer.pad().value_or(0);
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const auto bytes = tokenizer.is_special(id) ? 0 : tokenizer.token_bytes(id).size();
    options.token_bytes.push_back(static_cast<std::int32_t>(bytes));
  }
  return options;
}

Corpus prepare_corpus(const Recipe& recipe, const fs::path& run) {
  (void)run;
  const std::string text = read_all(recipe);
  Tokenizer tokenizer =
      recipe.tokenizer.kind == "char" ? Tokenizer::characters(text) : Tokenizer::bytes();
  const auto ids = tokenizer.encode(text);
  const Dataset all = Dataset::from_tokens(ids);
  const auto cut = static_cast<std::int64_t>(static_cast<double>(ids.size()) *
                                             (1 - recipe.data.val_fraction));
  return {tokenizer,
          {{all.slice(0, cut), 1.0}},
          all.slice(cut, all.tokens()),
          {{"files", recipe.data.paths}, {"xxh3", hash_bytes(text).hex()}}};
}

}  // namespace stepstone
