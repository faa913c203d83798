#include "infer/eval_text.h"

#include <algorithm>

#include "core/threads.h"
#include "data/readers.h"
#include "data/tokenize.h"
#include "infer/token_logprobs.h"

namespace stepstone {
namespace {

// Rows per batch: a fixed amount of work, whatever the context.
constexpr std::int64_t kBatchTokens = 4096;
// Of which so many have logits at a time.
constexpr std::int64_t kHeadRows = 128;

std::string mode_of(const Stone& stone, const TextEvalOptions& options) {
  std::string mode = options.mode;
  if (mode.empty() && stone.about.is_object()) {
    mode = get_or<std::string>(stone.about, "/recipe/data/mode", "stepstone.json", "documents");
  }
  if (mode.empty()) mode = "documents";
  require<UsageError>(mode == "documents" || mode == "windows",
                      "mode: expected documents or windows, got \"{}\"", mode);
  return mode;
}

Dataset as_stream(const std::filesystem::path& file, const Tokenizer& tokenizer) {
  return Dataset::from_tokens(tokenizer.encode(read_text(file)));
}

Dataset as_documents(const std::filesystem::path& file, const Tokenizer& tokenizer) {
  DocumentReader reader({file});
  std::vector<std::int32_t> tokens;
  std::vector<std::uint64_t> starts = {0};
  std::vector<std::uint8_t> mask;
  for (Document document; reader.next(document);) {
    const TokenizedDocument made = tokenize_document(document, tokenizer);
    tokens.insert(tokens.end(), made.tokens.begin(), made.tokens.end());
    mask.insert(mask.end(), made.mask.begin(), made.mask.end());
    starts.push_back(tokens.size());
  }
  return Dataset::from_tokens(tokens, starts, mask);
}

Tensor final_states(Graph& graph, const Stone& stone, const Batch& batch,
                    const ops::KvTypes& types) {
  const Transformer& model = *stone.model;
  if (types == ops::KvTypes(stone.compute)) {
    return model.hidden(graph, TokenBatch{batch.tokens, batch.positions, batch.segments}).value();
  }
  std::vector<KvCache> caches;
  std::vector<KvCache*> pointers;
  for (std::size_t i = 0; i + 1 < batch.segments.size(); ++i) {
    const std::int64_t length = batch.segments[i + 1] - batch.segments[i];
    caches.emplace_back(model.config(), std::max<std::int64_t>(1, length), types);
  }
  for (KvCache& cache : caches) pointers.push_back(&cache);
  return model.hidden(graph, batch.tokens, batch.segments, pointers).value();
}

// Sum of -ln p of the batch's targets.
double surprise(const Stone& stone, const Batch& batch, const ops::KvTypes& types) {
  Graph graph({.compute = stone.compute});
  const Transformer& model = *stone.model;
  const Tensor hidden = final_states(graph, stone, batch, types);
  double sum = 0;
  for (std::int64_t begin = 0; begin < hidden.dim(0); begin += kHeadRows) {
    const std::int64_t end = std::min(hidden.dim(0), begin + kHeadRows);
    const Tensor logits = model.logits(graph, hidden.slice(begin, end));
    std::vector<float> logprobs(static_cast<std::size_t>(end - begin), 0.0f);
    parallel_for(end - begin, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int32_t target = batch.targets[static_cast<std::size_t>(begin + i)];
        if (target < 0) continue;
        logprobs[static_cast<std::size_t>(i)] =
            score_token(logits.slice(i, i + 1).span<float>(), target, 0, 0).token.logprob;
      }
    });
    for (const float logprob : logprobs) sum -= static_cast<double>(logprob);
  }
  return sum;
}

Evaluation measure(const Stone& stone, const EvalBatches& batches, const ops::KvTypes& types) {
  double sum = 0;
  Evaluation e;
  std::int64_t bytes = 0;
  Batch batch;
  for (std::int64_t i = 0; i < batches.size(); ++i) {
    batches.get(i, batch);
    sum += surprise(stone, batch, types);
    e.tokens += batch.target_tokens;
    bytes += batch.target_bytes;
  }
  if (e.tokens > 0) e.loss = sum / static_cast<double>(e.tokens);
  e.bits_per_byte = bits_per_byte(sum, bytes);
  return e;
}

}  // namespace

std::vector<TextScore> evaluate_text(const Stone& stone, const TextEvalOptions& options) {
  const std::string mode = mode_of(stone, options);
  const std::int64_t most = stone.model->config().max_positions;
  require<UsageError>(options.context >= 0 && options.context <= most,
                      "context: must be between 1 and the model's {}", most);
  SamplerOptions sampling;
  sampling.mode = mode == "windows" ? SamplingMode::contiguous : SamplingMode::packed;
  sampling.cols = options.context == 0 ? most : options.context;
  sampling.rows = std::max<std::int64_t>(1, kBatchTokens / sampling.cols);
  sampling.pad_id = stone.tokenizer.pad().value_or(0);
  sampling.token_bytes = token_byte_lengths(stone.tokenizer);
  std::vector<TextScore> scores;
  for (const auto& file : find_corpus_files(options.paths)) {
    const Dataset data =
        mode == "windows" ? as_stream(file, stone.tokenizer) : as_documents(file, stone.tokenizer);
    const Evaluation result =
        measure(stone, EvalBatches(data, sampling), options.cache.with(stone.compute));
    require<UsageError>(result.tokens > 0, "{}: holds no token to predict", file.string());
    scores.push_back({file.string(), result});
  }
  return scores;
}

Json to_json(const std::vector<TextScore>& scores) {
  Json list = Json::array();
  for (const TextScore& s : scores) {
    Json score = {{"file", s.file}, {"tokens", s.evaluation.tokens}, {"loss", s.evaluation.loss}};
    if (const auto bits = s.evaluation.bits_per_byte) score["bits_per_byte"] = *bits;
    list.push_back(std::move(score));
  }
  return list;
}

std::string to_table(const std::vector<TextScore>& scores) {
  std::string out =
      fmt::format("{:>12} {:>10} {:>10}   {}\n", "tokens", "loss", "bits/byte", "file");
  for (const TextScore& s : scores) {
    const auto bits = s.evaluation.bits_per_byte;
    out += fmt::format("{:>12} {:>10.4f} {:>10}   {}\n", s.evaluation.tokens, s.evaluation.loss,
                       bits ? fmt::format("{:.4f}", *bits) : "-", s.file);
  }
  return out;
}

}  // namespace stepstone
