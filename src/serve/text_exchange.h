// Requests that write text, answered whole or as server-sent events. The children know the shapes
// of the answers.
#pragma once

#include <ctime>
#include <string>

#include "serve/exchange.h"
#include "serve/request_fields.h"

namespace stepstone {

class TextExchange : public Exchange {
 public:
  // `prompts` are those that will be submitted.
  TextExchange(ServedModel& model, std::shared_ptr<HttpReply> reply, TextOptions options,
               std::vector<std::vector<std::int32_t>> prompts);

 protected:
  // What came of a choice: the next piece of a stream, or all of it.
  struct Part {
    bool first = false;
    std::string text = {};
    std::vector<ScoredToken> prompt_logprobs = {}, logprobs = {};
    FinishReason finish = FinishReason::none;
    std::string stopped_by = {};  // with FinishReason::stop_string
  };

  void take(std::size_t request, EngineEvent event) override;
  void complete() override;
  void fail(const ApiError& error) override;

  // Choices count by prompt, then by choice.
  virtual void take_part(std::size_t choice, Part part) = 0;
  virtual Json whole() = 0;
  virtual void end_stream() = 0;
  // The body of an error in this API.
  virtual Json error_body(const ApiError& error) const { return error.body(); }
  // The event of an error in a stream that has begun.
  virtual void send_error(const ApiError& error) { send_event(error_body(error)); }

  void send_event(const Json& json, std::string_view name = {});

  const ServedModel& model() const { return model_; }
  const TextOptions& options() const { return options_; }
  const std::vector<std::vector<std::int32_t>>& prompts() const { return prompts_; }
  std::size_t choices() const { return usages_.size(); }
  std::time_t created() const { return created_; }
  // Of all requests together.
  EngineUsage usage() const;

 private:
  const ServedModel& model_;
  const TextOptions options_;
  const std::vector<std::vector<std::int32_t>> prompts_;
  const std::time_t created_ = std::time(nullptr);
  std::vector<EngineUsage> usages_;
  std::vector<bool> begun_;
  bool streaming_ = false;
};

// 24 random hexadecimal digits after `prefix`.
std::string random_id(std::string_view prefix);

// OpenAI's "usage".
Json usage_json(const EngineUsage& usage);

// The token's text; one that is only a part of a character as "bytes:\xe4\xbd", so that no two
// tokens look alike.
std::string token_text(const Tokenizer& tokenizer, std::int32_t id);

Json finish_json(FinishReason reason);

}  // namespace stepstone
