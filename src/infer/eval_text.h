// How well a model predicts text.
#pragma once

#include <string>
#include <vector>

#include "stone/stone.h"
#include "train/trainer.h"

namespace stepstone {

struct TextEvalOptions {
  std::vector<std::string> paths;  // files, folders, globs, as data/readers.h has them
  // How the text meets the model: "documents" (each alone, packed into rows), "windows" (one
  // stream, cut into windows of the context), or empty: as its recipe says, else documents.
  std::string mode;
  std::int64_t context = 0;  // tokens per row; 0: the model's context
  CacheTypes cache = {};     // as if keys and values had been kept in these
};

struct TextScore {
  std::string file;
  Evaluation evaluation;
};

// One score per file, from the log-probabilities that serving the same tokens gives; training's
// validation differs from it by rounding only. Chats count their assistants' tokens only. Throws
// UsageError for a file without a token to predict.
std::vector<TextScore> evaluate_text(const Stone& stone, const TextEvalOptions& options);

Json to_json(const std::vector<TextScore>& scores);
std::string to_table(const std::vector<TextScore>& scores);

}  // namespace stepstone
