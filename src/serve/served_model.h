// A model that is ready to answer.
#pragma once

#include <ctime>
#include <filesystem>
#include <optional>
#include <string>

#include "infer/engine.h"
#include "serve/tool_style.h"
#include "stone/stone.h"
#include "tokenizer/chat_template.h"

namespace stepstone {

class ServedModel {
 public:
  // Reads and packs the model; `name` empty: the folder's name. Throws what load_stone throws.
  ServedModel(const std::filesystem::path& folder, std::string name, const EngineOptions& options);

  const std::string& name() const { return name_; }
  const Stone& stone() const { return stone_; }
  const Tokenizer& tokenizer() const { return stone_.tokenizer; }
  Engine& engine() { return *engine_; }
  std::time_t loaded_at() const { return loaded_at_; }
  std::int64_t parameter_count() const;

  // The tokens that ask for an answer to the chat. Throws ApiError for a model without a chat
  // format and for what its template refuses.
  std::vector<std::int32_t> chat_prompt(const ChatInput& input) const;
  ToolStyle tool_style() const { return tool_style_of(stone_.chat_template); }
  // True when the chat template's text holds `words`.
  bool template_names(std::string_view words) const {
    return stone_.chat_template.find(words) != std::string::npos;
  }
  // What ends a text or an answer.
  const std::vector<std::int32_t>& stop_tokens() const { return stone_.end_tokens; }

 private:
  Stone stone_;
  std::string name_;
  std::optional<ChatTemplate> chat_;
  std::time_t loaded_at_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace stepstone
