// The answers of /v1/chat/completions and /v1/completions, whole or as server-sent events.
#pragma once

#include <ctime>
#include <string>

#include "serve/exchange.h"
#include "serve/request_fields.h"

namespace stepstone {

class TextExchange : public Exchange {
 public:
  // `chat`: the shape of the answer. `prompts` are those that will be submitted.
  TextExchange(ServedModel& model, std::shared_ptr<HttpReply> reply, TextOptions options,
               std::vector<std::vector<std::int32_t>> prompts, bool chat);

 protected:
  void take(std::size_t request, EngineEvent event) override;
  void complete() override;
  void fail(const ApiError& error) override;

 private:
  struct Choice {
    bool begun = false;
    std::string text;
    std::vector<ScoredToken> prompt_logprobs, logprobs;
    FinishReason finish = FinishReason::none;
  };

  Json frame(bool chunk) const;
  Json usage() const;
  // "logprobs" of a choice, or null when not asked for.
  Json logprobs_of(std::size_t request, bool with_prompt, const Choice& part);
  Json chat_logprobs(const std::vector<ScoredToken>& tokens) const;
  Json completion_logprobs(std::size_t request, bool with_prompt, const Choice& part);
  Json whole_choice(std::size_t index);
  void stream_chunk(std::size_t index, Choice part);
  void send_event(const Json& json);
  std::string prompt_text(std::size_t request) const;

  const ServedModel& model_;
  const TextOptions options_;
  const std::vector<std::vector<std::int32_t>> prompts_;
  const bool chat_;
  const std::string id_;
  const std::time_t created_;
  std::vector<Choice> choices_;       // by prompt, then by choice
  std::vector<std::size_t> offsets_;  // of the next token in a choice's text, in characters
  std::vector<EngineUsage> usages_;
  bool streaming_ = false;
};

}  // namespace stepstone
