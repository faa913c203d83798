#include "serve/served_model.h"

#include "infer/chat_session.h"
#include "serve/api_error.h"

namespace stepstone {

ServedModel::ServedModel(const std::filesystem::path& folder, std::string name,
                         const EngineOptions& options)
    : stone_(load_stone(folder, Weights::as_stored)),
      name_(std::move(name)),
      loaded_at_(std::time(nullptr)) {
  if (name_.empty()) name_ = std::filesystem::weakly_canonical(folder).filename().string();
  if (is_chat_model(stone_)) chat_.emplace(stepstone::chat_template(stone_));
  stone_.model->pack(stone_.compute);
  stone_.model->pack_blocks();
  engine_ = std::make_unique<Engine>(*stone_.model, stone_.tokenizer, stone_.compute, options);
}

std::int64_t ServedModel::parameter_count() const {
  std::int64_t count = 0;
  for (const auto& p : stone_.model->parameters()) count += p.numel();
  return count;
}

std::vector<std::int32_t> ServedModel::chat_prompt(const ChatInput& input) const {
  if (!chat_) {
    throw ApiError(
        400, fmt::format("{} is a base model without a chat format: use /v1/completions", name_),
        "model");
  }
  try {
    return chat_->ids(input);
  } catch (const FormatError& e) {  // an error of the template: the chat is not what it expects
    throw ApiError(400, e.what(), "messages");
  } catch (const UsageError& e) {
    throw ApiError(400, e.what(), "messages");
  }
}

}  // namespace stepstone
