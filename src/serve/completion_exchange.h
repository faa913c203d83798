// The answers of /v1/completions.
#pragma once

#include "serve/text_exchange.h"

namespace stepstone {

class CompletionExchange : public TextExchange {
 public:
  CompletionExchange(ServedModel& model, std::shared_ptr<HttpReply> reply, TextOptions options,
                     std::vector<std::vector<std::int32_t>> prompts);

 protected:
  void take_part(std::size_t choice, Part part) override;
  Json whole() override;
  void end_stream() override;

 private:
  Json frame() const;
  Json choice_json(std::size_t choice, bool with_prompt, const Part& part);
  // Null when not asked for.
  Json logprobs(std::size_t choice, bool with_prompt, const Part& part);

  const std::string id_ = random_id("cmpl-");
  std::vector<Part> wholes_;
  // Of each prompt: said with its first choice, told with all.
  std::vector<std::vector<ScoredToken>> prompt_logprobs_;
  std::vector<std::size_t> offsets_;  // of the next token in a choice's text, in characters
};

}  // namespace stepstone
