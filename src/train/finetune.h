// `stepstone tune`: supervised chat tuning of a stone.
#pragma once

#include <filesystem>

#include "train/pretrain.h"

namespace stepstone {

struct FinetuneRequest {
  Recipe recipe;  // without [model] and [tokenizer], which are the stone's: else UsageError
  std::filesystem::path stone, out;
  bool resume = false;
  bool quiet = false;
  SampleFn sample;
};

// Chats ({"messages"}) with loss on the assistant's tokens, packed without leakage. A
// stone keeps its chat template; one without gets ChatML, whose control tokens are added to a
// tokenizer that lacks them, and rows to the embedding.
// Leaves a chat model in `out`.
TrainOutcome finetune(const FinetuneRequest& request);

}  // namespace stepstone
