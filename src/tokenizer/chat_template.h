// ChatML, the chat format of this project:
//
//   <|im_start|>ROLE\nCONTENT<|im_end|>\n     once per message
//   <|im_start|>assistant\n                   then, to ask for an answer
//
// Rendering goes straight to token ids: the control tokens come from the template, and role and
// content are encoded as text, so nothing a user writes can become a control token.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace stepstone {

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct RenderedChat {
  std::vector<std::int32_t> ids;
  // As long as ids. 1 where the token is an assistant's own: its content and the <|im_end|> that
  // ends it. Loss is taken where the *predicted* token has a 1.
  std::vector<std::uint8_t> loss_mask;
};

class ChatTemplate {
 public:
  // Throws UsageError unless the tokenizer has <|im_start|> and <|im_end|> as control tokens.
  explicit ChatTemplate(Tokenizer tokenizer);

  // With `ask`, the start of an assistant's message follows. Throws UsageError for a role that is
  // none of the three.
  RenderedChat render(std::span<const Message> messages, bool ask = false) const;
  // The tokens that one more message adds to a chat that was rendered without `ask`.
  void append(const Message& message, RenderedChat& chat) const;
  void append_ask(RenderedChat& chat) const;

  // What ends an answer: <|im_end|>.
  std::int32_t stop_id() const { return end_; }

  // The same format as a Jinja template, for chat_template.jinja.
  static std::string_view jinja();
  // The control tokens that a tokenizer for chat needs.
  static std::span<const std::string> special_tokens();

 private:
  Tokenizer tokenizer_;
  std::int32_t start_, end_;
  std::vector<std::int32_t> newline_;
};

}  // namespace stepstone
